"""What each op of the Graph is in TFLite."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema  # noqa: TID251  this file makes TFLite
from typing_extensions import assert_never

from edgelearn.arrays import Shape
from edgelearn.errors import UnsupportedOp
from edgelearn.export.tflite_emit_chance import keep
from edgelearn.export.tflite_emit_integer import integer_product
from edgelearn.export.tflite_emit_pool import pool2d
from edgelearn.export.tflite_emit_quant import (
    cast,
    dequantize,
    integers,
    quantize,
    rescaled,
)
from edgelearn.export.tflite_emit_sparse import sparse_add_outer, sparse_matmul
from edgelearn.export.tflite_emit_spatial import (
    add_conv_outer,
    conv2d,
    conv_transpose2d,
)
from edgelearn.export.tflite_emitter import Emitter
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

BINARY: dict[str, tuple[str, Any]] = {
    "add": ("ADD", schema.AddOptionsT),
    "sub": ("SUB", schema.SubOptionsT),
    "mul": ("MUL", schema.MulOptionsT),
    "div": ("DIV", schema.DivOptionsT),
    "max": ("MAXIMUM", schema.MaximumMinimumOptionsT),
    "min": ("MINIMUM", schema.MaximumMinimumOptionsT),
}
UNARY: dict[str, tuple[str, Any]] = {
    "tanh": ("TANH", None),
    "relu": ("RELU", None),
    "sigmoid": ("LOGISTIC", None),
    "exp": ("EXP", schema.ExpOptionsT),
    "log": ("LOG", None),
    "sqrt": ("SQRT", None),
    "abs": ("ABS", schema.AbsOptionsT),
    "sign": ("SIGN", schema.SignOptionsT),
    "neg": ("NEG", schema.NegOptionsT),
}
REDUCE = {"sum": "SUM", "mean": "MEAN", "max": "REDUCE_MAX"}
MOST_AXES = 6
"""Runtimes look at no more when they broadcast, transpose or cut out."""
SOFTMAX_AXES = 4


def emit(e: Emitter, node: Node) -> None:
    """Add the TFLite operators that compute `node`."""
    for name in (*node.inputs, node.output):
        if len(e.specs[name].shape) > MOST_AXES:
            raise UnsupportedOp(
                f"node {node.output!r}, op {type(node.op).__name__}",
                expected=f"at most {MOST_AXES} axes, which TFLite runtimes know",
                got=f"{name!r}, {e.specs[name]}",
                fix="export to .onnx, or put axes together before this layer",
            )
    if node.output in e.forms.skipped:
        return
    e.begin(node.output)
    product = e.forms.products.get(node.output)
    if product is None:
        e.end(_made(e, node))
    else:
        e.end(integer_product(e, product, e.specs[node.output].shape))


def _made(e: Emitter, node: Node) -> int:  # noqa: C901, PLR0912  one arm an op
    op, shape = node.op, e.specs[node.output].shape
    names = node.inputs
    match op:
        case Conv2d():
            return conv2d(e, op, names, shape)
        case ConvTranspose2d():
            return conv_transpose2d(e, op, names, shape)
        case AddConvOuter():
            return add_conv_outer(e, op, names, shape)
        case Pool2d():
            return pool2d(e, op, e.read(names[0]), shape)
        case MatMul():
            return _matmul(e, op, names, shape)
        case AddOuter():
            w, x, d = (e.read(name) for name in names)
            gradient = e.make("BATCH_MATMUL", [x, d], shape, _products(adj_x=True))
            return e.make("ADD", [w, gradient], shape, schema.AddOptionsT())
        case Binary():
            code, options = BINARY[op.kind]
            return e.make(code, [e.read(name) for name in names], shape, options())
        case Unary():
            code, options = UNARY[op.kind]
            return e.make(code, [e.read(names[0])], shape, options and options())
        case ApplyMask():
            return _apply_mask(e, names, shape)
        case Keep():
            return keep(e, op, e.read(names[0]), e.read(names[1]), shape)
        case Softmax():
            return _softmax(e, e.read(names[0]), shape)
        case Reduce():
            return _reduce(e, op, e.read(names[0]), shape)
        case Reshape():
            return e.copied(e.read(names[0]), shape)
        case OneHot():
            return _one_hot(e, op, e.read(names[0]), shape)
        case ToInt():
            return cast(e, e.read(names[0]), shape, "int64")
        case Gather():
            table, indices = (e.read(name) for name in names)
            dtype = e.specs[names[0]].dtype
            return e.make("GATHER", [table, indices], shape, schema.GatherOptionsT(), dtype=dtype)
        case BatchSize():
            return e.constant(np.array(e.specs[names[0]].shape[0], np.float32), node.output)
        case Transpose():
            return e.transposed(e.read(names[0]), op.perm, e.specs[names[0]].dtype)
        case Concat():
            options = schema.ConcatenationOptionsT()
            options.axis = op.axis % len(shape)
            parts, dtype = [e.read(name) for name in names], e.specs[names[0]].dtype
            return e.make("CONCATENATION", parts, shape, options, dtype=dtype)
        case Slice():
            return _slice(e, op, names[0], shape)
        case SparseMatMul():
            return sparse_matmul(e, op, names, shape)
        case SparseAddOuter():
            return sparse_add_outer(e, op, names, shape)
        case Quantize():
            return quantize(e, op, e.read(names[0]), shape)
        case Dequantize():
            return dequantize(e, op, names[0], shape)
        case _:
            assert_never(op)


def _matmul(e: Emitter, op: MatMul, names: tuple[str, ...], shape: Shape) -> int:
    """Weights that no run changes are stored as FULLY_CONNECTED reads them: outputs first."""
    a, b = names
    integer = e.forms.absorbed.get(b)
    constant = b if integer is None else integer.constant
    if constant in e.constants and not op.transpose_a:
        w = e.constants[constant] if op.transpose_b else e.constants[constant].T
        stored = integers(e, b, w) if integer else e.constant(w, f"{b}/outputs_first")
        options, inputs = schema.FullyConnectedOptionsT(), [e.read(a), stored]
        return rescaled(e, b, e.make("FULLY_CONNECTED", inputs, shape, options, version=6))
    options = _products(adj_x=op.transpose_a, adj_y=op.transpose_b)
    return e.make("BATCH_MATMUL", [e.read(a), e.read(b)], shape, options)


def _products(*, adj_x: bool = False, adj_y: bool = False) -> Any:
    options = schema.BatchMatMulOptionsT()
    options.adjX, options.adjY = adj_x, adj_y
    return options


def _apply_mask(e: Emitter, names: tuple[str, ...], shape: Shape) -> int:
    a, mask = names
    if mask in e.constants:
        kept = e.constant(e.constants[mask] != 0, mask)
    else:
        kept = cast(e, e.read(mask), shape, "bool")  # NOT_EQUAL of bytes ends the process
    zero = e.constant(np.array(0, np.float32))
    return e.make("SELECT_V2", [kept, e.read(a), zero], shape, schema.SelectV2OptionsT())


def _softmax(e: Emitter, a: int, shape: Shape) -> int:
    options = schema.SoftmaxOptionsT()
    options.beta = 1.0
    if len(shape) <= SOFTMAX_AXES:
        return e.make("SOFTMAX", [a], shape, options)
    rows = (math.prod(shape[:-1]), shape[-1])
    return e.copied(e.make("SOFTMAX", [e.reshaped(a, rows)], rows, options), shape)


def _reduce(e: Emitter, op: Reduce, a: int, shape: Shape) -> int:
    options = schema.ReducerOptionsT()
    options.keepDims = op.keepdims
    axes = e.ints(*(axis % len(e.shape(a)) for axis in op.axes))
    return e.make(REDUCE[op.kind], [a, axes], shape, options)


def _one_hot(e: Emitter, op: OneHot, labels: int, shape: Shape) -> int:
    options = schema.OneHotOptionsT()
    options.axis = -1
    on, off = (e.constant(np.array(value, np.float32)) for value in (1, 0))
    depth = e.constant(np.array(op.depth, np.int32))
    return e.make("ONE_HOT", [labels, depth, on, off], shape, options)


def _slice(e: Emitter, op: Slice, name: str, shape: Shape) -> int:
    begin = [0] * len(shape)
    begin[op.axis] = op.start
    inputs = [e.read(name), e.ints(*begin), e.ints(*shape)]
    dtype, version = e.specs[name].dtype, 5 if len(shape) > 4 else 1
    return e.make("SLICE", inputs, shape, schema.SliceOptionsT(), dtype=dtype, version=version)
