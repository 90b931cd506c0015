"""Losses of the activation itself: its distance from the projected label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeVar

from edgelearn import kernels
from edgelearn.arrays import F32, Array
from edgelearn.ir.builder import Builder
from edgelearn.ir.ops import Gather
from edgelearn.losses._base import TargetLoss, Workspace

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SquaredDistance(TargetLoss):
    """Half the squared distance from the target: l2, ``e = a - p[label]``.

    Source: J_i = |P_i y* - y_i|^2 of tpSGD (Lomnitz et al. 2022); the factor is in the rate.
    """

    kind: ClassVar[str] = "l2"

    def distance(self, a: F32, labels: Array, p: F32, space: Workspace) -> None:
        kernels.errors.squared(labels, p, a, space.error, space.loss)

    def emit_error(self, b: Builder, a: str, labels: str, p: str | None) -> tuple[str, str | None]:
        return b.binary("sub", a, b.apply(Gather(), _targets(p), labels)), None


@dataclass(frozen=True, slots=True)
class AbsoluteDistance(TargetLoss):
    """The absolute distance from the target: l1, ``e = sign(a - p[label])``."""

    kind: ClassVar[str] = "l1"

    def distance(self, a: F32, labels: Array, p: F32, space: Workspace) -> None:
        kernels.errors.absolute(labels, p, a, space.error, space.loss)

    def emit_error(self, b: Builder, a: str, labels: str, p: str | None) -> tuple[str, str | None]:
        return b.unary("sign", b.binary("sub", a, b.apply(Gather(), _targets(p), labels))), None


def _targets(p: T | None) -> T:
    assert p is not None  # noqa: S101  a head has no target loss: config refuses it
    return p
