"""What losses are, and the two families that a hidden layer may learn from.

A *readout* loss judges the scores ``a @ p.T`` that the projection reads out of the activation, as
a classifier's loss would; its projection can be learned. A *target* loss judges the distance of
the activation from the row of the projection that belongs to the label.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np

from edgelearn import kernels
from edgelearn.arrays import F32, Array
from edgelearn.ir.builder import Builder
from edgelearn.ir.ops import Reduce

Task: TypeAlias = Literal["classes", "values"]
"""What labels are: numbers of classes (batch,), or float32 values (batch, outputs)."""
Answers: TypeAlias = Literal["probabilities", "scores", "values"]
"""What a head says of each class, a probability or a margin; or the values of a regression."""


@dataclass(frozen=True, slots=True, eq=False)
class Workspace:
    """Room for one readout.

    Attributes
    ----------
    features, error : array, shape (batch, size)
        Features that a view copies; the derivative of the loss by them.
    slopes : array, shape (batch, classes or outputs)
        The derivative by the scores.
    loss : array, shape (2,)
        Collects the loss, and how many guesses of the class are right.
    work : array
        As `Loss.work_size` says.
    """

    features: F32
    error: F32
    slopes: F32
    loss: F32
    work: F32 = field(default_factory=lambda: np.empty(0, np.float32))

    def rows(self, count: int) -> Workspace:
        """Its first `count` rows."""
        return replace(
            self,
            features=self.features[:count],
            error=self.error[:count],
            slopes=self.slopes[:count],
        )


class Loss(Protocol):
    """What is asked of a block: the error of features `a`, (batch, units), given the labels.

    `p`, (classes or outputs, units), is the projection of a hidden block; a head has none.
    """

    task: ClassVar[Task] = "classes"
    compares: ClassVar[bool] = False
    """Whether it compares the samples of a batch with each other, so that one teaches nothing."""

    def work_size(self, rows: int, units: int) -> int:
        """Elements of work space that `error` needs."""
        return 0

    def error(self, a: F32, labels: Array, p: F32 | None, space: Workspace) -> None:
        """Write the derivative of the summed loss by `a` to `space.error`; add to `space.loss`.

        A readout loss leaves its derivative by the scores in `space.slopes`.
        """

    def emit_error(self, b: Builder, a: str, labels: str, p: str | None) -> tuple[str, str | None]:
        """`error` as nodes of a Graph: ``e``, and ``slopes`` of a readout loss."""


@runtime_checkable
class HeadLoss(Loss, Protocol):
    """A loss that the last layer can have: its activation is the answer."""

    answers: ClassVar[Answers]

    def emit_value(self, b: Builder, a: str, labels: str) -> str:
        """The mean loss over samples, shape (), as nodes of a Graph."""


@dataclass(frozen=True, slots=True)
class LocalLoss(Loss, ABC):
    """A loss of a hidden block."""

    kind: ClassVar[str]
    needs_projection: ClassVar[bool] = True
    gain: ClassVar[float] = 1.0
    """Size of the projection that serves well; a recipe may say another."""

    def row_norm(self, gain: float, units: int) -> float:
        """The norm of the rows of `p`."""
        return gain

    @abstractmethod
    def error(self, a: F32, labels: Array, p: F32 | None, space: Workspace) -> None:
        """As `Loss` says."""

    @abstractmethod
    def emit_error(self, b: Builder, a: str, labels: str, p: str | None) -> tuple[str, str | None]:
        """As `Loss` says."""


class ReadoutLoss(LocalLoss):
    """A loss of scores: ``a @ p.T``, or ``a`` itself at the head.

    ``e = slopes @ p``, and ``slopes.T @ a`` is the derivative by `p`.
    """

    def error(self, a: F32, labels: Array, p: F32 | None, space: Workspace) -> None:
        if p is None:
            space.error[:] = a
            self.judge(labels, space.error, space.loss)
            return
        np.matmul(a, p.T, out=space.slopes)
        self.judge(labels, space.slopes, space.loss)
        np.matmul(space.slopes, p, out=space.error)

    def judge(self, labels: Array, scores: F32, loss: F32) -> None:
        """`derive`, and count in `loss` how many of the largest scores are right."""
        if self.task == "classes":
            kernels.errors.count_right(labels, scores, loss)
        self.derive(labels, scores, loss)

    def emit_error(self, b: Builder, a: str, labels: str, p: str | None) -> tuple[str, str | None]:
        if p is None:
            return self.emit_slope(b, a, labels), None
        slopes = self.emit_slope(b, b.matmul(a, p, transpose_b=True), labels)
        return b.matmul(slopes, p), slopes

    @abstractmethod
    def derive(self, labels: Array, scores: F32, loss: F32) -> None:
        """Replace `scores`, one for each class or output, by the derivative by them."""

    @abstractmethod
    def emit_slope(self, b: Builder, scores: str, labels: str) -> str:
        """`derive` as nodes of a Graph."""


class TargetLoss(LocalLoss):
    """A distance of the activation from its target, the row ``p[label]``.

    Its guess is the class whose target has the largest product with the activation.
    """

    def row_norm(self, gain: float, units: int) -> float:
        return gain * math.sqrt(units)

    def error(self, a: F32, labels: Array, p: F32 | None, space: Workspace) -> None:
        assert p is not None  # noqa: S101  a head has no target loss
        np.matmul(a, p.T, out=space.slopes)
        kernels.errors.count_right(labels, space.slopes, space.loss)
        self.distance(a, labels, p, space)

    @abstractmethod
    def distance(self, a: F32, labels: Array, p: F32, space: Workspace) -> None:
        """Write the derivative of the summed distance by `a` to `space.error`; add to the loss."""


def emit_mean(b: Builder, losses: str) -> str:
    """The mean over samples of what is summed over the last axis, as nodes."""
    return b.apply(Reduce("mean", (0,)), b.apply(Reduce("sum", (-1,)), losses))
