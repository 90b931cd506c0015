"""`edgelearn adapt`: teach a trained model a shifted domain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgelearn.cli._output import MARKS, emit, json_option, model_option, shown


@click.command(name="adapt")
@model_option
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    required=True,
    help="Labelled samples of the new domain; a test part is only tested on.",
)
@click.option(
    "--layers", default="all", show_default=True, help="last, first, all, or e.g. 1,dense2."
)
@click.option(
    "--epochs",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Passes over the samples.",
)
@click.option(
    "--batch",
    type=click.IntRange(1, 4096),
    default=8,
    show_default=True,
    help="Samples a step.",
)
@click.option(
    "--lr",
    type=click.FloatRange(0, 1e38, min_open=True),
    default=0.05,
    show_default=True,
    help="First learning rate; it falls as a cosine.",
)
@click.option(
    "--guard/--no-guard",
    default=True,
    show_default=True,
    help="Hold a quarter out, and keep only what does better there.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="adapted.safetensors",
    show_default=True,
    help="Where the adapted model goes.",
)
@json_option
def command(
    model: Path,
    data: Path,
    layers: str,
    epochs: int,
    batch: int,
    lr: float,
    guard: bool,
    out: Path,
    as_json: bool,
) -> None:
    """Adapt a trained model to a few labelled samples of another domain.

    With the guard, some samples are held out: what was asked for is kept only if it does clearly
    better there than the last layer alone.

    \b
    Example:
      edgelearn adapt --data new_sensor.npz --layers all
    """
    import msgspec

    from edgelearn import modelfile, workflow
    from edgelearn.adapting import AdaptConfig
    from edgelearn.cli import _training
    from edgelearn.files import require_writable

    require_writable(out)
    loaded = modelfile.load(model)
    dataset = _training.load(workflow.guess_source(data, loaded.recipe))
    config = AdaptConfig(layers=layers, epochs=epochs, batch=batch, lr=lr, guard=guard)
    adapted, report = workflow.adapt(loaded, dataset, config)
    modelfile.save(out, adapted)
    result = {"model": str(out), **msgspec.to_builtins(report)}
    mark = "accuracy" if loaded.network.outputs is None else "r2"
    emit(result, as_json, lambda: _show(result, mark))


def _show(result: dict[str, Any], mark: str) -> None:
    if result["held_out"]:
        click.echo(f"held-out samples  {result['held_out']} of {result['samples']}")
        click.echo(f"as it was         {shown(mark, result['before'])}")
        click.echo(f"last layer        {shown(mark, result['last'])}")
        click.echo(f"{result['asked']:<17} {shown(mark, result['after'])}")
    kept = {"none": "nothing: the model is as it was"}.get(result["kept"], result["kept"])
    click.echo(f"kept              {kept}")
    before, after = (shown(mark, result[key]) for key in ("test_before", "test_after"))
    click.echo(f"{f'test {MARKS[mark]}':<17} {before} -> {after}")
    click.echo(f"model             {result['model']}")
