"""What each op of the Graph is in C: calls of helper functions."""

from __future__ import annotations

import math

from typing_extensions import assert_never

from edgelearn.arrays import Shape
from edgelearn.export import c_chance, c_loops, c_moves, c_products, c_quant, c_sparse, c_spatial
from edgelearn.export.c_emitter import Emitter
from edgelearn.export.c_math import SOFTMAX
from edgelearn.ir import Node
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
from edgelearn.ir.tensor import ITEMSIZE, TensorSpec

MATMULS = {
    (False, False): c_products.MATMUL,
    (True, False): c_products.MATMUL_TN,
    (False, True): c_products.MATMUL_NT,
    (True, True): c_products.MATMUL_TT,
}


def emit(e: Emitter, node: Node) -> None:
    """Add the statements that compute `node`, and say in a comment what they make."""
    before = len(e.lines)
    _emit(e, node)
    if len(e.lines) > before:
        e.lines[-1] += f" /* {node.output.replace('*/', '')} */"


def _emit(e: Emitter, node: Node) -> None:  # noqa: C901, PLR0912, PLR0915  one arm an op
    op, refs, out = node.op, [e.ref(name) for name in node.inputs], e.ref(node.output)
    specs, made = [e.spec(name) for name in node.inputs], e.spec(node.output)
    first = specs[0]
    match op:
        case MatMul():
            inner = first.shape[0 if op.transpose_a else 1]
            helper = MATMULS[op.transpose_a, op.transpose_b]
            e.call(helper, *refs, out, made.shape[0], inner, made.shape[1])
        case AddOuter():
            e.copy(refs[0], out, made.nbytes)
            e.call(c_products.ADD_OUTER, out, *refs[1:], specs[1].shape[0], *made.shape)
        case AddConvOuter():
            e.copy(refs[0], out, made.nbytes)
            window = _window(e, op, specs[1].shape, specs[2].shape, first.shape[:2])
            images = specs[1].shape[0]
            e.call(c_spatial.ADD_CONV_OUTER, out, *refs[1:], images, window)
        case Binary():
            _binary(e, op, specs, refs, out)
        case Unary():
            e.call(c_loops.unary(op.kind), *refs, out, made.size)
        case ApplyMask():
            e.call(c_moves.APPLY_MASK, *refs, out, made.size)
        case Keep():
            c_chance.keep(e, op, refs[0], refs[1], out, made.size)
        case Softmax():
            e.call(SOFTMAX, *refs, out, made.size // made.shape[-1], made.shape[-1])
        case Reduce():
            _reduce(e, op, first.shape, refs, out)
        case Reshape():
            e.copy(refs[0], out, made.nbytes)
        case OneHot():
            e.call(c_moves.ONE_HOT, refs[0], ITEMSIZE[first.dtype], out, first.size, op.depth)
        case ToInt():
            e.call(c_moves.TO_INT, *refs, out, made.size)
        case Gather():
            _gather(e, specs, refs, out)
        case BatchSize():
            e.lines.append(f"*({out}) = {first.shape[0]}.0f;")
        case Conv2d():
            window = _window(e, op, first.shape, made.shape, specs[1].shape[:2])
            e.call(c_spatial.CONV2D, *refs, out, made.shape[0], window)
        case ConvTranspose2d():
            window = _window(e, op, made.shape, first.shape, specs[1].shape[:2])
            e.call(c_spatial.CONV_TRANSPOSE2D, *refs, out, made.shape[0], window)
        case Pool2d():
            window = _window(e, op, first.shape, made.shape, op.kernel)
            e.call(c_spatial.pool(op.kind, first.dtype), *refs, out, made.shape[0], window)
        case Transpose():
            _transpose(e, op, first, refs[0], out)
        case Concat():
            _concat(e, op.axis, specs, refs, out)
        case Slice():
            _slice(e, op, first, refs[0], out)
        case Quantize():
            c_quant.quantize(e, op, first, refs[0], out)
        case Dequantize():
            c_quant.dequantize(e, op, first, refs[0], out)
        case SparseMatMul():
            sizes = (first.shape[0], op.fan_in, op.units, op.block)
            e.call(c_sparse.MATMUL[specs[-1].dtype], *refs, out, *sizes)
        case SparseAddOuter():
            sizes = (specs[1].shape[0], op.fan_in, op.units, op.block)
            e.copy(refs[0], out, made.nbytes)
            e.call(c_sparse.ADD_OUTER[specs[-1].dtype], out, *refs[1:], *sizes)
        case _:
            assert_never(op)


def _window(
    e: Emitter,
    op: Conv2d | ConvTranspose2d | AddConvOuter | Pool2d,
    image: Shape,
    made: Shape,
    kernel: Shape,
) -> str:
    """The address of the struct that says how a kernel slides over an image."""
    dilations, groups = (1, 1), 1
    if not isinstance(op, Pool2d):
        dilations, groups = op.dilations, op.groups
    top, left, *_ = op.pads
    numbers = (*image[1:], *made[1:], *kernel, *op.strides, top, left, *dilations, groups)
    return f"&{e.table('struct window', *numbers)}"


def _binary(e: Emitter, op: Binary, specs: list[TensorSpec], refs: list[str], out: str) -> None:
    a, b = (spec.shape for spec in specs)
    rank = max(len(a), len(b))
    padded = [(1,) * (rank - len(shape)) + shape for shape in (a, b)]
    lengths, words = c_loops.binary_words(a, b, tuple(map(max, *padded)))
    if not words:  # one element
        lengths, words = (1,), ("ab",)
    e.call(c_loops.binary(op.kind, words), *refs, out, *lengths)


def _reduce(e: Emitter, op: Reduce, shape: Shape, refs: list[str], out: str) -> None:
    axes = {axis % len(shape) for axis in op.axes}
    words = ["r" if axis in axes else "k" for axis in range(len(shape))]
    lengths, kinds = c_loops.merged(shape, words)
    if "r" not in kinds:  # nothing but axes of length 1
        e.copy(refs[0], out, 4 * math.prod(shape))
        return
    e.call(c_loops.reduce(op.kind, kinds), *refs, out, *lengths)


def _gather(e: Emitter, specs: list[TensorSpec], refs: list[str], out: str) -> None:
    (table, indices), (rows, places) = refs, specs
    row_bytes = rows.nbytes // rows.shape[0]
    width = ITEMSIZE[places.dtype]
    e.call(c_moves.GATHER, table, indices, width, out, places.size, rows.shape[0], row_bytes)


def _transpose(e: Emitter, op: Transpose, spec: TensorSpec, source: str, out: str) -> None:
    perm, lengths = _neighbours(op.perm, spec.shape)
    if len(perm) < 2:
        e.copy(source, out, spec.nbytes)
        return
    e.call(c_loops.transpose(perm), source, out, ITEMSIZE[spec.dtype], *lengths)


def _neighbours(perm: tuple[int, ...], shape: Shape) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """`perm` without axes of length 1, axes that stay neighbours as one; lengths of the output.

    >>> _neighbours((0, 3, 1, 2), (2, 7, 6, 4))
    ((0, 2, 1), (2, 4, 42))
    """
    groups: list[list[int]] = []
    for axis in (axis for axis in perm if shape[axis] != 1):
        skipped = range(groups[-1][-1] + 1, axis) if groups else range(0)
        if groups and axis > groups[-1][-1] and all(shape[i] == 1 for i in skipped):
            groups[-1].append(axis)
        else:
            groups.append([axis])
    order = sorted(groups)
    lengths = tuple(math.prod(shape[i] for i in group) for group in groups)
    return tuple(order.index(group) for group in groups), lengths


def _concat(e: Emitter, axis: int, specs: list[TensorSpec], refs: list[str], out: str) -> None:
    axis %= len(specs[0].shape)
    blocks = math.prod(specs[0].shape[:axis])
    widths = [spec.nbytes // blocks for spec in specs]
    place = 0
    for ref, width in zip(refs, widths, strict=True):
        target = f"(char *)({out}) + {place}"
        e.call(c_moves.COPY_BLOCKS, ref, width, target, sum(widths), width, blocks)
        place += width


def _slice(e: Emitter, op: Slice, spec: TensorSpec, source: str, out: str) -> None:
    axis = op.axis % len(spec.shape)
    blocks = math.prod(spec.shape[:axis])
    step = spec.nbytes // blocks
    row = step // spec.shape[axis]
    start = f"(const char *)({source}) + {op.start * row}"
    width = row * (op.stop - op.start)
    e.call(c_moves.COPY_BLOCKS, start, step, out, width, width, blocks)
