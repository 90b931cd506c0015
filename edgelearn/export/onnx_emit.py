"""What each op of the Graph is in ONNX."""

from __future__ import annotations

from functools import partial

import numpy as np
import onnx  # noqa: TID251  this file makes ONNX nodes
from typing_extensions import assert_never

from edgelearn.errors import UnsupportedOp
from edgelearn.export.onnx_emit_sparse import emit_sparse
from edgelearn.export.onnx_emitter import Emitter
from edgelearn.export.onnx_functions import LOW
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

BINARY = {"add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "max": "Max", "min": "Min"}
UNARY = {
    "tanh": "Tanh",
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "exp": "Exp",
    "log": "Log",
    "sqrt": "Sqrt",
    "abs": "Abs",
    "sign": "Sign",
    "neg": "Neg",
}
REDUCE = {"sum": "ReduceSum", "mean": "ReduceMean", "max": "ReduceMax"}
AXES_ARE_INPUT = {"sum": 13, "mean": 18, "max": 18}
"""The opset from which the axes of a reduction are an input and no longer an attribute."""
POOL = {"max": "MaxPool", "avg": "AveragePool"}
TO_OIHW = (3, 2, 0, 1)
"""ONNX has filters with the channels first."""
TO_CNHW, TO_HWIO = (3, 0, 1, 2), (2, 3, 0, 1)
"""With samples in the place of channels, a convolution sums over samples."""
TO_CGNHW = (4, 3, 0, 1, 2)
"""The same of images whose channels are split into groups."""
READ_BY_ARM = (
    *(AddConvOuter, Conv2d, ConvTranspose2d, Pool2d, SparseAddOuter, SparseMatMul),
    *(Binary, Unary, Quantize, Dequantize),
)
"""Ops whose arm asks for constants in another form, or for axes in another order."""


def emit(e: Emitter, node: Node) -> None:  # noqa: C901, PLR0912, PLR0915  one arm an op
    """Add the ONNX nodes that compute `node`."""
    op, out = node.op, node.output
    if e.is_made(out):
        return
    inputs = [e.read(name) for name in node.inputs] if not isinstance(op, READ_BY_ARM) else []
    match op:
        case Conv2d():
            _conv2d(e, op, node.inputs, out)
        case ConvTranspose2d():
            _conv_transpose2d(e, op, node.inputs, out)
        case Pool2d():
            _pool2d(e, op, node.inputs[0], out)
        case MatMul():
            _matmul(e, op, inputs, out)
        case AddOuter():
            w, x, d = inputs
            e.node("Gemm", [x, d, w], out, transA=1)
        case AddConvOuter():
            _add_conv_outer(e, op, node.inputs, out)
        case Binary():
            e.elementwise(node, partial(e.node, BINARY[op.kind]))
        case Unary():
            e.elementwise(node, partial(e.node, UNARY[op.kind]))
        case ApplyMask():
            _apply_mask(e, inputs, out)
        case Keep():
            low, high = op.key % LOW, op.key // LOW
            e.call("Keep", inputs, out, share=op.share, low=low, high=high)
        case Softmax():
            e.node("Softmax", inputs, out, axis=-1)
        case Reduce():
            _reduce(e, op, inputs, out)
        case Reshape():
            _reshape(e, op, inputs, out)
        case OneHot():
            _one_hot(e, op, e.specs[node.inputs[0]].dtype, inputs, out)
        case ToInt():
            e.node("Cast", inputs, out, to=onnx.TensorProto.INT64)
        case Gather():
            e.node("Gather", inputs, out, axis=0)
        case BatchSize():
            _batch_size(e, inputs, out)
        case Transpose():
            e.node("Transpose", inputs, out, perm=op.perm)
        case Concat():
            e.node("Concat", inputs, out, axis=op.axis)
        case Slice():
            bounds = [e.ints("start", op.start), e.ints("stop", op.stop), e.ints("axis", op.axis)]
            e.node("Slice", [*inputs, *bounds], out)
        case SparseMatMul() | SparseAddOuter():
            emit_sparse(e, op, node.inputs, out)
        case Quantize():
            e.elementwise(node, partial(e.linear, "Quantize", op.params, op.dtype))
        case Dequantize():
            dtype = e.specs[node.inputs[0]].dtype
            e.elementwise(node, partial(e.linear, "Dequantize", op.params, dtype))
        case _:
            assert_never(op)


def _matmul(e: Emitter, op: MatMul, inputs: list[str], out: str) -> None:
    bias, out = e.bias(out)
    if bias or op.transpose_a or op.transpose_b:
        e.node("Gemm", inputs + bias, out, transA=int(op.transpose_a), transB=int(op.transpose_b))
    else:
        e.node("MatMul", inputs, out)


def _apply_mask(e: Emitter, inputs: list[str], out: str) -> None:
    a, mask = inputs
    kept = e.node("Cast", [mask], e.fresh(f"{out}/kept"), to=onnx.TensorProto.BOOL)
    e.node("Where", [kept, a, e.shared("zero", np.array(0, np.float32))], out)


def _reduce(e: Emitter, op: Reduce, inputs: list[str], out: str) -> None:
    kind, keep = REDUCE[op.kind], int(op.keepdims)
    if e.opset >= AXES_ARE_INPUT[op.kind]:
        e.node(kind, [*inputs, e.ints("axes", *op.axes)], out, keepdims=keep)
    else:
        e.node(kind, inputs, out, axes=op.axes, keepdims=keep)


def _reshape(e: Emitter, op: Reshape, inputs: list[str], out: str) -> None:
    if 0 in op.shape:
        raise UnsupportedOp(
            f"value {out!r}",
            expected="a shape without 0, which in ONNX means 'as before'",
            got=f"Reshape to {list(op.shape)}",
            fix="leave the empty dimension out",
        )
    e.node("Reshape", [*inputs, e.ints("shape", *op.shape)], out)


def _one_hot(e: Emitter, op: OneHot, dtype: str, inputs: list[str], out: str) -> None:
    (labels,) = inputs
    if dtype != "int64":
        cast = e.fresh(f"{out}/labels")
        labels = e.node("Cast", [labels], cast, to=onnx.TensorProto.INT64)
    depth = e.shared("depth", np.array(op.depth, np.int64))
    off_on = e.shared("off_on", np.array([0, 1], np.float32))
    e.node("OneHot", [labels, depth, off_on], out)


def _batch_size(e: Emitter, inputs: list[str], out: str) -> None:
    count = e.length(inputs[0], np.array(0, np.int64), out)
    e.node("Cast", [count], out, to=onnx.TensorProto.FLOAT)


def _conv2d(e: Emitter, op: Conv2d, inputs: tuple[str, ...], out: str) -> None:
    x, w = inputs
    image = e.image(x)
    filters = e.transposed(w, TO_OIHW, "oihw")
    bias, out = e.bias(out)
    made = e.node(
        "Conv",
        [image, filters, *bias],
        e.fresh(f"{out}/nchw"),
        kernel_shape=e.specs[w].shape[:2],
        strides=op.strides,
        pads=op.pads,
        dilations=op.dilations,
        group=op.groups,
    )
    e.made_image(out, made)


def _conv_transpose2d(e: Emitter, op: ConvTranspose2d, inputs: tuple[str, ...], out: str) -> None:
    d, w = inputs
    image = e.image(d)
    filters = e.transposed(w, TO_OIHW, "oihw")
    places = e.specs[w].shape[:2]
    spans = (np.array(places) - 1) * op.dilations + 1
    reached = (np.array(e.specs[d].shape[1:3]) - 1) * op.strides + spans
    padded = np.add(op.size, np.add(op.pads[:2], op.pads[2:]))
    made = e.node(
        "ConvTranspose",
        [image, filters],
        e.fresh(f"{out}/nchw"),
        kernel_shape=places,
        strides=op.strides,
        pads=op.pads,
        dilations=op.dilations,
        group=op.groups,
        output_padding=(padded - reached).tolist(),
    )
    e.made_image(out, made)


def _add_conv_outer(e: Emitter, op: AddConvOuter, inputs: tuple[str, ...], out: str) -> None:
    """A convolution of `x` with filters `d`: their strides and dilations change places."""
    w, x, d = inputs
    image = _split_cnhw(e, x, op.groups) if op.groups > 1 else e.transposed(x, TO_CNHW, "cnhw")
    errors = e.transposed(d, TO_CNHW, "cnhw")
    size, places = e.specs[d].shape[1:3], e.specs[w].shape[:2]
    shape = {"kernel_shape": size, "dilations": op.strides, "strides": op.dilations}
    settings = {**shape, "pads": op.pads, "group": op.groups}
    made = e.node("Conv", [image, errors], e.fresh(f"{out}/cmhw"), **settings)
    padded = np.add(e.specs[x].shape[1:3], np.add(op.pads[:2], op.pads[2:]))
    left = padded - (np.array(size) - 1) * op.strides - 1
    if places != tuple(left // op.dilations + 1):  # windows did not reach the last rows or columns
        bounds = [e.ints("start", 0, 0), e.ints("stop", *places), e.ints("axes", 2, 3)]
        made = e.node("Slice", [made, *bounds], e.fresh(f"{out}/places"))
    made = e.node("Transpose", [made], e.fresh(f"{out}/hwio"), perm=TO_HWIO)
    e.node("Add", [e.read(w), made], out)


def _split_cnhw(e: Emitter, x: str, groups: int) -> str:
    """Images (channels of a group, groups * samples, h, w): each group sums over its samples."""
    _, height, width, channels = e.specs[x].shape
    each = channels // groups
    apart = e.ints("shape", -1, height, width, groups, each)
    split = e.node("Reshape", [e.read(x), apart], e.fresh(f"{x}/nhwgc"))
    turned = e.node("Transpose", [split], e.fresh(f"{x}/cgnhw"), perm=TO_CGNHW)
    merged = e.ints("shape", each, -1, height, width)
    return e.node("Reshape", [turned, merged], e.fresh(f"{x}/cnhw"))


def _pool2d(e: Emitter, op: Pool2d, x: str, out: str) -> None:
    image = e.image(x)
    shape = {"kernel_shape": op.kernel, "strides": op.strides, "pads": op.pads}
    made = e.node(POOL[op.kind], [image], e.fresh(f"{out}/nchw"), **shape)
    e.made_image(out, made)
