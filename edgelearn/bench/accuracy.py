"""Accuracy of a recipe and of its controls, or errors of a regression, over several seeds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

from edgelearn.config import Recipe
from edgelearn.datasets import Dataset
from edgelearn.progress import Observer
from edgelearn.reporting import TrainReport
from edgelearn.workflow import new_model, train

Tell: TypeAlias = Callable[[str, int, TrainReport], None]
"""Told of every run: the name of the row, the seed, the report."""


class AccuracyRow(msgspec.Struct, frozen=True):
    """What one way of training reached: accuracies on the test part, one a seed; seconds a run.

    `spread` is the standard deviation over seeds, None for one seed.
    """

    name: str
    method: str
    accuracies: list[float]
    mean: float
    spread: float | None
    seconds: float


class FitRow(msgspec.Struct, frozen=True):
    """The same of a regression: errors in the units of its outputs, one a seed, and their mean.

    `r2` is None for a seed where values in the test part do not differ.
    """

    name: str
    method: str
    rmse: list[float]
    r2: list[float | None]
    mean: float
    spread: float | None
    seconds: float


def contestants(recipe: Recipe, only: Sequence[str] = ()) -> dict[str, Recipe]:
    """The recipe itself, called by its method, and its controls, by name.

    >>> from edgelearn.workflow import embedded_recipe
    >>> list(contestants(embedded_recipe()))[0]
    'tpsgd'
    """
    found: dict[str, Recipe] = {recipe.train.method: recipe}
    found |= {chosen.name: recipe.control(chosen) for chosen in recipe.controls}
    return {name: one for name, one in found.items() if not only or name in only}


def measure(
    name: str, recipe: Recipe, dataset: Dataset, seeds: int, tell: Tell
) -> AccuracyRow | FitRow:
    """Train `recipe` once a seed, from 0 on, and test it; `tell` is told of every run."""
    reports = [_run(name, recipe, dataset, seed, tell) for seed in range(seeds)]
    accuracies = [report.accuracy for report in reports if report.accuracy is not None]
    errors = [report.rmse for report in reports if report.rmse is not None]
    marks = accuracies or errors
    mean, spread = statistics.mean(marks), statistics.stdev(marks) if seeds > 1 else None
    seconds, method = statistics.median(report.seconds for report in reports), recipe.train.method
    if accuracies:
        return AccuracyRow(name, method, accuracies, mean, spread, seconds)
    return FitRow(name, method, errors, [r.r2 for r in reports], mean, spread, seconds)


def _run(name: str, recipe: Recipe, dataset: Dataset, seed: int, tell: Tell) -> TrainReport:
    config = msgspec.structs.replace(recipe.train, seed=seed)
    seeded = msgspec.structs.replace(recipe, train=config)
    _, report = train(new_model(seeded, dataset), dataset, Observer())
    assert report is not None  # noqa: S101  nobody stops the run
    tell(name, seed, report)
    return report
