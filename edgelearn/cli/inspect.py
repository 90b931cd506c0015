"""`edgelearn inspect`: what a model file holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgelearn.cli._output import emit, human_bytes, json_option, share, table


@click.command(name="inspect")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def command(file: Path, as_json: bool) -> None:
    """Show inputs, outputs, operations and sizes of FILE, a .safetensors, .onnx or .tflite model.

    MACs and arena are for one sample, or for the batch that the file fixes.

    \b
    Example:
      edgelearn inspect model.safetensors
      edgelearn inspect model.onnx --json
    """
    from edgelearn.export.describe import describe

    found = describe(file)
    emit(found, as_json, lambda: _show(found))


def _show(found: dict[str, Any]) -> None:
    click.echo(f"{found['file']}: {found['format']}, {human_bytes(found['bytes'])}")
    for phase in found["phases"]:
        _show_phase(phase)
    for key in ("classes", "outputs"):
        if found[key]:
            click.echo(f"\n{key}: {', '.join(map(str, found[key]))}")
    for key in ("recipe", "card"):
        if found[key]:
            click.echo(f"\n{key}")
            _show_tables(found[key])


def _show_tables(facts: dict[str, Any]) -> None:
    """Facts line by line; of lists of tables a table."""
    tables = {k: v for k, v in facts.items() if v and isinstance(v, list) and _is_tables(v)}
    for key, value in facts.items():
        if key not in tables and value not in (None, [], {}):
            click.echo(click.wrap_text(_in_words(value), 100, f"  {key:21} ", " " * 24))
    for key, rows in tables.items():
        click.echo()
        columns = [c for c in rows[0] if any(row.get(c) not in (None, [], {}) for row in rows)]
        table(f"  {key}", [{c: _in_words(row.get(c)) for c in columns} for row in rows])


def _is_tables(values: list[Any]) -> bool:
    return all(isinstance(value, dict) for value in values)


def _in_words(value: Any) -> str:
    """A setting or a fact on one line; a dash where there is none.

    >>> _in_words({"kind": "step", "milestones": [0.5, 30], "every": None}), _in_words(None)
    ('kind=step, milestones=0.5 30', '-')
    """
    match value:
        case None | []:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.6g}"
        case dict():
            return ", ".join(f"{k}={_in_words(v)}" for k, v in value.items() if v is not None)
        case list():
            return " ".join(_in_words(item) for item in value)
        case _:
            return str(value)


def _show_phase(phase: dict[str, Any]) -> None:
    click.echo(f"\n{phase['phase']} ({phase['name']})")
    for key in ("inputs", "outputs", "states"):
        for name, spec in phase[key].items():
            click.echo(f"  {key[:-1]:11} {name}: {spec}")
    ops = ", ".join(f"{count} {name}" for name, count in phase["ops"].items())
    click.echo(f"  {'ops':11} {ops}")
    click.echo(f"  {'parameters':11} {phase['parameters']:,}")
    click.echo(f"  {'weights':11} {human_bytes(phase['weights_bytes'])}")
    click.echo(f"  {'MACs':11} {phase['macs']:,}")
    click.echo(f"  {'arena':11} {human_bytes(phase['arena_bytes'])}")
    for name, part in phase["sparsity"].items():
        click.echo(f"  {'zeros':11} {name}: {share(part)}")
