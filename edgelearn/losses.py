"""Local losses: how far a layer's activation is from its own target.

There are two families. A *readout* loss judges the scores ``a @ p.T`` that the projection reads
out of the activation, as a classifier's loss would; its projection can be learned. A *target* loss
judges the distance of the activation from the row of the projection that belongs to the label.

Each loss says the same thing twice: as array code for the engine, as nodes for the Graph.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeVar

import numpy as np

from edgelearn import kernels
from edgelearn.arrays import F32, Array
from edgelearn.ir.builder import Builder
from edgelearn.ir.ops import Gather, OneHot

T = TypeVar("T")


class Loss(Protocol):
    """What is asked of a block: the error of features `a`, (batch, units), given the labels.

    `p`, (classes, units), is the projection of a hidden block; a head has none.
    """

    def error(self, a: F32, labels: Array, p: F32 | None, slope: F32, e: F32, loss: F32) -> None:
        """Write the derivative of the summed loss by `a` to `e`; add to `loss`.

        a, e: (batch, units); labels: (batch,); loss: (2,), the loss and how many guesses are right.
        A readout loss leaves its derivative by the scores in `slope`, (batch, classes).
        """

    def emit_error(self, b: Builder, a: str, labels: str, p: str | None) -> tuple[str, str | None]:
        """`error` as nodes of a Graph: ``e``, and ``slope`` of a readout loss."""


@dataclass(frozen=True, slots=True)
class LocalLoss(ABC):
    """A loss of a hidden block, on its projection."""

    kind: ClassVar[str]
    gain: ClassVar[float]
    """Size of the projection that serves well; a recipe may say another."""

    @abstractmethod
    def row_norm(self, gain: float, units: int) -> float:
        """The norm of the rows of `p`."""

    @abstractmethod
    def error(self, a: F32, labels: Array, p: F32 | None, slope: F32, e: F32, loss: F32) -> None:
        """As `Loss` says."""

    @abstractmethod
    def emit_error(self, b: Builder, a: str, labels: str, p: str | None) -> tuple[str, str | None]:
        """As `Loss` says."""


class ReadoutLoss(LocalLoss):
    """A loss of scores: ``a @ p.T``, or ``a`` itself at the head.

    ``e = slope @ p``, and ``slope.T @ a`` is the derivative by `p`.
    """

    def row_norm(self, gain: float, units: int) -> float:
        return gain

    def error(self, a: F32, labels: Array, p: F32 | None, slope: F32, e: F32, loss: F32) -> None:
        if p is None:
            e[:] = a
            self._judge(labels, e, loss)
            return
        np.matmul(a, p.T, out=slope)
        self._judge(labels, slope, loss)
        np.matmul(slope, p, out=e)

    def _judge(self, labels: Array, scores: F32, loss: F32) -> None:
        kernels.errors.count_right(labels, scores, loss)
        self.derive(labels, scores, loss)

    def emit_error(self, b: Builder, a: str, labels: str, p: str | None) -> tuple[str, str | None]:
        if p is None:
            return self.emit_slope(b, a, labels), None
        slope = self.emit_slope(b, b.matmul(a, p, transpose_b=True), labels)
        return b.matmul(slope, p), slope

    @abstractmethod
    def derive(self, labels: Array, scores: F32, loss: F32) -> None:
        """Replace `scores`, (batch, classes), by the derivative of the summed loss by them."""

    @abstractmethod
    def emit_slope(self, b: Builder, scores: str, labels: str) -> str:
        """`derive` as nodes of a Graph."""


class TargetLoss(LocalLoss):
    """A distance of the activation from its target, the row ``p[label]``.

    Its guess is the class whose target has the largest product with the activation.
    """

    def row_norm(self, gain: float, units: int) -> float:
        return gain * math.sqrt(units)

    def error(self, a: F32, labels: Array, p: F32 | None, slope: F32, e: F32, loss: F32) -> None:
        targets = _targets(p)
        np.matmul(a, targets.T, out=slope)
        kernels.errors.count_right(labels, slope, loss)
        self.distance(a, labels, targets, e, loss)

    @abstractmethod
    def distance(self, a: F32, labels: Array, p: F32, e: F32, loss: F32) -> None:
        """Write the derivative of the summed distance by `a` to `e`; add the distance to `loss`."""


@dataclass(frozen=True, slots=True)
class CrossEntropy(ReadoutLoss):
    """Softmax cross-entropy: ``slope = softmax(scores) - onehot(label)``.

    An instance of the "arbitrary losses" of tpSGD (Lomnitz et al. 2022). With a learned projection
    it is the rule of Mono-Forward (arXiv:2501.09238).
    """

    kind: ClassVar[str] = "cross_entropy"
    gain: ClassVar[float] = 2.0

    def derive(self, labels: Array, scores: F32, loss: F32) -> None:
        kernels.errors.softmax_cross_entropy(labels, scores, loss)

    def emit_slope(self, b: Builder, scores: str, labels: str) -> str:
        hot = b.apply(OneHot(b.specs[scores].shape[1]), labels)
        return b.binary("sub", b.softmax(scores), hot)


@dataclass(frozen=True, slots=True)
class Hinge(ReadoutLoss):
    """One against the rest: ``sum(max(0, 1 - s * score))``, s = 1 for the label, else -1."""

    kind: ClassVar[str] = "hinge"
    gain: ClassVar[float] = 1.0

    def derive(self, labels: Array, scores: F32, loss: F32) -> None:
        kernels.errors.hinge(labels, scores, loss)

    def emit_slope(self, b: Builder, scores: str, labels: str) -> str:
        side, margin = _emit_margin(b, scores, labels)
        return b.unary("neg", b.binary("mul", side, b.unary("sign", margin)))


@dataclass(frozen=True, slots=True)
class SquaredHinge(ReadoutLoss):
    """One against the rest: half of ``sum(max(0, 1 - s * score) ** 2)``, as a linear L2-SVM."""

    kind: ClassVar[str] = "squared_hinge"
    gain: ClassVar[float] = 1.0

    def derive(self, labels: Array, scores: F32, loss: F32) -> None:
        kernels.errors.squared_hinge(labels, scores, loss)

    def emit_slope(self, b: Builder, scores: str, labels: str) -> str:
        side, margin = _emit_margin(b, scores, labels)
        return b.unary("neg", b.binary("mul", side, margin))


def _emit_margin(b: Builder, scores: str, labels: str) -> tuple[str, str]:
    """The side of each class, +-1, and ``max(0, 1 - side * score)``."""
    hot = b.apply(OneHot(b.specs[scores].shape[1]), labels)
    side = b.binary("sub", b.binary("add", hot, hot), b.scalar(1))
    margin = b.binary("sub", b.scalar(1), b.binary("mul", side, scores))
    return side, b.unary("relu", margin)


@dataclass(frozen=True, slots=True)
class SquaredDistance(TargetLoss):
    """Half the squared distance from the target: l2, ``e = a - p[label]``.

    Source: J_i = |P_i y* - y_i|^2 of tpSGD (Lomnitz et al. 2022); the factor is in the rate.
    """

    kind: ClassVar[str] = "l2"
    gain: ClassVar[float] = 1.0

    def distance(self, a: F32, labels: Array, p: F32, e: F32, loss: F32) -> None:
        kernels.errors.squared(labels, p, a, e, loss)

    def emit_error(self, b: Builder, a: str, labels: str, p: str | None) -> tuple[str, str | None]:
        return b.binary("sub", a, b.apply(Gather(), _targets(p), labels)), None


@dataclass(frozen=True, slots=True)
class AbsoluteDistance(TargetLoss):
    """The absolute distance from the target: l1, ``e = sign(a - p[label])``."""

    kind: ClassVar[str] = "l1"
    gain: ClassVar[float] = 1.0

    def distance(self, a: F32, labels: Array, p: F32, e: F32, loss: F32) -> None:
        kernels.errors.absolute(labels, p, a, e, loss)

    def emit_error(self, b: Builder, a: str, labels: str, p: str | None) -> tuple[str, str | None]:
        return b.unary("sign", b.binary("sub", a, b.apply(Gather(), _targets(p), labels))), None


LOSSES: dict[str, LocalLoss] = {
    loss.kind: loss
    for loss in (CrossEntropy(), Hinge(), SquaredHinge(), SquaredDistance(), AbsoluteDistance())
}
"""Every loss of a hidden layer by the word that recipes use."""


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Cross-entropy of a head that is a distribution: ``e = a - onehot(label)``, by the scores."""

    def error(self, a: F32, labels: Array, p: F32 | None, slope: F32, e: F32, loss: F32) -> None:
        kernels.errors.count_right(labels, a, loss)
        kernels.errors.probability_error(labels, a, e, loss)

    def emit_error(self, b: Builder, a: str, labels: str, p: str | None) -> tuple[str, str | None]:
        return b.binary("sub", a, b.apply(OneHot(b.specs[a].shape[1]), labels)), None


def _targets(p: T | None) -> T:
    assert p is not None  # noqa: S101  a head has no target loss: config refuses it
    return p
