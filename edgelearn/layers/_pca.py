"""Filters from the data without labels: whitened principal components of patches."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgelearn.arrays import F32, Array, as_f32
from edgelearn.rng import Stream, normal

FLOOR = 0.03
"""Added to every variance, as a part of the mean variance: small components are noise."""


class Components(Protocol):
    """Principal components of rows that come a chunk at a time."""

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean row."""

    @property
    def mean_variance(self) -> float:
        """The mean of the variances of all elements."""

    def add(self, rows: F32) -> None:
        """Count these `rows`, shape (n, size), in."""

    def leading(self, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Variances of the first `count` components, and the components (size, count)."""


class Covariance:
    """Components from the whole covariance: exact, in some 50 bytes times the square of `size`."""

    def __init__(self, size: int) -> None:
        self._count = 0
        self._total = np.zeros(size)
        self._products = np.zeros((size, size))
        self._waiting: list[F32] = []

    @staticmethod
    def bytes(size: int, groups: int) -> int:
        """Bytes at the most, of so many at a time.

        Each holds its products, and up to `size` rows of float32; of one at a time LAPACK has the
        matrix, a copy, the vectors, and work space for two more.
        """
        return 8 * size * size * (5 + groups) + 4 * size * size * groups

    def add(self, rows: F32) -> None:
        """Count these `rows`, shape (n, size), in; a product is made of many at once."""
        self._waiting.append(rows.copy())
        if sum(map(len, self._waiting)) >= self._total.size:
            self._count_in()

    def _count_in(self) -> None:
        """Count in the rows that wait."""
        if self._waiting:
            rows = np.concatenate(self._waiting).astype(np.float64)
            self._waiting.clear()
            self._count += len(rows)
            self._total += rows.sum(axis=0)
            self._products += rows.T @ rows

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean row."""
        self._count_in()
        return self._total / max(self._count, 1)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """Covariance."""
        mean = self.mean
        return self._products / max(self._count, 1) - np.outer(mean, mean)

    @property
    def mean_variance(self) -> float:
        """The mean of the variances of all elements."""
        return float(np.trace(self.matrix)) / self._total.size

    def leading(self, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Variances of the first `count` components, and the components (size, count)."""
        values, vectors = np.linalg.eigh(self.matrix)
        return values[::-1][:count], vectors[:, ::-1][:, :count]


def whitened_filters(found: Components, filters: int, *, signed: bool) -> tuple[F32, F32]:
    """Filters (patch, filters) and bias (filters,) whose responses have mean 0 and variance 1.

    Parameters
    ----------
    found : Components
        Of patches: as many as filters, or half as many if `signed`.
    filters : int
        Where patches have fewer components, the rest are random mixtures of them.
    signed : bool
        Whether every filter comes with its negative, for activations that cut one side away.

    Notes
    -----
    ``w = (L + 0.03 * mean(L)) ** -0.5 @ U.T`` with covariance ``U L U.T``; bias ``-w @ mean``.
    Source: PCA whitening (Coates & Ng 2012), used as the start of layer-local learning.
    """
    wanted = wanted_components(filters, signed=signed)
    values, vectors = found.leading(wanted)
    floor = FLOOR * found.mean_variance + np.finfo(np.float64).tiny
    basis = vectors / np.sqrt(values.clip(min=0) + floor)
    w: Array = basis
    if wanted > basis.shape[1]:
        mix = normal(0, Stream.INIT, 0, (basis.shape[1], wanted - basis.shape[1]))
        w = np.concatenate([w, basis @ (mix / np.linalg.norm(mix, axis=0))], axis=1)
    if signed:
        w = np.concatenate([w, -w], axis=1)[:, :filters]
    return as_f32(w), as_f32(-(found.mean @ w))


def wanted_components(filters: int, *, signed: bool) -> int:
    """How many components so many filters are made of."""
    return -(-filters // 2) if signed else filters
