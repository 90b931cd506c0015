"""Label projections: the fixed random matrices that give every layer a target of its own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from edgelearn import kernels
from edgelearn.arrays import F32, as_f32
from edgelearn.rng import Stream, key, normal

ProjectionKind: TypeAlias = Literal["orthonormal", "sign", "gauss"]


def projection(
    kind: ProjectionKind, classes: int, units: int, row_norm: float, seed: int, layer: int
) -> F32:
    """The projection `p` of one layer; row c is the target of class c.

    Parameters
    ----------
    kind : {"orthonormal", "sign", "gauss"}
        Rows orthogonal to each other (where units >= classes), entries of +-1 only, or
        independent normal entries.
    classes, units : int
    row_norm : float
        The Euclidean norm that every row is scaled to.
    seed, layer : int
        The matrix follows from these two: nothing needs to be stored.

    Returns
    -------
    array, shape (classes, units)

    Notes
    -----
    Source: the random projections of labels P_i y* of tpSGD (Lomnitz et al. 2022,
    arXiv:2208.08503). That orthonormal rows serve best is this project's own finding.

    >>> p = projection("orthonormal", 10, 64, 2.0, seed=0, layer=0)
    >>> bool(np.allclose(p @ p.T, 4 * np.eye(10), atol=1e-5))
    True
    """
    draws = normal(seed, Stream.PROJECTION, layer, (classes, units))
    if kind == "sign":
        draws = np.where(draws < 0, -1.0, 1.0)
    elif kind == "orthonormal" and units >= classes:
        q, r = np.linalg.qr(draws.T)
        draws = (q * np.sign(np.diag(r))).T
    norms = np.sqrt((draws * draws).sum(axis=1, keepdims=True))
    return as_f32(draws * (row_norm / norms))


@dataclass(frozen=True, slots=True, eq=False)
class SignRows:
    """A projection of signs that is never held: its rows are made when they are needed.

    The same numbers as ``projection("sign", ...)``, at most `chunk` rows at a time, so that many
    classes cost no memory of classes times units; each row is made twice a step.
    """

    classes: int
    units: int
    row_norm: float
    seed: int
    layer: int
    chunk: int

    def __len__(self) -> int:
        return self.classes

    def work_size(self, rows: int) -> int:
        """Elements of work space for so many rows of features: a chunk, and their error."""
        return (self.chunk + rows) * self.units

    def scores(self, a: F32, out: F32, work: F32) -> None:
        """``a @ p.T`` to `out`, (batch, classes)."""
        for part, rows in self._chunks(work):
            np.matmul(a, rows.T, out=out[:, part])

    def back(self, slopes: F32, out: F32, work: F32) -> None:
        """``slopes @ p`` to `out`, (batch, units)."""
        some = work[self.chunk * self.units :][: out.size].reshape(out.shape)
        out[:] = 0
        for part, rows in self._chunks(work):
            np.add(out, np.matmul(slopes[:, part], rows, out=some), out=out)

    def whole(self) -> F32:
        """All of it, for a Graph, which holds it as a constant."""
        return projection("sign", self.classes, self.units, self.row_norm, self.seed, self.layer)

    def _chunks(self, work: F32) -> Iterator[tuple[slice, F32]]:
        """Which classes, and their rows, which hold until the next are asked for."""
        start_of = np.array([key(self.seed, Stream.PROJECTION, self.layer)])
        size = self.row_norm / math.sqrt(self.units)
        for start in range(0, self.classes, self.chunk):
            stop = min(start + self.chunk, self.classes)
            rows = work[: (stop - start) * self.units].reshape(-1, self.units)
            # The first classes * units numbers of the stream are the radii of the transform.
            with np.errstate(over="ignore"):  # the generator counts modulo 2^64
                kernels.signs.signs(start_of, (self.classes + start) * self.units, size, rows)
            yield slice(start, stop), rows
