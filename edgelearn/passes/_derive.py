"""The rule of every op: from the error of its output those of its inputs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from typing_extensions import assert_never

from edgelearn.errors import GraphError
from edgelearn.ir.graph import Node
from edgelearn.ir.ops import (
    AddConvOuter,
    AddOuter,
    ApplyMask,
    BatchSize,
    Binary,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Dequantize,
    Gather,
    Keep,
    MatMul,
    OneHot,
    Op,
    Pool2d,
    Quantize,
    Reduce,
    Reshape,
    Slice,
    Softmax,
    SparseAddOuter,
    SparseMatMul,
    ToInt,
    Transpose,
    Unary,
)
from edgelearn.ir.tensor import BATCH
from edgelearn.passes._collect import Part
from edgelearn.passes._derive_elements import binary, softmax, unary
from edgelearn.passes._derive_pool import pool2d, share_of_best
from edgelearn.passes._shapes import batch_length, kept, spread

if TYPE_CHECKING:
    from edgelearn.passes.backward import Backward


STEPS = (OneHot, BatchSize, ToInt, Quantize, Dequantize)
"""Constant almost everywhere, or made from integers, which no error moves."""


def carries(op: Op, position: int) -> bool:
    """Whether the output of `op` varies smoothly with the input at `position`."""
    if isinstance(op, STEPS) or (isinstance(op, Unary) and op.kind == "sign"):
        return False
    return not (isinstance(op, ApplyMask | Gather | Keep) and position == 1)


def derive(back: Backward, node: Node, d: str) -> None:  # noqa: C901, PLR0912  one arm an op
    """Send their errors to the inputs of `node`, whose output has error `d`."""
    b, op = back.b, node.op
    if not isinstance(op, Binary | Unary):
        d = spread(b, d, node.output)
    match op:
        case MatMul():
            _matmul(back, op, node.inputs, d)
        case AddOuter():
            _add_outer(back, node.inputs, d)
        case AddConvOuter():
            _add_conv_outer(back, op, node.inputs, d)
        case Binary():
            binary(back, node, op.kind, d)
        case Unary():
            unary(back, node, op.kind, d)
        case ApplyMask():
            back.send(node.inputs[0], b.apply(ApplyMask(), d, node.inputs[1]))
        case Keep():
            back.send(node.inputs[0], b.apply(op, d, node.inputs[1]))
        case Softmax():
            softmax(back, node, d)
        case Reduce():
            _reduce(back, op, node, d)
        case Reshape():
            back.send(node.inputs[0], b.apply(Reshape(b.specs[node.inputs[0]].shape), d))
        case Gather():
            _gather(back, node.inputs, d)
        case Conv2d():
            _conv2d(back, op, node.inputs, d)
        case ConvTranspose2d():
            _conv_transpose2d(back, op, node.inputs, d)
        case Pool2d():
            pool2d(back, op, node, d)
        case Transpose():
            order = tuple(op.perm.index(axis) for axis in range(len(op.perm)))
            back.send(node.inputs[0], b.apply(Transpose(order), d))
        case Concat():
            _concat(back, op, node.inputs, d)
        case Slice():
            axis = op.axis % len(b.specs[d].shape)
            back.send_part(node.inputs[0], Part(axis, op.start, op.stop, d))
        case SparseMatMul() | SparseAddOuter():
            raise _too_late(op)
        case OneHot() | BatchSize() | ToInt() | Quantize() | Dequantize():
            return
        case _:
            assert_never(op)


def _too_late(op: Op) -> GraphError:
    return GraphError(
        f"op {type(op).__name__}",
        expected="dense matrices, of which errors are derived",
        got="one that was made sparse before",
        fix="derive first, and then call edgelearn.passes.sparsify",
    )


def _matmul(back: Backward, op: MatMul, inputs: tuple[str, ...], d: str) -> None:
    b, (x, w) = back.b, inputs
    if back.wants(x):
        weight = back.weight(w)
        if op.transpose_a:
            back.send(x, b.apply(MatMul(op.transpose_b, True), weight, d))
        else:
            back.send(x, b.matmul(d, weight, transpose_b=not op.transpose_b))
    if back.wants(w):
        rows = b.apply(Transpose((1, 0)), x) if op.transpose_a else x
        back.send_outer(w, *((d, rows) if op.transpose_b else (rows, d)))


def _add_outer(back: Backward, inputs: tuple[str, ...], d: str) -> None:
    b, (w, x, e) = back.b, inputs
    back.send(w, d)
    if back.wants(x):
        back.send(x, b.matmul(e, d, transpose_b=True))
    if back.wants(e):
        back.send(e, b.matmul(x, d))


def _add_conv_outer(back: Backward, op: AddConvOuter, inputs: tuple[str, ...], d: str) -> None:
    b, (w, x, e) = back.b, inputs
    settings = (op.strides, op.pads, op.dilations, op.groups)
    back.send(w, d)
    if back.wants(x):
        _, height, width, _ = b.specs[x].shape
        back.send(x, b.apply(ConvTranspose2d((height, width), *settings), e, d))
    if back.wants(e):
        back.send(e, b.apply(Conv2d(*settings), x, d))


def _conv2d(back: Backward, op: Conv2d, inputs: tuple[str, ...], d: str) -> None:
    b, (x, w) = back.b, inputs
    if back.wants(x):
        _, height, width, _ = b.specs[x].shape
        size = (height, width)
        transposed = ConvTranspose2d(size, op.strides, op.pads, op.dilations, op.groups)
        back.send(x, b.apply(transposed, d, back.weight(w)))
    if back.wants(w):
        back.send_conv_outer(w, op, x, d)


def _conv_transpose2d(back: Backward, op: ConvTranspose2d, inputs: tuple[str, ...], d: str) -> None:
    b, (x, w) = back.b, inputs
    if back.wants(x):
        plain = Conv2d(op.strides, op.pads, op.dilations, op.groups)
        back.send(x, b.apply(plain, d, back.weight(w)))
    if back.wants(w):
        back.send_conv_outer(w, op, d, x)


def _gather(back: Backward, inputs: tuple[str, ...], d: str) -> None:
    """Each row of the table gets the errors of the places that it was read for."""
    b, (table, indices) = back.b, inputs
    rows, units = b.specs[table].shape
    hot = b.apply(OneHot(rows), indices)
    batch, *places = b.specs[indices].shape
    count = math.prod(places)
    hot = b.apply(Reshape((batch, count * rows)), hot)
    errors = b.apply(Reshape((batch, count * units)), d)
    for place in range(count):
        picked = b.apply(Slice(1, place * rows, (place + 1) * rows), hot)
        error = b.apply(Slice(1, place * units, (place + 1) * units), errors)
        back.send_outer(table, picked, error)


def _reduce(back: Backward, op: Reduce, node: Node, d: str) -> None:
    b, value = back.b, node.inputs[0]
    shape = b.specs[value].shape
    axes = tuple(axis % len(shape) for axis in op.axes)
    flat = kept(shape, axes)
    if not op.keepdims:
        d = b.apply(Reshape(flat), d)
    match op.kind:
        case "sum":
            back.send(value, d)
        case "mean":
            count = math.prod(shape[axis] for axis in axes if shape[axis] != BATCH)
            d = b.binary("mul", d, b.scalar(1 / count))
            if any(shape[axis] == BATCH for axis in axes):
                d = b.binary("div", d, batch_length(b, value))
            back.send(value, d)
        case "max":
            best = b.apply(Reshape(flat), node.output)
            share = share_of_best(b, value, best, axes)
            back.send(value, b.binary("mul", share, d))


def _concat(back: Backward, op: Concat, inputs: tuple[str, ...], d: str) -> None:
    b, start = back.b, 0
    for value in inputs:
        stop = start + b.specs[value].shape[op.axis]
        if back.wants(value):
            back.send(value, b.apply(Slice(op.axis, start, stop), d))
        start = stop
