"""`edgelearn check`: budgets in CI."""

from __future__ import annotations

from pathlib import Path

import click

from edgelearn.cli._output import emit, json_option


@click.command(name="check")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default="edgelearn.toml",
    show_default=True,
    help="The budget file. Files named in it are relative to its folder.",
)
@click.option(
    "--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True
)
@json_option
@click.option("--init", is_flag=True, help="Write a budget file for the model that is here.")
@click.option("--why", is_flag=True, help="Name what contributes most to each value.")
def command(config: Path, style: str, as_json: bool, init: bool, why: bool) -> int:
    """Check models against the budgets in edgelearn.toml.

    A value over its budget fails; with ["warn", value] it only warns. An estimate of which
    only the lower bound is known fails if that is over the budget, and else is "unproven".

    Exit codes: 0 no budget broken, 1 a budget broken, 2 a wrong budget file, 3 a model that
    cannot be evaluated, or budgets of which none could be proven.

    \b
    Example:
      edgelearn check --init
      edgelearn check --config ci/edgelearn.toml --json
    """
    from edgelearn.cli import _checking, _starter

    if init:
        lines = _starter.write(config)
        click.echo(f"wrote {config} with {lines} budgets; 'edgelearn check' checks them")
        return 0
    checks = _checking.run(config, why=why)
    code = _checking.exit_code(checks)
    result = {"passed": code == 0, "checks": [check.to_json() for check in checks]}
    emit(result, as_json or style == "json", lambda: _checking.show(checks))
    if code == 3:
        click.echo("no budget could be proven: only lower bounds are known", err=True)
    return code
