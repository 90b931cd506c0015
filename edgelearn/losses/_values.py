"""Losses of a regression: how far the scores are from values, one an output.

Targets are standardised, so that every output weighs the same and a scale of 1 means one deviation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edgelearn import kernels
from edgelearn.arrays import F32, Array
from edgelearn.ir.builder import Builder
from edgelearn.losses._base import Answers, ReadoutLoss, Task, emit_mean


@dataclass(frozen=True, slots=True)
class SquaredError(ReadoutLoss):
    """Half the squared error, summed over outputs: ``slopes = scores - y``."""

    kind: ClassVar[str] = "mse"
    task: ClassVar[Task] = "values"
    answers: ClassVar[Answers] = "values"

    def derive(self, labels: Array, scores: F32, loss: F32) -> None:
        kernels.errors.squared_error(labels, scores, loss)

    def emit_slope(self, b: Builder, scores: str, labels: str) -> str:
        return b.binary("sub", scores, labels)

    def emit_value(self, b: Builder, a: str, labels: str) -> str:
        gap = b.binary("sub", a, labels)
        return emit_mean(b, b.binary("mul", b.binary("mul", b.scalar(0.5), gap), gap))


@dataclass(frozen=True, slots=True)
class Huber(ReadoutLoss):
    """Squared error up to one deviation, absolute beyond: ``slopes = clip(scores - y, -1, 1)``.

    Source: Huber 1964, with delta = 1.
    """

    kind: ClassVar[str] = "huber"
    task: ClassVar[Task] = "values"
    answers: ClassVar[Answers] = "values"

    def derive(self, labels: Array, scores: F32, loss: F32) -> None:
        kernels.errors.huber(labels, scores, loss)

    def emit_slope(self, b: Builder, scores: str, labels: str) -> str:
        return _emit_clipped(b, b.binary("sub", scores, labels))

    def emit_value(self, b: Builder, a: str, labels: str) -> str:
        gap = b.binary("sub", a, labels)
        clipped = _emit_clipped(b, gap)
        rest = b.binary("sub", gap, b.binary("mul", b.scalar(0.5), clipped))
        return emit_mean(b, b.binary("mul", clipped, rest))


def _emit_clipped(b: Builder, gap: str) -> str:
    return b.binary("min", b.binary("max", gap, b.scalar(-1)), b.scalar(1))
