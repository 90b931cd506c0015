"""What each ONNX op is in the Graph: products, element-wise functions and reductions.

An arm gets the values known so far and one node, and defines the node's output. It raises
`GraphError` for a form that it cannot read; the reader names the node and the file.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from edgelearn.arrays import Array
from edgelearn.export.onnx_arms_sparse import read_product
from edgelearn.export.onnx_fold import axes_of, refused
from edgelearn.export.onnx_load import OnnxNode
from edgelearn.export.onnx_values import Order, Values
from edgelearn.ir.ops import (
    AddOuter,
    ApplyMask,
    Binary,
    BinaryKind,
    MatMul,
    Reduce,
    ReduceKind,
    Reshape,
    Softmax,
    Unary,
    UnaryKind,
)
from edgelearn.ir.tensor import BATCH

Arm: TypeAlias = Callable[[Values, OnnxNode, int], None]
"""Arguments: the values so far, the node, the opset."""

PER_ELEMENT_SOFTMAX_OPSET = 13
"""Before it, Softmax flattened all axes from the given one on into one."""


def constant(v: Values, n: OnnxNode, position: int) -> Array | None:
    """An input that must be a constant, or None if the node leaves it out."""
    name = n.input(position)
    if not name:
        return None
    if name not in v.constants:
        raise refused(f"a constant as input {position}", f"{name!r}, which is computed")
    return v.constants[name]


def binary(v: Values, out: str, kind: BinaryKind, a: str, b: str) -> None:
    """An element-wise function of two ONNX values, in the axis order of the larger."""
    rank = max(len(v.shape(a)), len(v.shape(b)))
    computed = [x for x in (a, b) if x not in v.constants and len(v.shape(x)) == rank]
    order = v.order(computed[0]) if computed else tuple(range(rank))
    v.define(out, Binary(kind), [_aligned(v, a, order), _aligned(v, b, order)], order)


def _aligned(v: Values, name: str, order: Order) -> str:
    """`name` so that it broadcasts against a value held in `order`."""
    dims = v.shape(name)
    if len(dims) == len(order) and name not in v.constants:
        return v.read(name, order)
    if not dims or order == tuple(range(len(order))):
        return v.read(name)
    full = (1,) * (len(order) - len(dims)) + dims
    moved = tuple(full[axis] for axis in order)
    if name not in v.constants:
        if sum(d != 1 for d in full) > 1:
            raise refused("factors of equal rank, or of one axis", f"{name!r} of shape {dims}")
        return v.step(name, Reshape(moved), v.flat(name))
    value = v.constants[name].reshape(full).transpose(order)
    keep = next((i for i, d in enumerate(moved) if d != 1), len(moved))
    return v.array(f"{name}/aligned", value.reshape(moved[keep:]))


def _where(v: Values, n: OnnxNode, _: int) -> None:
    mask, a = n.inputs[:2]
    zero = constant(v, n, 2)
    if zero is None or zero.size != 1 or zero.any():
        raise refused("0 where the condition does not hold", "others")
    order = v.order(a)
    if mask in v.constants:
        value = v.constants[mask].astype(np.uint8)
        fits = value.ndim == len(order)
        kept = v.array(f"{mask}/kept", value.transpose(order) if fits else value)
    else:
        kept = v.read(mask, order)
    v.define(n.out, ApplyMask(), [v.read(a, order), kept], order)


def _binary(kind: BinaryKind) -> Arm:
    def arm(v: Values, n: OnnxNode, _: int) -> None:
        last = n.inputs[0]
        if len(n.inputs) == 1:
            return v.alias(n.out, last)
        for position, name in enumerate(n.inputs[1:], start=2):
            out = n.out if position == len(n.inputs) else v.fresh(f"{n.out}/{position}")
            binary(v, out, kind, last, name)
            last = out
        return None

    return arm


def _unary(kind: UnaryKind) -> Arm:
    def arm(v: Values, n: OnnxNode, _: int) -> None:
        order = v.order(n.inputs[0])
        v.define(n.out, Unary(kind), [v.read(n.inputs[0], order)], order)

    return arm


def _reduce(kind: ReduceKind) -> Arm:
    def arm(v: Values, n: OnnxNode, _: int) -> None:
        rank = len(v.shape(n.inputs[0]))
        axes = axes_of(n, rank, constant(v, n, 1))
        if not axes and n.attributes.get("noop_with_empty_axes", 0):
            return v.alias(n.out, n.inputs[0])
        keep = bool(n.attributes.get("keepdims", 1))
        return reduce(v, n, kind, axes or tuple(range(rank)), keepdims=keep)

    return arm


def reduce(
    v: Values, n: OnnxNode, kind: ReduceKind, axes: tuple[int, ...], *, keepdims: bool
) -> None:
    """A reduction over `axes`, counted in ONNX order, in the order the input is held in."""
    order = v.order(n.inputs[0])
    op = Reduce(kind, tuple(sorted(order.index(axis) for axis in axes)), keepdims)
    left = [axis for axis in order if axis not in axes]
    after = order if keepdims else tuple(sorted(left).index(axis) for axis in left)
    v.define(n.out, op, [v.read(n.inputs[0], order)], after)


def _matmul(v: Values, n: OnnxNode, _: int) -> None:
    v.define(n.out, MatMul(), [v.read(name) for name in n.inputs])


def _gemm(v: Values, n: OnnxNode, _: int) -> None:
    found = n.attributes
    flip_a, flip_b = bool(found.get("transA", 0)), bool(found.get("transB", 0))
    alpha, beta = found.get("alpha", 1.0), found.get("beta", 1.0)
    c = n.input(2)
    if alpha == 1 and not c and read_product(v, n, MatMul(flip_a, flip_b)):
        return
    a, b = v.read(n.inputs[0]), v.read(n.inputs[1])
    columns = v.shape(n.inputs[1])[0 if flip_b else 1]
    rows = v.shape(n.inputs[0])[1 if flip_a else 0]
    is_update = flip_a and not flip_b and c and v.shape(c) == (rows, columns)
    if is_update and alpha == beta == 1:
        v.define(n.out, AddOuter(), [v.read(c), a, b])
        return
    product = MatMul(flip_a, flip_b)
    if not c and alpha == 1:
        v.define(n.out, product, [a, b])
        return
    scaled = v.step(n.out, product, a, b)
    if alpha != 1:
        scaled = v.step(n.out, Binary("mul"), scaled, v.scalar(alpha))
    if not c:
        v.define(n.out, Reshape(v.b.specs[scaled].shape), [scaled])
        return
    offset = v.read(c)
    if beta != 1:
        offset = v.step(n.out, Binary("mul"), offset, v.scalar(beta))
    v.define(n.out, Binary("add"), [scaled, offset])


def _softmax(v: Values, n: OnnxNode, opset: int) -> None:
    name = n.inputs[0]
    dims = v.shape(name)
    per_element = opset >= PER_ELEMENT_SOFTMAX_OPSET
    axis = n.attributes.get("axis", -1 if per_element else 1) % len(dims)
    if per_element or axis == len(dims) - 1:
        order = v.order(name)
        if order[-1] != axis:
            order = (*(i for i in order if i != axis), axis)
        v.define(n.out, Softmax(), [v.read(name, order)], order)
        return
    head = dims[:axis]
    rows = BATCH if BATCH in head else math.prod(head)
    columns = math.prod(dims[axis:])
    matrix = v.step(n.out, Reshape((rows, columns)), v.flat(name))
    v.define(n.out, Reshape(dims), [v.step(n.out, Softmax(), matrix)])


ARMS: dict[str, Arm] = {
    "Add": _binary("add"),
    "Sub": _binary("sub"),
    "Mul": _binary("mul"),
    "Div": _binary("div"),
    "Max": _binary("max"),
    "Min": _binary("min"),
    "Sum": _binary("add"),
    "Where": _where,
    "Tanh": _unary("tanh"),
    "Relu": _unary("relu"),
    "Sigmoid": _unary("sigmoid"),
    "Exp": _unary("exp"),
    "Log": _unary("log"),
    "Sqrt": _unary("sqrt"),
    "Abs": _unary("abs"),
    "Sign": _unary("sign"),
    "Neg": _unary("neg"),
    "ReduceSum": _reduce("sum"),
    "ReduceMean": _reduce("mean"),
    "ReduceMax": _reduce("max"),
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Softmax": _softmax,
}
