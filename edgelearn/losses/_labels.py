"""Losses of scores, one a class: cross-entropy and the hinges; the losses of heads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edgelearn import kernels
from edgelearn.arrays import F32, Array
from edgelearn.ir.builder import Builder
from edgelearn.ir.ops import OneHot
from edgelearn.losses._base import Answers, Loss, ReadoutLoss, Workspace, emit_mean


def emit_one_hot(b: Builder, like: str, labels: str) -> str:
    """Rows with a 1 at the label, as wide as `like`."""
    return b.apply(OneHot(b.specs[like].shape[1]), labels)


@dataclass(frozen=True, slots=True)
class CrossEntropy(ReadoutLoss):
    """Softmax cross-entropy: ``slopes = softmax(scores) - onehot(label)``.

    An instance of the "arbitrary losses" of tpSGD (Lomnitz et al. 2022). With a learned projection
    it is the rule of Mono-Forward (arXiv:2501.09238).
    """

    kind: ClassVar[str] = "cross_entropy"
    gain: ClassVar[float] = 2.0

    def derive(self, labels: Array, scores: F32, loss: F32) -> None:
        kernels.errors.softmax_cross_entropy(labels, scores, loss)

    def emit_slope(self, b: Builder, scores: str, labels: str) -> str:
        return b.binary("sub", b.softmax(scores), emit_one_hot(b, scores, labels))


@dataclass(frozen=True, slots=True)
class Hinge(ReadoutLoss):
    """One against the rest: ``sum(max(0, 1 - s * score))``, s = 1 for the label, else -1."""

    kind: ClassVar[str] = "hinge"
    answers: ClassVar[Answers] = "scores"

    def derive(self, labels: Array, scores: F32, loss: F32) -> None:
        kernels.errors.hinge(labels, scores, loss)

    def emit_slope(self, b: Builder, scores: str, labels: str) -> str:
        side, margin = _emit_margin(b, scores, labels)
        return b.unary("neg", b.binary("mul", side, b.unary("sign", margin)))

    def emit_value(self, b: Builder, a: str, labels: str) -> str:
        return emit_mean(b, _emit_margin(b, a, labels)[1])


@dataclass(frozen=True, slots=True)
class SquaredHinge(ReadoutLoss):
    """One against the rest: half of ``sum(max(0, 1 - s * score) ** 2)``, as a linear L2-SVM."""

    kind: ClassVar[str] = "squared_hinge"
    answers: ClassVar[Answers] = "scores"

    def derive(self, labels: Array, scores: F32, loss: F32) -> None:
        kernels.errors.squared_hinge(labels, scores, loss)

    def emit_slope(self, b: Builder, scores: str, labels: str) -> str:
        side, margin = _emit_margin(b, scores, labels)
        return b.unary("neg", b.binary("mul", side, margin))

    def emit_value(self, b: Builder, a: str, labels: str) -> str:
        _, margin = _emit_margin(b, a, labels)
        half = b.binary("mul", b.scalar(0.5), margin)
        return emit_mean(b, b.binary("mul", half, margin))


def _emit_margin(b: Builder, scores: str, labels: str) -> tuple[str, str]:
    """The side of each class, +-1, and ``max(0, 1 - side * score)``."""
    hot = emit_one_hot(b, scores, labels)
    side = b.binary("sub", b.binary("add", hot, hot), b.scalar(1))
    margin = b.binary("sub", b.scalar(1), b.binary("mul", side, scores))
    return side, b.unary("relu", margin)


@dataclass(frozen=True, slots=True)
class Likelihood(Loss):
    """Cross-entropy of a head that is a distribution: ``e = a - onehot(label)``, by the scores."""

    answers: ClassVar[Answers] = "probabilities"

    def error(self, a: F32, labels: Array, p: F32 | None, space: Workspace) -> None:
        kernels.errors.count_right(labels, a, space.loss)
        kernels.errors.probability_error(labels, a, space.error, space.loss)

    def emit_error(self, b: Builder, a: str, labels: str, p: str | None) -> tuple[str, str | None]:
        return b.binary("sub", a, emit_one_hot(b, a, labels)), None

    def emit_value(self, b: Builder, a: str, labels: str) -> str:
        log = b.unary("log", b.binary("max", a, b.scalar(1e-37)))
        chosen = b.binary("mul", log, emit_one_hot(b, a, labels))
        return b.unary("neg", emit_mean(b, chosen))
