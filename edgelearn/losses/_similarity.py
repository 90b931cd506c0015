"""Similarity matching: samples of one class shall look alike, those of different classes apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgelearn import kernels
from edgelearn.arrays import F32, Array
from edgelearn.ir.builder import Builder
from edgelearn.ir.ops import BatchSize, OneHot, Reduce
from edgelearn.losses._base import LocalLoss, Workspace
from edgelearn.losses._labels import CrossEntropy

EPSILON = 1e-5
"""Added to squared norms: a sample without any feature has no direction."""


@dataclass(frozen=True, slots=True)
class Similarity(LocalLoss):
    """``|S(a) - S(onehot(label))|^2 / batch``, S the cosines between samples, each centred.

    Summed over the batch as other losses are, so that its mean is the paper's mean over all pairs.
    S of labels is 1 for two of the same class and ``-1 / (classes - 1)`` for others. The samples
    of a batch teach each other: two are the fewest, and a last batch of one teaches nothing.

    Parameters
    ----------
    classes : int

    Notes
    -----
    Source: L_sim of Nokland & Eidnes 2019 (arXiv:1901.06656), of the activation itself, without
    the linear map that the paper learns in between. With n the centred rows scaled to norm 1, r
    one over their norms, and ``D = S(a) - S(y)``: ``g = 4 / batch * D @ n``,
    ``e = r (g - (g . n) n)``; centring changes no more, as the rows of g have mean 0.
    """

    kind: ClassVar[str] = "similarity"
    compares: ClassVar[bool] = True
    needs_projection: ClassVar[bool] = False
    classes: int = 2

    @property
    def apart(self) -> float:
        """The similarity of labels of different classes."""
        return -1 / max(self.classes - 1, 1)

    def work_size(self, rows: int, units: int) -> int:
        """A number for each pair of samples, and one for each sample."""
        return rows * (rows + 1)

    def error(self, a: F32, labels: Array, p: F32 | None, space: Workspace) -> None:
        rows, e = len(a), space.error
        pairs = space.work[: rows * rows].reshape(rows, rows)
        norms = space.work[rows * rows : rows * (rows + 1)]
        kernels.similarity.unit_rows(a, EPSILON, e, norms)
        np.matmul(e, e.T, out=pairs)
        kernels.similarity.gaps(labels, self.apart, norms, pairs, space.loss)
        np.matmul(pairs, a, out=e)
        kernels.similarity.back(a, norms, e)

    def emit_error(self, b: Builder, a: str, labels: str, p: str | None) -> tuple[str, str | None]:
        norms, n = _emit_unit_rows(b, a)
        hot = b.apply(OneHot(self.classes), labels)
        same = b.binary("mul", b.matmul(hot, hot, transpose_b=True), b.scalar(1 - self.apart))
        wanted = b.binary("add", same, b.scalar(self.apart))
        gaps = b.binary("sub", b.matmul(n, n, transpose_b=True), wanted)
        share = b.binary("div", b.scalar(4), b.apply(BatchSize(), labels))
        g = b.binary("mul", b.matmul(gaps, n), share)
        along = b.apply(Reduce("sum", (1,), keepdims=True), b.binary("mul", g, n))
        return b.binary("mul", norms, b.binary("sub", g, b.binary("mul", along, n))), None


def _emit_unit_rows(b: Builder, a: str) -> tuple[str, str]:
    """One over the norm of each row once it is centred, and the rows scaled by it."""
    centred = b.binary("sub", a, b.apply(Reduce("mean", (1,), keepdims=True), a))
    square = b.apply(Reduce("sum", (1,), keepdims=True), b.binary("mul", centred, centred))
    norm = b.unary("sqrt", b.binary("add", square, b.scalar(EPSILON)))
    norms = b.binary("div", b.scalar(1), norm)
    return norms, b.binary("mul", centred, norms)


@dataclass(frozen=True, slots=True)
class PredSim(CrossEntropy):
    """``(1 - beta) * cross_entropy + beta * similarity``, the scores read out by the projection.

    Parameters
    ----------
    classes : int
    beta : float
        The paper's by default.

    Notes
    -----
    Source: predsim of Nokland & Eidnes 2019 (arXiv:1901.06656), whose readout is learned.
    """

    kind: ClassVar[str] = "predsim"
    compares: ClassVar[bool] = True
    classes: int = 2
    beta: float = 0.99

    @property
    def similarity(self) -> Similarity:
        """The part that compares samples."""
        return Similarity(self.classes)

    def work_size(self, rows: int, units: int) -> int:
        """That of similarity, and its error while the other is made."""
        return self.similarity.work_size(rows, units) + rows * units

    def error(self, a: F32, labels: Array, p: F32 | None, space: Workspace) -> None:
        loss, beta, rest = space.loss, np.float32(self.beta), np.float32(1 - self.beta)
        apart = space.work[-a.size :].reshape(a.shape)
        before = loss[0]
        loss[0] = 0
        self.similarity.error(a, labels, None, space)
        np.multiply(space.error, beta, out=apart)
        before += beta * loss[0]
        loss[0] = 0
        CrossEntropy.error(self, a, labels, p, space)
        for array in (space.error, space.slopes):
            np.multiply(array, rest, out=array)
        np.add(space.error, apart, out=space.error)
        loss[0] = before + rest * loss[0]

    def emit_error(self, b: Builder, a: str, labels: str, p: str | None) -> tuple[str, str | None]:
        beta, rest = b.scalar(self.beta), b.scalar(1 - self.beta)
        alike, _ = self.similarity.emit_error(b, a, labels, None)
        told, slopes = CrossEntropy.emit_error(self, b, a, labels, p)
        assert slopes is not None  # noqa: S101  it is of hidden layers only
        both = b.binary("add", b.binary("mul", told, rest), b.binary("mul", alike, beta))
        return both, b.binary("mul", slopes, rest)
