"""What the ops that compute shapes and prepare weights make of constants, in NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx  # noqa: TID251  this file knows the dtypes of ONNX

from edgelearn.arrays import Array
from edgelearn.errors import GraphError
from edgelearn.export.onnx_load import MAX_BYTES, OnnxNode, reason_of
from edgelearn.export.onnx_values import OPEN_LENGTH, reshaped
from edgelearn.ir.tensor import BATCH

Fold: TypeAlias = Callable[..., Array]


def _constant(n: OnnxNode) -> Array:
    ((kind, value),) = n.attributes.items()
    dtypes = {
        "value": None,
        "value_float": np.float32,
        "value_floats": np.float32,
        "value_int": np.int64,
        "value_ints": np.int64,
    }
    if kind not in dtypes:
        raise refused("a tensor or numbers", kind)
    return np.asarray(value, dtypes[kind])


def _constant_of_shape(n: OnnxNode, shape: Array) -> Array:
    fill = n.attributes.get("value", np.zeros(1, np.float32))
    size_bytes = math.prod(shape.tolist()) * fill.dtype.itemsize
    if not 0 <= size_bytes <= MAX_BYTES:
        raise refused(f"at most {MAX_BYTES} bytes", f"shape {shape.tolist()}")
    return np.full(shape.tolist(), fill.item(), fill.dtype)


def axes_of(n: OnnxNode, rank: int, given: Array | None) -> tuple[int, ...]:
    """The axes of a node, from its attribute or its input, counted from 0; all if it has none."""
    axes = n.attributes.get("axes") if given is None else given.ravel().tolist()
    return tuple(range(rank)) if axes is None else tuple(axis % rank for axis in axes)


def unsqueezed(n: OnnxNode, dims: tuple[int, ...], given: Array | None) -> tuple[int, ...]:
    """`dims` with a 1 at each of the node's axes."""
    axes = n.attributes["axes"] if given is None else given.ravel().tolist()
    rank = len(dims) + len(axes)
    places = {axis % rank for axis in axes}
    left = iter(dims)
    return tuple(1 if i in places else next(left) for i in range(rank))


def squeezed(n: OnnxNode, dims: tuple[int, ...], given: Array | None) -> tuple[int, ...]:
    """`dims` without the node's axes, which have length 1; without every 1 if it names none."""
    every = given is None and "axes" not in n.attributes
    if every and BATCH in dims:
        raise refused("axes, where the batch is open", "none")
    axes = [i for i, d in enumerate(dims) if d == 1] if every else axes_of(n, len(dims), given)
    return tuple(d for i, d in enumerate(dims) if i not in axes)


def slices_of(n: OnnxNode, rank: int, bounds: Sequence[Array | None]) -> dict[int, slice]:
    """The slice along each axis that a Slice node names, from its attributes or its inputs."""
    if bounds:
        lists = [None if b is None else b.ravel().tolist() for b in bounds]
    else:
        lists = [n.attributes.get(key) for key in ("starts", "ends", "axes")]
    starts, ends, axes, steps = (*lists, None, None)[:4]
    if starts is None or ends is None:
        raise refused("starts and ends", "none")
    count = len(starts)
    named = zip(axes or range(count), starts, ends, steps or [1] * count, strict=True)
    return {axis % rank: slice(start, end, step) for axis, start, end, step in named}


def _slice(n: OnnxNode, a: Array, *bounds: Array | None) -> Array:
    slices = slices_of(n, a.ndim, bounds)
    return a[tuple(slices.get(i, slice(None)) for i in range(a.ndim))]


def _reshape(n: OnnxNode, a: Array, shape: Array) -> Array:
    zero_copies = not n.attributes.get("allowzero", 0)
    return a.reshape(reshaped(a.shape, shape.tolist(), zero_copies=zero_copies))


def _cast(n: OnnxNode, a: Array) -> Array:
    return a.astype(onnx.helper.tensor_dtype_to_np_dtype(n.attributes["to"]))


def _div(_: OnnxNode, a: Array, b: Array) -> Array:
    if a.dtype.kind == "f":
        return np.asarray(a / b)
    quotient: Array = np.trunc(a / b)
    return quotient.astype(a.dtype)


def _scatter_nd(n: OnnxNode, a: Array, places: Array, updates: Array) -> Array:
    if n.attributes.get("reduction", "none") != "none":
        raise refused("values that replace others", n.attributes["reduction"])
    value = a.copy()
    value[tuple(np.moveaxis(places, -1, 0))] = updates
    return value


SHAPES: dict[str, Fold] = {
    "Gather": lambda n, a, i: np.take(a, i, axis=n.attributes.get("axis", 0)),
    "Concat": lambda n, *parts: np.concatenate(parts, axis=n.attributes["axis"]),
    "Slice": _slice,
    "Squeeze": lambda n, a, axes=None: a.reshape(squeezed(n, a.shape, axes)),
    "Unsqueeze": lambda n, a, axes=None: a.reshape(unsqueezed(n, a.shape, axes)),
    "Identity": lambda _, a: a,
}
"""Ops that move elements, and so may meet the length of an open batch."""

FOLDS: dict[str, Fold] = SHAPES | {
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Reshape": _reshape,
    "Transpose": lambda n, a: a.transpose(n.attributes.get("perm")),
    "Cast": _cast,
    "ScatterND": _scatter_nd,
    "Add": lambda _, a, b: a + b,
    "Sub": lambda _, a, b: a - b,
    "Mul": lambda _, a, b: a * b,
    "Div": _div,
}


def shape_of(n: OnnxNode, dims: tuple[int, ...]) -> Array:
    """The constant that a Shape node makes of a value of shape `dims`."""
    part = dims[n.attributes.get("start", 0) : n.attributes.get("end")]
    return np.array([OPEN_LENGTH if d == BATCH else d for d in part], np.int64)


def fold(n: OnnxNode, inputs: Sequence[Array | None]) -> Array:
    """The constant that the node makes of constant `inputs`; None is one that it leaves out."""
    is_open = any(a is not None and has_open_length(a) for a in inputs)
    if is_open and n.op not in SHAPES:
        raise refused("a fixed length in arithmetic on shapes", "the open batch")
    try:
        with np.errstate(divide="raise", invalid="raise"):
            value: Any = FOLDS[n.op](n, *inputs)
    except (ValueError, LookupError, TypeError, MemoryError, ArithmeticError) as error:
        raise refused("constants that fit", reason_of(error)) from None
    return np.asarray(value)


def has_open_length(a: Array) -> bool:
    """Whether `a` holds the length of the open batch."""
    return a.dtype == np.int64 and bool((a == OPEN_LENGTH).any())


def refused(expected: str, got: str) -> GraphError:
    """What an arm raises; the reader adds the node and the file."""
    return GraphError("node", expected=expected, got=got, fix="export the model without it")
