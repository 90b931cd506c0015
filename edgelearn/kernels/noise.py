"""Random numbers that are added where they fall: the n-th follows from a key and n alone."""

from __future__ import annotations

import math

import numpy as np

from edgelearn.kernels._jit import F32, kernel


@kernel
def add_normal(key: np.uint64, first: int, size: float, out: F32) -> None:
    """Onto `out`, flat: `size` times the standard normal numbers of `key`, from ``2 * first`` on.

    Two of them come from 64 bits of SplitMix64 (as in `edgelearn.rng`) by Box and Muller's
    transform: 24 bits for the radius, 24 for the angle.
    """
    unit, turn = out.dtype.type(2.0**-24), out.dtype.type(2 * math.pi)
    for n in range(0, out.size, 2):
        z = key + np.uint64(first + n // 2 + 1) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
        part = out.dtype.type((z >> np.uint64(40)) + np.uint64(1)) * unit
        angle = turn * (out.dtype.type(z & np.uint64(0xFFFFFF)) * unit)
        radius = out.dtype.type(size) * math.sqrt(out.dtype.type(-2) * math.log(part))
        out[n] += radius * math.cos(angle)
        if n + 1 < out.size:
            out[n + 1] += radius * math.sin(angle)
