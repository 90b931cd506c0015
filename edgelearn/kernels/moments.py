"""Optimisers that remember: one pass over a parameter, its gradient and its moments."""

from __future__ import annotations

import math

from edgelearn.kernels._jit import F32, kernel


@kernel
def adam(g: F32, rate: float, spread: float, m: F32, v: F32, p: F32) -> None:
    """Onto flat `p` and its moments: ``p -= rate * m / (spread * sqrt(v) + 1e-8)``."""
    one = p.dtype.type(1)
    b1, b2, tiny = p.dtype.type(0.9), p.dtype.type(0.999), p.dtype.type(1e-8)
    step, scale = p.dtype.type(rate), p.dtype.type(spread)
    for i in range(p.size):
        m[i] = b1 * m[i] + (one - b1) * g[i]
        v[i] = b2 * v[i] + (one - b2) * g[i] * g[i]
        p[i] -= step * m[i] / (scale * math.sqrt(v[i]) + tiny)


@kernel
def follow(v: F32, rate: float, p: F32) -> None:
    """Onto flat `p`: ``p - rate * v``."""
    step = p.dtype.type(rate)
    for i in range(p.size):
        p[i] -= step * v[i]
