"""What is said of a finished run: to a person or a program, and in the model file."""

from __future__ import annotations

import math
import platform
import resource
from typing import Any

import msgspec

from edgelearn.config import Method
from edgelearn.datasets import Dataset
from edgelearn.evaluation import Result
from edgelearn.holdout import held_out
from edgelearn.modelfile import Model
from edgelearn.progress import EpochReport
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

    `samples` were learned from; those that were held out are not among them.
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
    )


def model_card(model: Model, dataset: Dataset, report: TrainReport) -> dict[str, Any]:
    """How the model was made. Its history has a place of its own, which exports leave out."""
    facts = msgspec.to_builtins(report)
    del facts["history"]
    return {
        "method": METHODS[model.recipe.train.method],
        "dataset": dataset.name,
        "train_samples": report.samples,
        "test_samples": len(dataset.x_test),
        "machine": platform.machine(),
        **facts,
    }
