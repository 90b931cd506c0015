"""Fully connected layers: ``z = x @ w + b``, with `w` of shape (fan_in, fan_out)."""

from __future__ import annotations

import math
from typing import Final

from edgelearn.kernels._jit import F32, kernel
from edgelearn.kernels.functions import tanh
from edgelearn.kernels.products import product

LINEAR: Final = 0
TANH: Final = 1
RELU: Final = 2
SOFTMAX: Final = 3
LEAKY_RELU: Final = 4


@kernel
def normalize(mean: F32, scale: F32, x: F32) -> None:
    """Onto `x` (batch, features): ``(x - mean) * scale``.

    One mean for all, one a feature, or one a channel, which come again and again.
    """
    step = 0 if mean.size == 1 else 1
    size = mean.size if step else x.shape[1]
    for n in range(x.shape[0]):
        for start in range(0, x.shape[1], size):
            row = x[n, start : start + size]
            for i in range(size):
                row[i] = (row[i] - mean[i * step]) * scale[i * step]


@kernel
def softmax(row: F32) -> None:
    """Onto `row`: its softmax."""
    top = row[0]
    for j in range(1, row.size):
        top = max(top, row[j])
    total = row.dtype.type(0)
    for j in range(row.size):
        row[j] = math.exp(row[j] - top)
        total += row[j]
    for j in range(row.size):
        row[j] /= total


@kernel
def activate(b: F32, kind: int, z: F32) -> None:
    """Onto `z`: ``act(z + b)``, shape (batch, units)."""
    zero = z.dtype.type(0)
    for n in range(z.shape[0]):
        row = z[n]
        for j in range(row.size):
            row[j] += b[j]
        if kind == TANH:
            for j in range(row.size):
                row[j] = tanh(row[j])
        elif kind == RELU:
            for j in range(row.size):
                row[j] = max(row[j], zero)
        elif kind == LEAKY_RELU:
            leak = z.dtype.type(0.01)
            for j in range(row.size):
                row[j] = max(row[j], leak * row[j])
        elif kind == SOFTMAX:
            softmax(row)


@kernel
def local_error(a: F32, kind: int, e: F32) -> None:
    """Onto `e`, the derivative of the loss by `a`: ``e * act'(z)``, that by `z`.

    Every slope follows from `a`; for softmax `e` is the derivative by `z` already.
    """
    zero = a.dtype.type(0)
    one = a.dtype.type(1)
    leak = a.dtype.type(0.01)
    for n in range(e.shape[0]):
        for j in range(e.shape[1]):
            if kind == TANH:
                e[n, j] *= one - a[n, j] * a[n, j]
            elif kind == RELU and a[n, j] <= zero:
                e[n, j] = zero
            elif kind == LEAKY_RELU and a[n, j] <= zero:
                e[n, j] *= leak


@kernel
def forward(x: F32, w: F32, b: F32, kind: int, out: F32) -> None:
    """Onto `out` (batch, units): ``act(x @ w + b)``."""
    product(x, w, out)
    activate(b, kind, out)


@kernel
def add_outer(x: F32, d: F32, w: F32) -> None:
    """Onto `w`: ``w + x.T @ d``, skipping inputs that are 0; no buffer for the gradient.

    Four samples at once, so that a weight is loaded and stored once for all of them.
    """
    zero = x.dtype.type(0)
    whole = x.shape[0] - x.shape[0] % 4
    for i in range(x.shape[1]):
        weights = w[i]
        for n in range(0, whole, 4):
            p, q, r, s = x[n, i], x[n + 1, i], x[n + 2, i], x[n + 3, i]
            if p != zero or q != zero or r != zero or s != zero:
                d0, d1, d2, d3 = d[n], d[n + 1], d[n + 2], d[n + 3]
                for j in range(weights.size):
                    weights[j] += p * d0[j] + q * d1[j] + r * d2[j] + s * d3[j]
        for n in range(whole, x.shape[0]):
            factor = x[n, i]
            if factor != zero:
                row = d[n]
                for j in range(row.size):
                    weights[j] += factor * row[j]


@kernel
def add_rows(d: F32, b: F32) -> None:
    """Onto `b`: ``b + d.sum(axis=0)``."""
    for n in range(d.shape[0]):
        for j in range(b.size):
            b[j] += d[n, j]


@kernel
def descend(x: F32, d: F32, rate: float, w: F32, b: F32) -> None:
    """``w -= rate * x.T @ d`` and ``b -= rate * sum(d)`` in place; `d` is used up."""
    down = d.dtype.type(-rate)
    for n in range(d.shape[0]):
        for j in range(d.shape[1]):
            d[n, j] *= down
    add_outer(x, d, w)
    add_rows(d, b)
