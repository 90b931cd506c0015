"""Matrices (fan_in, units) of which most weights are 0: only the others are stored and touched.

Unit j has the places ``starts[j]`` to ``starts[j + 1]`` in `index` and `values`: one weight and the
input it meets, or four weights and which four inputs. Indices are unsigned, or each access would
first ask whether it counts from the end; sums run side by side, or each addition would wait for the
one before. Several samples are taken at a time, so that a weight and its place are read once for
all of them.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from edgelearn.kernels._jit import F32, U8, U16, U32, kernel, packed_kernel

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
def _one(starts: U32, index: U16, values: F32, row: F32, z: F32) -> None:
    """Onto `z`: the product of one sample with single weights."""
    for j in range(np.uint32(z.size)):
        a = b = c = d = z.dtype.type(0)
        k, end = starts[j], starts[j + ONE]
        for _ in range((end - k) // FOUR):
            a += values[k] * row[index[k]]
            b += values[k + ONE] * row[index[k + ONE]]
            c += values[k + TWO] * row[index[k + TWO]]
            d += values[k + THREE] * row[index[k + THREE]]
            k += FOUR
        for m in range(k, end):
            a += values[m] * row[index[m]]
        z[j] = (a + b) + (c + d)


@packed_kernel
def product(starts: U32, index: U16, values: F32, x: F32, z: F32) -> None:
    """Onto `z`: ``x @ w`` of single weights."""
    fours = x.shape[0] // 4 * 4
    for n in range(0, fours, 4):
        p, q, r, s = x[n], x[n + 1], x[n + 2], x[n + 3]
        for j in range(np.uint32(z.shape[1])):
            a = b = c = d = z.dtype.type(0)
            for k in range(starts[j], starts[j + ONE]):
                v, i = values[k], index[k]
                a += v * p[i]
                b += v * q[i]
                c += v * r[i]
                d += v * s[i]
            z[n, j], z[n + 1, j], z[n + 2, j], z[n + 3, j] = a, b, c, d
    for n in range(fours, x.shape[0]):
        _one(starts, index, values, x[n], z[n])


@kernel
def add_outer(starts: U32, index: U16, x: F32, d: F32, values: F32) -> None:
    """Onto `values`: ``w + x.T @ d`` of single weights."""
    fours = x.shape[0] // 4 * 4
    for n in range(0, fours, 4):
        p, q, r, s = x[n], x[n + 1], x[n + 2], x[n + 3]
        for j in range(np.uint32(d.shape[1])):
            dp, dq, dr, ds = d[n, j], d[n + 1, j], d[n + 2, j], d[n + 3, j]
            for k in range(starts[j], starts[j + ONE]):
                i = index[k]
                values[k] += (dp * p[i] + dq * q[i]) + (dr * r[i] + ds * s[i])
    for n in range(fours, x.shape[0]):
        row = x[n]
        for j in range(np.uint32(d.shape[1])):
            factor = d[n, j]
            for k in range(starts[j], starts[j + ONE]):
                values[k] += factor * row[index[k]]


@packed_kernel
def _block_two(starts: U32, index: U16, values: F32, x: F32, z: F32) -> None:
    """Onto `z`: the products of pairs of samples with blocks of four; not of a last one."""
    for n in range(0, x.shape[0] // 2 * 2, 2):
        p, q = x[n], x[n + 1]
        for j in range(np.uint32(z.shape[1])):
            a = b = c = d = e = f = g = h = z.dtype.type(0)
            for k in range(starts[j], starts[j + ONE]):
                v, i = FOUR * k, FOUR * index[k]
                a += values[v] * p[i]
                b += values[v + ONE] * p[i + ONE]
                c += values[v + TWO] * p[i + TWO]
                d += values[v + THREE] * p[i + THREE]
                e += values[v] * q[i]
                f += values[v + ONE] * q[i + ONE]
                g += values[v + TWO] * q[i + TWO]
                h += values[v + THREE] * q[i + THREE]
            z[n, j], z[n + 1, j] = (a + b) + (c + d), (e + f) + (g + h)


@packed_kernel
def block_product(starts: U32, index: U16, values: F32, x: F32, z: F32) -> None:
    """Onto `z`: ``x @ w`` of blocks of four."""
    pairs = x.shape[0] // 2 * 2
    if pairs > 0:
        _block_two(starts, index, values, x, z)
    for n in range(pairs, x.shape[0]):
        row = x[n]
        for j in range(np.uint32(z.shape[1])):
            a = b = c = d = e = f = g = h = z.dtype.type(0)
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
def block_add_outer(starts: U32, index: U16, x: F32, d: F32, values: F32) -> None:
    """Onto `values`: ``w + x.T @ d`` of blocks of four."""
    fours = x.shape[0] // 4 * 4
    for n in range(0, fours, 4):
        p, q, r, s = x[n], x[n + 1], x[n + 2], x[n + 3]
        for j in range(np.uint32(d.shape[1])):
            dp, dq, dr, ds = d[n, j], d[n + 1, j], d[n + 2, j], d[n + 3, j]
            for k in range(starts[j], starts[j + ONE]):
                v, i = FOUR * k, FOUR * index[k]
                values[v] += (dp * p[i] + dq * q[i]) + (dr * r[i] + ds * s[i])
                v, i = v + ONE, i + ONE
                values[v] += (dp * p[i] + dq * q[i]) + (dr * r[i] + ds * s[i])
                v, i = v + ONE, i + ONE
                values[v] += (dp * p[i] + dq * q[i]) + (dr * r[i] + ds * s[i])
                v, i = v + ONE, i + ONE
                values[v] += (dp * p[i] + dq * q[i]) + (dr * r[i] + ds * s[i])
    for n in range(fours, x.shape[0]):
        row = x[n]
        for j in range(np.uint32(d.shape[1])):
            factor = d[n, j]
            for k in range(starts[j], starts[j + ONE]):
                v, i = FOUR * k, FOUR * index[k]
                values[v] += factor * row[i]
                values[v + ONE] += factor * row[i + ONE]
                values[v + TWO] += factor * row[i + TWO]
                values[v + THREE] += factor * row[i + THREE]
