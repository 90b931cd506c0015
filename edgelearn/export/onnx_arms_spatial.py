"""What the ONNX ops of images are in the Graph; see `edgelearn.export.onnx_arms`."""

from __future__ import annotations

import numpy as np

from edgelearn.arrays import Shape
from edgelearn.export.onnx_arms import Arm, constant, reduce
from edgelearn.export.onnx_fold import refused
from edgelearn.export.onnx_load import OnnxNode
from edgelearn.export.onnx_values import Order, Values
from edgelearn.ir.ops import (
    AddConvOuter,
    Binary,
    Conv2d,
    ConvTranspose2d,
    Pool2d,
    ReduceKind,
    Reshape,
    Unary,
)
from edgelearn.ir.ops_spatial import Pads, Pair, PoolKind
from edgelearn.ir.tensor import BATCH

NHWC: Order = (0, 2, 3, 1)
HWIO: Order = (2, 3, 1, 0)
SAMPLES_AS_CHANNELS: Order = (1, 2, 3, 0)
GROUPS_AND_SAMPLES: Order = (2, 3, 4, 1, 0)
PLACES_FIRST: Order = (2, 3, 0, 1)


def image(v: Values, name: str) -> tuple[str, Pair]:
    """The value in NHWC, and its height and width."""
    dims = v.shape(name)
    if len(dims) != 4:
        raise refused("an image (batch, channels, height, width)", f"shape {list(dims)}")
    return v.read(name, NHWC), (dims[2], dims[3])


