"""Normalisation of rows."""

from __future__ import annotations

import math

from edgelearn.kernels._jit import F32, kernel


@kernel
def standardize(x: F32, epsilon: float, out: F32) -> None:
    """Onto `out` (batch, features): each row of `x` with mean 0 and variance 1."""
    size = x.dtype.type(x.shape[1])
    for n in range(x.shape[0]):
        total = x.dtype.type(0)
        for i in range(x.shape[1]):
            total += x[n, i]
        mean = total / size
        square = x.dtype.type(0)
        for i in range(x.shape[1]):
            gap = x[n, i] - mean
            square += gap * gap
        scale = x.dtype.type(1) / math.sqrt(square / size + x.dtype.type(epsilon))
        for i in range(x.shape[1]):
            out[n, i] = (x[n, i] - mean) * scale
