"""Errors and the shapes of their values: an error may be smaller where it repeats."""

from __future__ import annotations

import numpy as np

from edgelearn.arrays import Shape
from edgelearn.ir.builder import Builder
from edgelearn.ir.ops import BatchSize, Reduce, Reshape, Transpose
from edgelearn.ir.tensor import BATCH


def spread(b: Builder, error: str, value: str) -> str:
    """`error`, which broadcasts to the shape of `value`, in that shape."""
    small, whole = b.specs[error].shape, b.specs[value].shape
    if small == whole:
        return error
    small = (1,) * (len(whole) - len(small)) + small
    repeats = tuple(n if n != m else 1 for m, n in zip(small, whole, strict=True))
    if BATCH in repeats:
        return b.binary("add", b.binary("sub", value, value), error)
    ones = b.constant(b.fresh("ones"), np.ones(repeats, np.float32))
    return b.binary("mul", error, ones)


def fit(b: Builder, error: str, shape: Shape) -> str:
    """`error` summed over the axes along which a value of `shape` was repeated."""
    found = b.specs[error].shape
    lead = len(found) - len(shape)
    axes = tuple(i for i, n in enumerate(found) if i < lead or shape[i - lead] == 1 != n)
    if not axes:
        return error
    total = b.apply(Reduce("sum", axes), error)
    return total if b.specs[total].shape == shape else b.apply(Reshape(shape), total)


def kept(shape: Shape, axes: tuple[int, ...]) -> Shape:
    """`shape` with length 1 along `axes`."""
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def batch_length(b: Builder, value: str) -> str:
    """The number of samples as a scalar, of a value that has an open batch."""
    shape = b.specs[value].shape
    axis = shape.index(BATCH)
    if axis:
        first = (axis, *(i for i in range(len(shape)) if i != axis))
        value = b.apply(Transpose(first), value)
    return b.apply(BatchSize(), value)
