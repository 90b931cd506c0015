"""The NumPy meaning of the operations of images: windows are views, products are NumPy's."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from edgelearn.arrays import Array
from edgelearn.ir.ops_spatial import AddConvOuter, Conv2d, ConvTranspose2d, Pads, Pair, Pool2d

PATCH_ELEMENTS = 1 << 18
"""Elements of patches held at once, unless those of one sample are more (1 MiB)."""


def conv2d(op: Conv2d, x: Array, w: Array) -> Array:
    """`Conv2d` of images `x` (n, h, w, c) with filters `w` (kh, kw, c / groups, m)."""
    windows = _windows(_padded(x, op.pads, 0), w.shape[:2], op.strides, op.dilations)
    filters = _by_group(w, op.groups)
    out = np.empty((*windows.shape[:3], w.shape[3]), np.result_type(x, w))
    for part in _parts(windows):
        made = _patches(windows[part], op.groups) @ filters
        out[part] = made.transpose(1, 0, 2).reshape(out[part].shape)
    return out


def conv_transpose2d(op: ConvTranspose2d, d: Array, w: Array) -> Array:
    """`ConvTranspose2d` of errors `d` (n, h', w', m), one place of the filters after the other."""
    (top, left, bottom, right), (height, width) = op.pads, op.size
    full = (len(d), height + top + bottom, width + left + right, w.shape[2] * op.groups)
    out = np.zeros(full, np.result_type(d, w))
    windows = _windows(out, w.shape[:2], op.strides, op.dilations, writeable=True)
    filters = _by_group(w, op.groups).transpose(0, 2, 1)
    for part in _parts(windows):
        errors = d[part].reshape(-1, op.groups, w.shape[3] // op.groups).transpose(1, 0, 2)
        sent = (errors @ filters).reshape(op.groups, *d[part].shape[:3], *w.shape[:3])
        for i, j in np.ndindex(w.shape[:2]):
            place = windows[part][..., i, j]
            place += sent[:, :, :, :, i, j].transpose(1, 2, 3, 0, 4).reshape(place.shape)
    inner: Array = out[:, top : top + height, left : left + width]
    return inner


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
        lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
        padded = _padded(x, op.pads, lowest)
        return _over_places(np.maximum, _windows(padded, op.kernel, op.strides))
    total = _over_places(np.add, _windows(_padded(x, op.pads, 0), op.kernel, op.strides))
    ones = _padded(np.ones((1, *x.shape[1:3], 1), x.dtype), op.pads, 0)
    mean: Array = total / _over_places(np.add, _windows(ones, op.kernel, op.strides))
    return mean


def _over_places(function: np.ufunc, windows: Array) -> Array:
    """A reduction of each window, one place of all of them after the other."""
    found: Array = windows[..., 0, 0].copy()
    for i, j in list(np.ndindex(windows.shape[4:]))[1:]:
        function(found, windows[..., i, j], out=found)
    return found


def _padded(x: Array, pads: Pads, value: float) -> Array:
    top, left, bottom, right = pads
    return np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=value)


def _windows(
    x: Array, kernel: Pair, strides: Pair, dilations: Pair = (1, 1), *, writeable: bool = False
) -> Array:
    """Every window of `x` as a view (n, h', w', c, kh, kw)."""
    spans = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))
    views = sliding_window_view(x, spans, axis=(1, 2), writeable=writeable)
    found: Array = views[:, :: strides[0], :: strides[1], :, :: dilations[0], :: dilations[1]]
    return found


def _parts(windows: Array) -> Iterator[slice]:
    """Slices of samples whose patches are few enough to be held at once."""
    samples = max(1, PATCH_ELEMENTS // math.prod(windows.shape[1:]))
    for start in range(0, len(windows), samples):
        yield slice(start, start + samples)


def _patches(windows: Array, groups: int) -> Array:
    """`windows` (n, h', w', c, kh, kw) as matrices, (groups, places, elements that filters see)."""
    n, height, width, channels, kh, kw = windows.shape
    apart = windows.reshape(n, height, width, groups, channels // groups, kh, kw)
    moved: Array = apart.transpose(3, 0, 1, 2, 5, 6, 4)
    return moved.reshape(groups, n * height * width, -1)


def _by_group(w: Array, groups: int) -> Array:
    """Filters (kh, kw, c / groups, m) as matrices, (groups, elements seen, m / groups)."""
    return w.reshape(-1, groups, w.shape[3] // groups).transpose(1, 0, 2)
