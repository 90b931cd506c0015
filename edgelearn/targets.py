"""Label projections: the fixed random matrices that give every layer a target of its own."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from edgelearn.arrays import F32, as_f32
from edgelearn.rng import Stream, normal

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
