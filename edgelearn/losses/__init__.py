"""Losses: how far a block is from what the labels ask of it.

Each says the same thing twice: as array code for the engine, as nodes for the Graph. A hidden layer
has one of `LOSSES`, on its projection of the labels; a softmax head has `Likelihood`, and a linear
head one of those in `LOSSES` that give an answer (`HeadLoss`).
"""

from __future__ import annotations

from dataclasses import fields, replace

from edgelearn.losses._base import (
    Answers,
    HeadLoss,
    LocalLoss,
    Loss,
    ReadoutLoss,
    TargetLoss,
    Task,
    Workspace,
)
from edgelearn.losses._distance import AbsoluteDistance, SquaredDistance
from edgelearn.losses._labels import CrossEntropy, Hinge, Likelihood, SquaredHinge
from edgelearn.losses._similarity import PredSim, Similarity
from edgelearn.losses._values import Huber, SquaredError

__all__ = [
    "LOSSES",
    "AbsoluteDistance",
    "Answers",
    "CrossEntropy",
    "HeadLoss",
    "Likelihood",
    "LocalLoss",
    "Loss",
    "ReadoutLoss",
    "SquaredDistance",
    "TargetLoss",
    "Task",
    "Workspace",
    "local_loss",
]

LOSSES: dict[str, LocalLoss] = {
    loss.kind: loss
    for loss in (
        CrossEntropy(),
        Hinge(),
        SquaredHinge(),
        SquaredDistance(),
        AbsoluteDistance(),
        Similarity(),
        PredSim(),
        SquaredError(),
        Huber(),
    )
}
"""Every loss of a hidden layer by the word that recipes use."""


def local_loss(kind: str, classes: int, beta: float = 0.99) -> LocalLoss:
    """The loss that recipes call `kind`, for labels of so many `classes`.

    >>> local_loss("predsim", 10)
    PredSim(classes=10, beta=0.99)
    """
    settings = {"classes": classes, "beta": beta}
    loss = LOSSES[kind]
    return replace(loss, **{field.name: settings[field.name] for field in fields(loss)})
