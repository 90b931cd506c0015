"""The parts of `edgelearn prune`: the run with its progress, and what it prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import msgspec

from edgelearn import modelfile, workflow
from edgelearn.cli import _training
from edgelearn.cli._output import MARKS, share, shown, table
from edgelearn.cli._progress import Watch
from edgelearn.masking import PruneConfig
from edgelearn.modelfile import Model
from edgelearn.progress import Observer
from edgelearn.pruning import retraining

PLOT_WIDTH = 31
"""Characters of the plot beside the table."""


def run(
    path: Path, data: Path | None, out: Path, settings: Mapping[str, Any]
) -> tuple[dict[str, Any], str]:
    """Prune the model at `path` and write it to `out`; the report as JSON, what it is judged by."""
    lr = settings["lr"]
    config = PruneConfig(**{key: value for key, value in settings.items() if key != "lr"})
    model = modelfile.load(path)
    source = model.recipe.dataset if data is None else workflow.guess_source(data, model.recipe)
    dataset = _training.load(source)
    learner = _learner(model, config.retrain, lr)
    with Watch(learner, dataset) as watch:
        observer = Observer(watch.on_step, watch.on_epoch)
        pruned, report = workflow.prune(learner, dataset, config, observer)
    modelfile.save(out, replace(pruned, recipe=model.recipe))
    mark = "accuracy" if model.network.outputs is None else "r2"
    return {"model": str(out), **msgspec.to_builtins(report)}, mark


def _learner(model: Model, epochs: int, lr: float | None) -> Model:
    """`model` with the recipe that it is taught by."""
    train = retraining(model.recipe.train, max(epochs, 1))
    train = msgspec.structs.replace(train, lr=lr or train.lr)
    return replace(model, recipe=msgspec.structs.replace(model.recipe, train=train))


def show(result: Mapping[str, Any], mark: str) -> None:
    """Print a report for a person."""
    first = result["epochs"][0] if result["epochs"] else result
    rows = [
        ("before", None, result["accuracy_before"]),
        ("pruned", first["sparsity"], result["accuracy_after_prune"]),
        *((f"epoch {n}", e["sparsity"], e["accuracy"]) for n, e in enumerate(result["epochs"], 1)),
    ]
    reached = [value for _, _, value in rows if value is not None]
    low, high = min(reached, default=0.0), max(reached, default=0.0)
    title = f"{shown(mark, low)} to {shown(mark, high)}"
    steps = [
        {
            "": name,
            "zeros": share(zeros),
            f"test {MARKS[mark]}": shown(mark, value),
            title: _place(value, low, high),
        }
        for name, zeros, value in rows
    ]
    table(f"pruned to {share(result['sparsity'])}, pattern {result['pattern']}", steps)
    left = [{"matrix": name, "zeros": share(part)} for name, part in result["matrices"].items()]
    table(f"weights left: {result['nonzero']:,} of {result['parameters']:,}", left)
    if result["kept_epoch"] not in (None, len(result["epochs"])):
        click.echo(f"kept         epoch {result['kept_epoch']}, the best by held-out samples")
    click.echo(f"model        {result['model']}")


def _place(value: float | None, low: float, high: float) -> str:
    """A mark as a point between the lowest and the highest of a run.

    >>> _place(0.5, 0.0, 1.0)
    '|...............*...............|'
    """
    if value is None:
        return ""
    at = round((PLOT_WIDTH - 1) * (value - low) / (high - low)) if high > low else 0
    return f"|{'.' * at}*{'.' * (PLOT_WIDTH - 1 - at)}|"
