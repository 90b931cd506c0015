"""Similarity matching: rows as directions, gaps between pairs of samples."""

from __future__ import annotations

import math

from edgelearn.kernels._jit import F32, Labels, kernel


@kernel
def unit_rows(a: F32, epsilon: float, e: F32, norms: F32) -> None:
    """Onto `e`: rows of `a` centred and scaled by `norms`, one over ``sqrt(|row|^2 + epsilon)``."""
    one = a.dtype.type(1)
    for n in range(a.shape[0]):
        mean, total = a.dtype.type(0), a.dtype.type(0)
        for j in range(a.shape[1]):
            mean += a[n, j]
        mean /= a.dtype.type(a.shape[1])
        for j in range(a.shape[1]):
            e[n, j] = a[n, j] - mean
            total += e[n, j] * e[n, j]
        norms[n] = one / math.sqrt(total + a.dtype.type(epsilon))
        for j in range(a.shape[1]):
            e[n, j] *= norms[n]


@kernel
def gaps(labels: Labels, apart: float, norms: F32, pairs: F32, loss: F32) -> None:
    """Onto `pairs`, which holds similarities: ``4 / batch * gap * norms[column]``.

    A gap is what is over 1 for equal labels, over `apart` for others. Adds to `loss` the sum of
    squared gaps over the batch.
    """
    batch = norms.size
    total = norms.dtype.type(0)
    share = norms.dtype.type(4) / norms.dtype.type(batch)
    for n in range(batch):
        for m in range(batch):
            wanted = norms.dtype.type(1) if labels[n] == labels[m] else norms.dtype.type(apart)
            gap = pairs[n, m] - wanted
            total += gap * gap
            pairs[n, m] = share * gap * norms[m]
    loss[0] += total / norms.dtype.type(batch)


@kernel
def back(a: F32, norms: F32, e: F32) -> None:
    """Onto `e`, sums of rows of `a`: ``norms * (e - (e . n) n)``, both centred, n of norm 1."""
    units = a.dtype.type(a.shape[1])
    for n in range(a.shape[0]):
        mean, middle, along = a.dtype.type(0), a.dtype.type(0), a.dtype.type(0)
        for j in range(a.shape[1]):
            mean += a[n, j]
            middle += e[n, j]
        mean /= units
        middle /= units
        for j in range(a.shape[1]):
            e[n, j] -= middle
            along += e[n, j] * (a[n, j] - mean)
        along *= norms[n] * norms[n]
        for j in range(a.shape[1]):
            e[n, j] = norms[n] * (e[n, j] - along * (a[n, j] - mean))
