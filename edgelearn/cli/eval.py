"""`edgelearn eval`: how well a model does on test data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgelearn.cli._output import MARKS, emit, json_option, model_option, share, shown, table


@click.command(name="eval")
@model_option
@click.option("--data", type=click.Path(path_type=Path), help="Test on this data instead.")
@click.option(
    "--fail-under",
    type=click.FloatRange(0, 1),
    help="Exit with 1 if the accuracy, or R2 of a regression, is lower, e.g. 0.95.",
)
@click.option(
    "--exit-at",
    type=click.FloatRange(0, 1),
    help="Answer at the first layer that is this sure, e.g. 0.9.",
)
@json_option
def command(
    model: Path,
    data: Path | None,
    fail_under: float | None,
    exit_at: float | None,
    as_json: bool,
) -> None:
    """Accuracy, loss, confusion matrix, and the accuracy of every layer's own readout.

    Of a regression: root mean squared and mean absolute error in the units of its outputs, and R2.
    The test part of the data is used, that which the model was not trained on.

    \b
    Example:
      edgelearn eval --fail-under 0.95
    """
    import msgspec

    from edgelearn import modelfile, workflow
    from edgelearn.cli import _training
    from edgelearn.errors import BelowThreshold

    loaded = modelfile.load(model)
    source = loaded.recipe.dataset if data is None else workflow.guess_source(data, loaded.recipe)
    dataset = _training.load(source)
    if exit_at is None:
        report = msgspec.to_builtins(workflow.score(loaded, dataset))
    else:
        report = msgspec.to_builtins(workflow.score_early(loaded, dataset, exit_at))
    result: dict[str, Any] = {"model": str(model), **report}
    mark = "r2" if "outputs" in result else "accuracy"
    show = _show_exits if exit_at is not None else _show_fit if mark == "r2" else _show
    emit(result, as_json, lambda: show(result, loaded.network.classes))
    reached = result[mark]
    if fail_under is not None and not (reached is not None and reached >= fail_under):
        raise BelowThreshold(
            f"model {str(model)!r}",
            expected=f"an {mark} of at least {fail_under}",
            got=f"{reached:.4f}" if reached is not None else "none: all values are the same",
            fix="train longer or wider, or lower --fail-under",
        )


def _show(result: dict[str, Any], classes: tuple[str, ...]) -> None:
    click.echo(
        f"accuracy {result['accuracy']:.2%}, loss {result['loss']:.4f}, "
        f"{result['samples']} samples\n"
    )
    table(
        "accuracy of each layer's readout",
        [{"layer": la["name"], "accuracy": share(la["accuracy"])} for la in result["layers"]],
    )
    heading = "true class"
    while heading in classes:  # the columns are classes too
        heading += " "
    rows = [
        {heading: name, **{c: n or "." for c, n in zip(classes, counts, strict=True)}}
        for name, counts in zip(classes, result["confusion"], strict=True)
    ]
    table("confusion: a row for each true class, a column for each prediction", rows)


def _show_fit(result: dict[str, Any], classes: tuple[str, ...]) -> None:
    marks = ", ".join(f"{MARKS[key]} {shown(key, result[key])}" for key in ("rmse", "mae", "r2"))
    click.echo(f"{marks}, loss {result['loss']:.4f}, {result['samples']} samples\n")
    table(
        "R2 of each layer's readout",
        [{"layer": la["name"], "R2": shown("r2", la["r2"])} for la in result["layers"]],
    )
    rows = [
        {"output": o["name"], **{MARKS[key]: shown(key, o[key]) for key in ("rmse", "mae", "r2")}}
        for o in result["outputs"]
    ]
    table("errors, in the units of the data", rows)


def _show_exits(result: dict[str, Any], classes: tuple[str, ...]) -> None:
    part = result["macs"] / result["all_macs"]
    click.echo(f"accuracy {result['accuracy']:.2%}, {result['samples']} samples")
    click.echo(f"{result['macs']:,.0f} MACs a sample, {part:.1%} of the whole network's\n")
    rows = [
        {
            "leaves at": found["layer"],
            "share": share(found["share"]),
            "accuracy": share(found["accuracy"]),
            "MACs": f"{found['macs']:,}",
        }
        for found in result["exits"]
    ]
    table(f"answers at the first layer that is {result['threshold']:.0%} sure", rows)
