"""Accuracy of a recipe and of its controls, over several seeds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

import msgspec

from edgelearn.config import Recipe
from edgelearn.datasets import Dataset
from edgelearn.progress import Observer
from edgelearn.workflow import new_model, train


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
    name: str, recipe: Recipe, dataset: Dataset, seeds: int, tell: Callable[[str], None]
) -> AccuracyRow:
    """Train `recipe` once a seed, from 0 on, and test it; `tell` is told of every run."""
    accuracies, seconds = [], []
    for seed in range(seeds):
        config = msgspec.structs.replace(recipe.train, seed=seed)
        seeded = msgspec.structs.replace(recipe, train=config)
        _, report = train(new_model(seeded, dataset), dataset, Observer())
        assert report is not None  # noqa: S101  nobody stops the run
        assert report.accuracy is not None  # noqa: S101  the command refuses regressions
        accuracies.append(report.accuracy)
        seconds.append(report.seconds)
        tell(f"{name}, seed {seed}: {report.accuracy:.2%} in {report.seconds:.0f} s")
    return AccuracyRow(
        name=name,
        method=recipe.train.method,
        accuracies=accuracies,
        mean=statistics.mean(accuracies),
        spread=statistics.stdev(accuracies) if seeds > 1 else None,
        seconds=statistics.median(seconds),
    )
