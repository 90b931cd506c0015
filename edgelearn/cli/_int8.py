"""The parts of `edgelearn export --int8`: options, data, what is told of the loss."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgelearn.cli._output import shown
from edgelearn.errors import OptionError

if TYPE_CHECKING:  # a help text must not wait for NumPy
    from edgelearn.ir.store import Bundle
    from edgelearn.quantizing import QuantReport

F = TypeVar("F", bound=Callable[..., Any])

OPTIONS = (
    click.option(
        "--int8",
        type=click.Choice(["weights", "full"]),
        help="Store weights in 8 bits, or compute with 8 bits where activations meet weights.",
    ),
    click.option(
        "--calibration",
        type=click.Choice(["min-max", "percentile", "mse"]),
        help="With --int8 full: how the range of activations is chosen. Default: min-max.",
    ),
    click.option(
        "--samples",
        type=click.IntRange(min=1),
        help="With --int8 full: training samples to calibrate with. Default: 256.",
    ),
    click.option(
        "--max-drop",
        type=click.FloatRange(min=0),
        help="With --int8: points of accuracy, or per cent more error of a regression, that may "
        "be lost. Default: 1.",
    ),
    click.option(
        "--data",
        type=click.Path(path_type=Path),
        help="With --int8: calibrate and test with this data, not with that of the recipe.",
    ),
)


def int8_options(command: F) -> F:
    """The options of a command that quantises."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def require_int8(int8: str | None, **settings: object) -> None:
    """Raise `OptionError` if there are `settings` of a quantiser that is not asked for."""
    allowed = {"max_drop", "data"} if int8 == "weights" else set(settings) if int8 else set()
    for name, value in settings.items():
        if value is not None and name not in allowed:
            flag = f"--{name.replace('_', '-')}"
            wanted = "--int8 full" if name in ("calibration", "samples") else "--int8"
            raise OptionError(
                f"option {flag}",
                expected=f"{wanted} beside it",
                got=f"--int8 {int8}" if int8 else "none",
                fix=f"add {wanted}, or leave {flag} out",
            )


def quantised(
    bundle: Bundle, phase: str, model: Path, data: Path | None, **settings: Any
) -> tuple[Bundle, QuantReport]:
    """The Graph of `phase` in integers; what is lost is within what may be."""
    from edgelearn import modelfile, workflow
    from edgelearn.cli import _training
    from edgelearn.quantizing import QuantConfig, quantize

    where = f"model {str(model)!r}"
    if phase == "train":
        raise OptionError(
            "option --int8",
            expected="--phase infer",
            got="--phase train",
            fix="learn in float32, and quantise what was learned",
        )
    config = QuantConfig(**{key: value for key, value in settings.items() if value is not None})
    recipe = modelfile.from_bundle(bundle, where).recipe
    source = recipe.dataset if data is None else workflow.guess_source(data, recipe)
    bundle, report = quantize(bundle, phase, _training.load(source), config, where)
    report.require(where, config.max_drop)
    return bundle, report


def show(report: QuantReport, dense_bytes: int, size_bytes: int) -> None:
    """Print a report for a person."""
    before, after = (shown(report.mark, value) for value in (report.before, report.after))
    click.echo(f"test {report.mark} {before} before, {after} in int8, {report.tested:,} samples")
    click.echo(f"{dense_bytes / size_bytes:.2f} times smaller than with float32 weights")
    part = report.integer_macs / max(report.macs, 1)
    click.echo(f"{part:.1%} of MACs have integers on both sides; in float32 stay:")
    for kept in report.kept_float:
        click.echo(f"  {len(kept.nodes):4} {kept.op}: {kept.reason}")
