"""What is said of a finished run: to a person or a program, and in the model file."""

from __future__ import annotations

import math
import platform
import resource
from typing import Any

import msgspec
import numpy as np

from edgelearn.config import Method
from edgelearn.datasets import Dataset
from edgelearn.holdout import held_out
from edgelearn.modelfile import Model
from edgelearn.progress import EpochReport
from edgelearn.results import Fit, Result
from edgelearn.stages import run_bytes

METHODS: dict[Method, str] = {
    "tpsgd": "tpSGD family: layer-local learning from random label projections",
    "shallow": "control: only the head learned",
    "drtp": "control: direct random target projection",
    "dfa": "control: direct feedback alignment",
    "fa": "control: feedback alignment",
    "bp": "control: backpropagation",
}
"""What the model card calls each method."""


class TrainReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a finished run reached; SI units, the keys of ``edgelearn train --json``.

    A classifier has an `accuracy`; a regression has `rmse` and `mae`, in the units of its outputs,
    and `r2`, each the mean over outputs. `loss` is that of the head on the test part.

    `samples` were learned from; those that were held out are not among them. `note`: that it did
    not learn, and what to try.
    """

    recipe: str
    seed: int
    epochs: int
    samples: int
    seconds: float
    samples_per_second: float
    accuracy: float | None = None
    rmse: float | None = None
    mae: float | None = None
    r2: float | None = None
    loss: float
    working_set_bytes: int
    peak_rss_bytes: int
    layers: list[dict[str, object]]
    history: list[EpochReport]
    note: str | None = None


def train_report(
    model: Model, dataset: Dataset, seconds: float, steps: int, result: Result
) -> TrainReport:
    """The report of a run that made so many `steps` in so many `seconds`."""
    config = model.recipe.train
    samples = len(dataset.x_train) - held_out(len(dataset.x_train), config.validation)
    per_step = samples / math.ceil(samples / config.batch)
    return TrainReport(
        recipe=model.recipe.name,
        seed=config.seed,
        epochs=config.epochs,
        samples=samples,
        seconds=seconds,
        samples_per_second=steps * per_step / seconds,
        **result.marks,
        loss=result.loss,
        working_set_bytes=run_bytes(model.network, config, samples),
        peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        layers=[msgspec.to_builtins(layer) for layer in result.layers],
        history=list(model.history),
        note=doubt(model, dataset, result),
    )


def doubt(model: Model, dataset: Dataset, result: Result) -> str | None:
    """Why a result is no better than knowing nothing, and what to try; None if it is better."""
    if isinstance(result, Fit):
        reason = "" if result.r2 is None or result.r2 > 0 else _no_fit(result.r2)
    else:
        most = float(np.bincount(dataset.y_test).max()) / len(dataset.y_test)
        reason = _chance(result.accuracy, most, len(dataset.y_test))
        knowing_nothing = math.log(model.network.width)
        if not reason and model.network.answers == "probabilities":
            reason = _too_sure(result.loss, knowing_nothing)
    if not reason:
        return None
    lr = model.recipe.train.lr
    return f"{reason}; try another train.lr (it is {lr:g}), more epochs, or another input.normalize"


def _no_fit(r2: float) -> str:
    return f"it did not learn: R2 {r2:.4g} is no better than always saying the mean"


def _chance(accuracy: float, most: float, samples: int) -> str:
    """As likely as not the luck of one answer for all; two deviations are allowed to luck."""
    luck = 2 * math.sqrt(most * (1 - most) / samples)
    if accuracy > most + luck or most == 1:
        return ""
    answer = f"always naming the most frequent class ({most:.2%})"
    return f"it did not learn: test accuracy {accuracy:.2%} is about that of {answer}"


def _too_sure(loss: float, knowing_nothing: float) -> str:
    if loss <= knowing_nothing:
        return ""
    known = f"{knowing_nothing:.2f} of all classes alike"
    return f"it is too sure of wrong answers: a test loss of {loss:.2f}, above the {known}"


def model_card(model: Model, dataset: Dataset, report: TrainReport) -> dict[str, Any]:
    """How the model was made. Its history has a place of its own, which exports leave out."""
    facts = msgspec.to_builtins(report)
    del facts["history"]
    facts.pop("note", None)
    return {
        "method": METHODS[model.recipe.train.method],
        "dataset": dataset.name,
        "train_samples": report.samples,
        "test_samples": len(dataset.x_test),
        "machine": platform.machine(),
        **facts,
    }