def _pads(n: OnnxNode, size: Pair, kernel: Pair, strides: Pair) -> Pads:
    """Explicit padding, whether the node says it or the rule for it."""
    auto = n.attributes.get("auto_pad", "NOTSET")
    if auto in ("NOTSET", "VALID"):
        given = n.attributes.get("pads", (0, 0, 0, 0)) if auto == "NOTSET" else (0, 0, 0, 0)
        top, left, bottom, right = given
        return top, left, bottom, right
    if auto not in ("SAME_UPPER", "SAME_LOWER"):
        raise refused("a known auto_pad", auto)
    ends = []
    for length, k, stride in zip(size, kernel, strides, strict=True):
        total = max((-(-length // stride) - 1) * stride + k - length, 0)
        less = total // 2
        ends.append((less, total - less) if auto == "SAME_UPPER" else (total - less, less))
    return ends[0][0], ends[1][0], ends[0][1], ends[1][1]


def _pair(n: OnnxNode, key: str, default: tuple[int, ...] = (1, 1)) -> Pair:
    first, second = n.attributes.get(key, default)
    return first, second


def _conv(v: Values, n: OnnxNode, _: int) -> None:
    if BATCH in v.shape(n.inputs[1]):
        _conv_outer(v, n)
        return
    x, size = image(v, n.inputs[0])
    _with_bias(v, n, conv2d_of(n, size, v.shape(n.inputs[1])[2:]), x)


def conv2d_of(n: OnnxNode, size: Shape, kernel: Shape) -> Conv2d:
    """The convolution that a node says, on images of `size`, height and width."""
    dilations, strides = _pair(n, "dilations"), _pair(n, "strides")
    spans = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))
    pads = _pads(n, (size[0], size[1]), (spans[0], spans[1]), strides)
    return Conv2d(strides, pads, dilations, n.attributes.get("group", 1))


def _with_bias(v: Values, n: OnnxNode, op: Conv2d | ConvTranspose2d, x: str) -> None:
    filters = v.read(n.inputs[1], HWIO)
    if not n.input(2):
        v.define(n.out, op, [x, filters], NHWC)
        return
    product = v.step(n.out, op, x, filters)
    v.define(n.out, Binary("add"), [product, v.read(n.inputs[2])], NHWC)


def _conv_transpose(v: Values, n: OnnxNode, _: int) -> None:
    x, size = image(v, n.inputs[0])
    auto = n.attributes.get("auto_pad", "NOTSET")
    if auto not in ("NOTSET", "VALID") or "output_shape" in n.attributes:
        raise refused("explicit pads and output_padding", f"auto_pad {auto!r} or output_shape")
    strides, dilations = _pair(n, "strides"), _pair(n, "dilations")
    rest = _pair(n, "output_padding", (0, 0))
    pads = _pads(n, size, (1, 1), strides)
    kernel = v.shape(n.inputs[1])[2:]
    ends = [
        (size[i] - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1 + rest[i] for i in range(2)
    ]
    made = ends[0] - pads[0] - pads[2], ends[1] - pads[1] - pads[3]
    group = n.attributes.get("group", 1)
    _with_bias(v, n, ConvTranspose2d(made, strides, pads, dilations, group), x)


def _conv_outer(v: Values, n: OnnxNode) -> None:
    """A convolution with samples in the place of channels: the update of filters, onto zeros."""
    groups = n.attributes.get("group", 1)
    images, d = v.merged.get(n.inputs[0], n.inputs[0]), v.shape(n.inputs[1])
    x = v.shape(images)
    inner = (x[0], groups, BATCH) if groups > 1 else (x[0], BATCH)
    if len(d) != 4 or d[1] != BATCH or x[:-2] != inner or n.input(2):
        raise refused("filters of known size", f"a sum over samples of {list(x)} and {list(d)}")
    steps, dilations = _pair(n, "dilations"), _pair(n, "strides")
    span = (d[2] - 1) * steps[0] + 1, (d[3] - 1) * steps[1] + 1
    pads = _pads(n, (x[-2], x[-1]), span, dilations)
    rows = (x[-2] + pads[0] + pads[2] - span[0]) // dilations[0] + 1
    columns = (x[-1] + pads[1] + pads[3] - span[1]) // dilations[1] + 1
    zeros = v.zeros(f"{n.out}/zeros", (rows, columns, x[0], d[0]))
    op = AddConvOuter(steps, pads, dilations, groups)
    inputs = [_channels_last(v, images, n.out), v.read(n.inputs[1], SAMPLES_AS_CHANNELS)]
    v.define(n.out, op, [zeros, *inputs], PLACES_FIRST)


def _channels_last(v: Values, name: str, stem: str) -> str:
    """Images from (c, n, h, w), or in groups from (c, groups, n, h, w)."""
    dims = v.shape(name)
    if len(dims) == 4:
        return v.read(name, SAMPLES_AS_CHANNELS)
    each, groups, _, height, width = dims
    split = v.read(name, GROUPS_AND_SAMPLES)
    return v.step(stem, Reshape((BATCH, height, width, groups * each)), split)


def _pool(kind: PoolKind) -> Arm:
    def arm(v: Values, n: OnnxNode, _: int) -> None:
        x, size = image(v, n.inputs[0])
        kernel, strides = _pair(n, "kernel_shape"), _pair(n, "strides")
        if _pair(n, "dilations") != (1, 1) or any(n.outputs[1:]):
            raise refused("windows without gaps and no indices", "dilations or indices")
        pads = _pads(n, size, kernel, strides)
        if n.attributes.get("ceil_mode", 0):
            pads = _with_last_window(size, kernel, strides, pads)
        if n.attributes.get("count_include_pad", 0) and any(pads):
            raise refused("a mean that leaves padding out", "count_include_pad = 1")
        v.define(n.out, Pool2d(kind, kernel, strides, pads), [x], NHWC)

    return arm


def _with_last_window(size: Pair, kernel: Pair, strides: Pair, pads: Pads) -> Pads:
    """Padding that makes the rounded-up number of windows fit; a window starts on real elements."""
    ends = []
    for i in range(2):
        length = size[i] + pads[i]
        windows = -(-(length + pads[i + 2] - kernel[i]) // strides[i]) + 1
        if (windows - 1) * strides[i] >= length:
            windows -= 1
        ends.append(max(pads[i + 2], (windows - 1) * strides[i] + kernel[i] - length))
    return pads[0], pads[1], ends[0], ends[1]


def _global_pool(kind: ReduceKind) -> Arm:
    def arm(v: Values, n: OnnxNode, _: int) -> None:
        axes = tuple(range(2, len(v.shape(n.inputs[0]))))
        reduce(v, n, kind, axes, keepdims=True)

    return arm


def _batch_normalization(v: Values, n: OnnxNode, _: int) -> None:
    """Inference form: one factor and one offset a channel."""
    found = [constant(v, n, i) for i in range(1, 5)]
    missing = any(a is None for a in found)
    if missing or n.attributes.get("training_mode", 0) or not n.attributes.get("spatial", 1):
        raise refused("inference over channels, with all four inputs", "another mode")
    scale, offset, mean, variance = (np.asarray(a, np.float64) for a in found)
    factor = scale / np.sqrt(variance + n.attributes.get("epsilon", 1e-5))
    name, rank = n.inputs[0], len(v.shape(n.inputs[0]))
    order: Order = (0, *range(2, rank), 1)
    made = v.array(f"{n.out}/factor", factor.astype(np.float32))
    shift = v.array(f"{n.out}/shift", (offset - mean * factor).astype(np.float32))
    scaled = v.step(n.out, Binary("mul"), v.read(name, order), made)
    v.define(n.out, Binary("add"), [scaled, shift], order)


def _lrn(v: Values, n: OnnxNode, _: int) -> None:
    """``x / (bias + alpha / size * sum of squares over near channels) ** beta``.

    The sum over channels is a convolution along an axis of its own, with one filter.
    """
    x, (height, width) = image(v, n.inputs[0])
    found, size = n.attributes, n.attributes["size"]
    batch, channels = v.shape(n.inputs[0])[:2]
    lines = Reshape((batch, height * width, channels, 1))
    weight = np.full((1, size, 1, 1), found.get("alpha", 1e-4) / size, np.float32)
    before = (size - 1) // 2
    squares = v.step(n.out, lines, v.step(n.out, Binary("mul"), x, x))
    op = Conv2d(pads=(0, before, 0, size - 1 - before))
    near = v.step(n.out, op, squares, v.array(f"{n.out}/window", weight))
    middle = v.step(n.out, Reshape((batch, height, width, channels)), near)
    total = v.step(n.out, Binary("add"), middle, v.scalar(found.get("bias", 1.0)))
    power = v.step(n.out, Unary("log"), total)
    power = v.step(n.out, Binary("mul"), power, v.scalar(-found.get("beta", 0.75)))
    v.define(n.out, Binary("mul"), [x, v.step(n.out, Unary("exp"), power)], NHWC)


def _clip(v: Values, n: OnnxNode, opset: int) -> None:
    if opset < 11:
        low, high = n.attributes.get("min"), n.attributes.get("max")
    else:
        low, high = (
            None if a is None else a.item() for a in (constant(v, n, 1), constant(v, n, 2))
        )
    _clamp(v, n, n.inputs[0], low, high)


def _clamp(v: Values, n: OnnxNode, name: str, low: float | None, high: float | None) -> None:
    order = v.order(name)
    inner = v.read(name, order)
    if low is not None:
        inner = v.step(n.out, Binary("max"), inner, v.scalar(low))
    top = v.scalar(float(np.finfo(np.float32).max) if high is None else high)
    v.define(n.out, Binary("min"), [inner, top], order)


def _hard_sigmoid(v: Values, n: OnnxNode, _: int) -> None:
    order = v.order(n.inputs[0])
    slope = v.scalar(n.attributes.get("alpha", 0.2))
    scaled = v.step(n.out, Binary("mul"), v.read(n.inputs[0], order), slope)
    line = v.step(n.out, Binary("add"), scaled, v.scalar(n.attributes.get("beta", 0.5)))
    above = v.step(n.out, Binary("max"), line, v.scalar(0.0))
    v.define(n.out, Binary("min"), [above, v.scalar(1.0)], order)


SPATIAL_ARMS: dict[str, Arm] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "MaxPool": _pool("max"),
    "AveragePool": _pool("avg"),
    "GlobalAveragePool": _global_pool("mean"),
    "GlobalMaxPool": _global_pool("max"),
    "BatchNormalization": _batch_normalization,
    "LRN": _lrn,
    "Clip": _clip,
    "HardSigmoid": _hard_sigmoid,
}
