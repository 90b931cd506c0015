"""Matrices (fan_in, units) of which most weights are 0: only the others are stored and touched.

Unit j has the places ``starts[j]`` to ``starts[j + 1]`` in `index` and `values`: one weight and the
input it reads, or four weights and which four inputs. Indices are unsigned, or each access would
first ask whether it counts from the end; four sums run side by side, or each addition would wait
for the one before.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from edgelearn.kernels._jit import F32, U8, U32, kernel, packed_kernel

ONE: Final = np.uint32(1)
TWO: Final = np.uint32(2)
THREE: Final = np.uint32(3)
FOUR: Final = np.uint32(4)
FIVE: Final = np.uint32(5)
SIX: Final = np.uint32(6)
SEVEN: Final = np.uint32(7)


@kernel
def hold(mask: U8, w: F32) -> None:
    """Onto `w`: 0 where `mask` is 0; both flat."""
    zero = w.dtype.type(0)
    for i in range(w.size):
        if mask[i] == 0:
            w[i] = zero


@packed_kernel
def product(starts: U32, index: U32, values: F32, x: F32, z: F32) -> None:
    """Onto `z`: ``x @ w`` of single weights."""
    for n in range(x.shape[0]):
        row = x[n]
        for j in range(np.uint32(z.shape[1])):
            a = b = c = d = x.dtype.type(0)
            k, end = starts[j], starts[j + ONE]
            for _ in range((end - k) // FOUR):
                a += values[k] * row[index[k]]
                b += values[k + ONE] * row[index[k + ONE]]
                c += values[k + TWO] * row[index[k + TWO]]
                d += values[k + THREE] * row[index[k + THREE]]
                k += FOUR
            for m in range(k, end):
                a += values[m] * row[index[m]]
            z[n, j] = (a + b) + (c + d)


@kernel
def add_outer(starts: U32, index: U32, x: F32, d: F32, values: F32) -> None:
    """Onto `values`: ``w + x.T @ d`` of single weights."""
    for n in range(x.shape[0]):
        row = x[n]
        for j in range(np.uint32(d.shape[1])):
            factor = d[n, j]
            for k in range(starts[j], starts[j + ONE]):
                values[k] += factor * row[index[k]]


@packed_kernel
def block_product(starts: U32, index: U32, values: F32, x: F32, z: F32) -> None:
    """Onto `z`: ``x @ w`` of blocks of four; x: (batch, fan_in), padded to whole blocks."""
    for n in range(x.shape[0]):
        row = x[n]
        for j in range(np.uint32(z.shape[1])):
            a = b = c = d = e = f = g = h = x.dtype.type(0)
            k, end = starts[j], starts[j + ONE]
            for _ in range((end - k) // TWO):
                v, i, o = FOUR * k, FOUR * index[k], FOUR * index[k + ONE]
                a += values[v] * row[i]
                b += values[v + ONE] * row[i + ONE]
                c += values[v + TWO] * row[i + TWO]
                d += values[v + THREE] * row[i + THREE]
                e += values[v + FOUR] * row[o]
                f += values[v + FIVE] * row[o + ONE]
                g += values[v + SIX] * row[o + TWO]
                h += values[v + SEVEN] * row[o + THREE]
                k += TWO
            if k < end:
                v, i = FOUR * k, FOUR * index[k]
                a += values[v] * row[i]
                b += values[v + ONE] * row[i + ONE]
                c += values[v + TWO] * row[i + TWO]
                d += values[v + THREE] * row[i + THREE]
            z[n, j] = ((a + e) + (b + f)) + ((c + g) + (d + h))


@packed_kernel
def block_add_outer(starts: U32, index: U32, x: F32, d: F32, values: F32) -> None:
    """Onto `values`: ``w + x.T @ d`` of blocks of four; `x` as for `block_product`."""
    for n in range(x.shape[0]):
        row = x[n]
        for j in range(np.uint32(d.shape[1])):
            factor = d[n, j]
            for k in range(starts[j], starts[j + ONE]):
                v, i = FOUR * k, FOUR * index[k]
                values[v] += factor * row[i]
                values[v + ONE] += factor * row[i + ONE]
                values[v + TWO] += factor * row[i + TWO]
                values[v + THREE] += factor * row[i + THREE]
