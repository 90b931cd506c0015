"""The NumPy meaning of the operations of images: windows are views, products are NumPy's."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from edgelearn.arrays import Array
from edgelearn.ir.ops_spatial import AddConvOuter, Conv2d, Pads, Pair, Pool2d


def conv2d(op: Conv2d, x: Array, w: Array) -> Array:
    """`Conv2d` of images `x` (n, h, w, c) with filters `w` (kh, kw, c / groups, m)."""
    kh, kw, depth, outputs = w.shape
    windows = _windows(_padded(x, op.pads, 0), (kh, kw), op.strides, op.dilations)
    n, height, width = windows.shape[:3]
    each = outputs // op.groups
    parts = []
    for group in range(op.groups):
        patches = windows[:, :, :, group * depth : (group + 1) * depth]
        rows = patches.transpose(0, 1, 2, 4, 5, 3).reshape(n * height * width, kh * kw * depth)
        filters = w[..., group * each : (group + 1) * each].reshape(kh * kw * depth, each)
        parts.append(rows @ filters)
    return np.concatenate(parts, axis=1).reshape(n, height, width, outputs)


def add_conv_outer(op: AddConvOuter, w: Array, x: Array, d: Array) -> Array:
    """`AddConvOuter`, one place of the filters after the other."""
    padded, total = _padded(x, op.pads, 0), np.empty_like(w)
    (rows, columns), (height, width) = op.strides, d.shape[1:3]
    errors = d.reshape(-1, op.groups, d.shape[3] // op.groups)
    for i, j in np.ndindex(w.shape[:2]):
        met = padded[:, i * op.dilations[0] :: rows, j * op.dilations[1] :: columns]
        seen = met[:, :height, :width].reshape(-1, op.groups, w.shape[2])
        total[i, j] = np.concatenate(
            [seen[:, group].T @ errors[:, group] for group in range(op.groups)], axis=1
        )
    added: Array = w + total
    return added


def pool2d(op: Pool2d, x: Array) -> Array:
    """`Pool2d` of images `x` (n, h, w, c)."""
    if op.kind == "max":
        lowest = _padded(x, op.pads, -np.inf)
        best: Array = _windows(lowest, op.kernel, op.strides).max(axis=(4, 5))
        return best
    total = _windows(_padded(x, op.pads, 0), op.kernel, op.strides).sum(axis=(4, 5))
    ones = _padded(np.ones((1, *x.shape[1:3], 1), x.dtype), op.pads, 0)
    count = _windows(ones, op.kernel, op.strides).sum(axis=(4, 5))
    mean: Array = total / count
    return mean


def _padded(x: Array, pads: Pads, value: float) -> Array:
    top, left, bottom, right = pads
    return np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=value)


def _windows(x: Array, kernel: Pair, strides: Pair, dilations: Pair = (1, 1)) -> Array:
    """Every window of `x` as a view (n, h', w', c, kh, kw)."""
    spans = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))
    views = sliding_window_view(x, spans, axis=(1, 2))
    found: Array = views[:, :: strides[0], :: strides[1], :, :: dilations[0], :: dilations[1]]
    return found
