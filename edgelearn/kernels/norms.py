"""Normalisation of rows, and of channels by statistics that follow the data."""

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


@kernel
def by_statistics(x: F32, mean: F32, variance: F32, epsilon: float, scale: F32, out: F32) -> None:
    """Onto `out` (places, channels): ``(x - mean) * scale``; `scale` (channels,) is work space."""
    one, tiny = x.dtype.type(1), x.dtype.type(epsilon)
    for c in range(scale.size):
        scale[c] = one / math.sqrt(variance[c] + tiny)
    for i in range(x.shape[0]):
        row, target = x[i], out[i]
        for c in range(scale.size):
            target[c] = (row[c] - mean[c]) * scale[c]


@kernel
def follow(x: F32, share: float, sums: F32, mean: F32, variance: F32) -> None:
    """Onto `mean` and `variance` (channels,): `share` of the way to those of `x`.

    `x` (samples, places, channels); `sums` (4, channels) is work space. A sample's sums are added
    up before they join the total: so many numbers would lose digits otherwise.
    """
    zero, part = x.dtype.type(0), x.dtype.type(share)
    count = x.dtype.type(x.shape[0] * x.shape[1])
    sums[2:] = zero
    for n in range(x.shape[0]):
        sums[:2] = zero
        for i in range(x.shape[1]):
            row = x[n, i]
            for c in range(mean.size):
                gap = row[c] - mean[c]
                sums[0, c] += gap
                sums[1, c] += gap * gap
        for c in range(mean.size):
            sums[2, c] += sums[0, c]
            sums[3, c] += sums[1, c]
    for c in range(mean.size):
        step = part * sums[2, c] / count
        variance[c] += part * (sums[3, c] / count - variance[c]) - step * step
        mean[c] += step
