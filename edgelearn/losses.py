"""Local losses: how far a layer's activation is from its own target.

Each loss says the same thing twice: as array code for the engine, as nodes for the Graph.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from edgelearn import kernels
from edgelearn.arrays import F32, Array
from edgelearn.ir.builder import Builder
from edgelearn.ir.ops import Gather, OneHot


class LocalLoss(Protocol):
    """A loss of a hidden layer, on the projection `p`, shape (classes, units)."""

    kind: ClassVar[str]
    gain: ClassVar[float]
    """Size of the projection that serves well; a recipe may say another."""

    def row_norm(self, gain: float, units: int) -> float:
        """The norm of the rows of `p`."""

    def error(self, a: F32, labels: Array, p: F32, logits: F32, e: F32, loss: F32) -> None:
        """Write the derivative of the summed loss by `a` to `e`; add the loss to `loss`.

        a, e: (batch, units); labels: (batch,); logits: (batch, classes) work space; loss: (1,).
        """

    def emit_error(self, b: Builder, a: str, labels: str, p: str) -> str:
        """`error` as nodes of a Graph."""


@dataclass(frozen=True, slots=True)
class CrossEntropy:
    """Softmax cross-entropy of the projected activation ``a @ p.T`` and the label.

    ``e = (softmax(a @ p.T) - onehot(label)) @ p``. An instance of the "arbitrary losses" of
    tpSGD; with a fixed projection it is close to deep-supervision rules with fixed heads.
    """

    kind: ClassVar[str] = "cross_entropy"
    gain: ClassVar[float] = 2.0

    def row_norm(self, gain: float, units: int) -> float:
        return gain

    def error(self, a: F32, labels: Array, p: F32, logits: F32, e: F32, loss: F32) -> None:
        np.matmul(a, p.T, out=logits)
        kernels.errors.softmax_cross_entropy(labels, logits, loss)
        np.matmul(logits, p, out=e)

    def emit_error(self, b: Builder, a: str, labels: str, p: str) -> str:
        classes = b.specs[p].shape[0]
        distribution = b.softmax(b.matmul(a, p, transpose_b=True))
        return b.matmul(b.binary("sub", distribution, b.apply(OneHot(classes), labels)), p)


@dataclass(frozen=True, slots=True)
class SquaredDistance:
    """Half the squared distance of the activation from its target ``p[label]``: l2.

    Source: J_i = |P_i y* - y_i|^2 of tpSGD (Lomnitz et al. 2022); the factor is in the rate.
    """

    kind: ClassVar[str] = "l2"
    gain: ClassVar[float] = 1.0

    def row_norm(self, gain: float, units: int) -> float:
        return gain * math.sqrt(units)

    def error(self, a: F32, labels: Array, p: F32, logits: F32, e: F32, loss: F32) -> None:
        kernels.errors.squared(labels, p, a, e, loss)

    def emit_error(self, b: Builder, a: str, labels: str, p: str) -> str:
        return b.binary("sub", a, b.apply(Gather(), p, labels))


@dataclass(frozen=True, slots=True)
class AbsoluteDistance:
    """The absolute distance of the activation from its target ``p[label]``: l1."""

    kind: ClassVar[str] = "l1"
    gain: ClassVar[float] = 1.0

    def row_norm(self, gain: float, units: int) -> float:
        return gain * math.sqrt(units)

    def error(self, a: F32, labels: Array, p: F32, logits: F32, e: F32, loss: F32) -> None:
        kernels.errors.absolute(labels, p, a, e, loss)

    def emit_error(self, b: Builder, a: str, labels: str, p: str) -> str:
        return b.unary("sign", b.binary("sub", a, b.apply(Gather(), p, labels)))


LOSSES: dict[str, LocalLoss] = {
    loss.kind: loss for loss in (CrossEntropy(), SquaredDistance(), AbsoluteDistance())
}
"""Every loss of a hidden layer by the word that recipes use."""


def head_error(a: F32, labels: Array, e: F32, loss: F32) -> None:
    """The head's own loss, cross-entropy of its distribution `a`: ``e = a - onehot(label)``."""
    kernels.errors.probability_error(labels, a, e, loss)


def emit_head_error(b: Builder, a: str, labels: str) -> str:
    """`head_error` as nodes of a Graph."""
    return b.binary("sub", a, b.apply(OneHot(b.specs[a].shape[1]), labels))
