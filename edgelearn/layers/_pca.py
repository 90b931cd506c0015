"""Filters from the data without labels: whitened principal components of patches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgelearn.arrays import F32, Array, as_f32
from edgelearn.rng import Stream, normal

FLOOR = 0.03
"""Added to every variance, as a part of the mean variance: small components are noise."""


class Covariance:
    """Mean and covariance of rows that come a chunk at a time."""

    def __init__(self, size: int) -> None:
        self.count = 0
        self.total = np.zeros(size)
        self.products = np.zeros((size, size))

    def add(self, rows: F32) -> None:
        """Count these `rows`, shape (n, size), in."""
        self.count += len(rows)
        self.total += rows.sum(axis=0, dtype=np.float64)
        self.products += rows.T.astype(np.float64) @ rows

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean row."""
        return self.total / max(self.count, 1)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """Covariance."""
        mean = self.mean
        return self.products / max(self.count, 1) - np.outer(mean, mean)


def whitened_filters(covariance: Covariance, filters: int, *, signed: bool) -> tuple[F32, F32]:
    """Filters (patch, filters) and bias (filters,) whose responses have mean 0 and variance 1.

    Parameters
    ----------
    covariance : Covariance
        Of patches.
    filters : int
        Where patches have fewer components, the rest are random mixtures of them.
    signed : bool
        Whether every filter comes with its negative, for activations that cut one side away.

    Notes
    -----
    ``w = (L + 0.03 * mean(L)) ** -0.5 @ U.T`` with covariance ``U L U.T``; bias ``-w @ mean``.
    Source: PCA whitening (Coates & Ng 2012), used as the start of layer-local learning.
    """
    values, vectors = np.linalg.eigh(covariance.matrix)
    values, vectors = values[::-1].clip(min=0), vectors[:, ::-1]
    wanted = -(-filters // 2) if signed else filters
    spread = np.sqrt(values + FLOOR * values.mean() + np.finfo(np.float64).tiny)
    basis = vectors / spread
    w: Array = basis[:, :wanted]
    if wanted > basis.shape[1]:
        mix = normal(0, Stream.INIT, 0, (basis.shape[1], wanted - basis.shape[1]))
        w = np.concatenate([w, basis @ (mix / np.linalg.norm(mix, axis=0))], axis=1)
    if signed:
        w = np.concatenate([w, -w], axis=1)[:, :filters]
    return as_f32(w), as_f32(-(covariance.mean @ w))
