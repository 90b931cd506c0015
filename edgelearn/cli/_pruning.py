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
from edgelearn.cli._output import share, table
from edgelearn.cli._progress import Watch
from edgelearn.masking import PruneConfig
from edgelearn.modelfile import Model
from edgelearn.progress import Observer
from edgelearn.pruning import retraining


def run(path: Path, data: Path | None, out: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Prune the model at `path` and write it to `out`; the report as JSON gives it."""
    lr = settings["lr"]
    config = PruneConfig(**{key: value for key, value in settings.items() if key != "lr"})
    model = modelfile.load(path)
    dataset = _training.load(model.recipe.dataset if data is None else workflow.guess_source(data))
    learner = _learner(model, config.retrain, lr)
    with Watch(learner, dataset) as watch:
        observer = Observer(watch.on_step, watch.on_epoch)
        pruned, report = workflow.prune(learner, dataset, config, observer)
    modelfile.save(out, replace(pruned, recipe=model.recipe))
    return {"model": str(out), **msgspec.to_builtins(report)}


def _learner(model: Model, epochs: int, lr: float | None) -> Model:
    """`model` with the recipe that it is taught by."""
    train = retraining(model.recipe.train, max(epochs, 1))
    train = msgspec.structs.replace(train, lr=lr or train.lr)
    return replace(model, recipe=msgspec.structs.replace(model.recipe, train=train))


def show(result: Mapping[str, Any]) -> None:
    """Print a report for a person."""
    first = result["epochs"][0] if result["epochs"] else result
    steps = [
        {"": "before", "zeros": "-", "test accuracy": share(result["accuracy_before"])},
        {
            "": "pruned",
            "zeros": share(first["sparsity"]),
            "test accuracy": share(result["accuracy_after_prune"]),
        },
    ]
    steps += [
        {"": f"epoch {n}", "zeros": share(e["sparsity"]), "test accuracy": share(e["accuracy"])}
        for n, e in enumerate(result["epochs"], start=1)
    ]
    table(f"pruned to {share(result['sparsity'])}, pattern {result['pattern']}", steps)
    rows = [{"matrix": name, "zeros": share(part)} for name, part in result["matrices"].items()]
    table(f"weights left: {result['nonzero']:,} of {result['parameters']:,}", rows)
    click.echo(f"model        {result['model']}")
