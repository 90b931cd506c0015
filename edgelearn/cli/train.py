"""`edgelearn train`: train a model on this device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgelearn.cli._output import emit, json_option

EPOCHS: dict[str, Any] = {"type": click.IntRange(min=0), "default": 0, "metavar": "EPOCHS"}


@click.command(name="train")
@click.argument("recipe", required=False, type=click.Path(path_type=Path))
@click.option("--data", type=click.Path(path_type=Path), help="Train on this data instead.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="model.safetensors",
    show_default=True,
    help="Where the model goes.",
)
@click.option("--resume", is_flag=True, help="Go on where an interrupted run stopped.")
@click.option("--more", **EPOCHS, help="Train a model longer: RECIPE names it.")
@click.option("--anneal", **EPOCHS, help="Then let its learning rate fall to settle.")
@click.option("--budget", help="Refuse to start if the working set is larger, e.g. 24MB.")
@click.option(
    "-s", "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change the recipe."
)
@json_option
def command(
    recipe: Path | None,
    data: Path | None,
    out: Path,
    resume: bool,
    more: int,
    anneal: int,
    budget: str | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> int:
    """Train by tpSGD, layer by layer, without backpropagation.

    RECIPE is a TOML file, or the name of a shipped recipe; without it, a small network learns the
    real handwritten digits that are shipped with edgelearn. Ctrl-C or SIGTERM leaves a checkpoint
    that --resume goes on from. A model whose lr_schedule is infinite may stand for RECIPE: it goes
    on from its plateau.

    \b
    Example:
      edgelearn train
      edgelearn train mnist-mlp -s train.epochs=5
      edgelearn train model.safetensors --anneal 2 --out settled.safetensors
    """
    from edgelearn.cli import _training
    from edgelearn.files import require_writable

    require_writable(out)
    model_file = _training.model_file(recipe, more, anneal)
    if resume:
        model, dataset = _training.resumed(out, recipe, data, overrides)
    elif model_file is not None:
        model, dataset = _training.continued(model_file, data, overrides, more, anneal)
    else:
        model, dataset = _training.begun(recipe, data, overrides)
    if budget is not None:
        _training.require_budget(model, dataset, budget)
    report, code = _training.run(model, dataset, out)
    if report is not None:
        result = {"model": str(out), **report}
        emit(result, as_json, lambda: _training.show(result))
    return code
