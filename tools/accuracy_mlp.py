"""Print the table of accuracies of a multi-layer perceptron: tpSGD beside its controls.

Same architecture, epochs, data, kernels and schedule for all methods. Settings of each method are
chosen on the last 10,000 training samples, of models trained on the first 15,000; the table is of
the whole training part, and the test part is looked at once for each seed.

    EDGELEARN_DATA=... python tools/accuracy_mlp.py fashion_mnist --hidden 2
"""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import click

from edgelearn import datasets
from edgelearn.config import Recipe, parse_recipe
from edgelearn.datasets import Dataset
from edgelearn.errors import Diverged
from edgelearn.progress import Observer
from edgelearn.workflow import new_model, train

SEARCH_SAMPLES = 15_000
VALIDATION_SAMPLES = 10_000
UNITS = 256
RATES = (0.05, 0.1, 0.2, 0.5, 1.0)
HEAD_SCALES = (0.1, 0.5, 1.0)


@dataclass(frozen=True)
class Row:
    """One row of the table: a method, and what is fixed in it."""

    name: str
    method: str = "tpsgd"
    hidden: Mapping[str, Any] = field(default_factory=dict)
    gains: tuple[float, ...] = (1.0, 2.0)


ROWS = (
    Row("backprop, relu", "bp", {"activation": "relu"}, gains=(1.0,)),
    Row("backprop, tanh", "bp", {"activation": "tanh"}, gains=(1.0,)),
    Row("feedback alignment, tanh", "fa", {"activation": "tanh"}, gains=(1.0,)),
    Row("direct feedback alignment, tanh", "dfa", {"activation": "tanh"}),
    Row("direct random target projection, tanh", "drtp", {"activation": "tanh"}),
    Row("head only, tanh", "shallow", {"activation": "tanh"}, gains=(1.0,)),
    Row("tpSGD l2, tanh", hidden={"loss": "l2", "activation": "tanh"}),
    Row("tpSGD l1, tanh", hidden={"loss": "l1", "activation": "tanh"}),
    Row("tpSGD hinge, tanh", hidden={"loss": "hinge", "activation": "tanh"}),
    Row("tpSGD cross-entropy, tanh", hidden={"activation": "tanh"}),
    Row(
        "tpSGD cross-entropy, learned projection, relu",
        hidden={"activation": "relu", "learn_projection": True},
        gains=(1.0,),
    ),
)


def recipe(row: Row, dataset: str, depth: int, settings: Mapping[str, Any]) -> Recipe:
    """The recipe of one run; `settings` has lr, head, gain, epochs and seed."""
    hidden = {"kind": "dense", "units": UNITS, "gain": settings["gain"], **row.hidden}
    head = {
        "kind": "dense",
        "units": 10,
        "activation": "softmax",
        "lr_scale": settings["head"],
    }
    tables = {
        "name": "mlp",
        "dataset": {"name": dataset},
        "input": {"normalize": "standard", "over": "all"},
        "layers": [*[hidden] * depth, head],
        "train": {
            "epochs": settings["epochs"],
            "batch": 32,
            "lr": settings["lr"],
            "seed": settings["seed"],
            "schedule": "simultaneous",
            "method": row.method,
        },
    }
    return parse_recipe(tables, row.name)


def accuracy(chosen: Recipe, data: Dataset) -> float:
    """Percent on the test part after training; 0 if training diverged."""
    try:
        _, report = train(new_model(chosen, data), data, Observer())
    except Diverged:
        return 0.0
    return 0.0 if report is None else 100 * report.accuracy


def for_search(data: Dataset) -> Dataset:
    """A part of the training samples, and the last of them in place of the test part."""
    x, y = data.x_train, data.y_train
    held = slice(len(x) - VALIDATION_SAMPLES, None)
    return Dataset(
        data.name, x[:SEARCH_SAMPLES], y[:SEARCH_SAMPLES], x[held], y[held], data.classes
    )


def grid(row: Row) -> Iterator[dict[str, Any]]:
    """The settings that are tried for a row."""
    heads = (1.0,) if row.method in ("shallow", "bp", "fa") else HEAD_SCALES
    for lr, head, gain in itertools.product(RATES, heads, row.gains):
        yield {"lr": lr, "head": head, "gain": gain, "seed": 0}


@click.command()
@click.argument("dataset", type=click.Choice(["fashion_mnist", "mnist"]))
@click.option("--hidden", default=2, show_default=True, help="Hidden layers.")
@click.option("--epochs", default=10, show_default=True)
@click.option("--search-epochs", default=8, show_default=True)
@click.option("--seeds", default=3, show_default=True)
def main(dataset: str, hidden: int, epochs: int, search_epochs: int, seeds: int) -> None:
    """Search, train and print one Markdown table."""
    data = datasets.load(datasets.Source(name=dataset))
    part = for_search(data)
    print(
        f"| {dataset}, 784{f'-{UNITS}' * hidden}-10, {epochs} epochs | test accuracy % | settings |"
    )
    print("|---|---|---|")
    for row in ROWS:
        started = time.perf_counter()
        tried = [
            (accuracy(recipe(row, dataset, hidden, {**s, "epochs": search_epochs}), part), s)
            for s in grid(row)
        ]
        best = max(tried, key=lambda pair: pair[0])[1]
        results = [
            accuracy(recipe(row, dataset, hidden, {**best, "epochs": epochs, "seed": seed}), data)
            for seed in range(seeds)
        ]
        spread = statistics.stdev(results) if seeds > 1 else 0.0
        shown = f"lr {best['lr']:g}, head x{best['head']:g}, gain {best['gain']:g}"
        print(
            f"| {row.name} | {statistics.mean(results):.2f} +- {spread:.2f} | {shown} |", flush=True
        )
        print(f"{row.name}: {time.perf_counter() - started:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
