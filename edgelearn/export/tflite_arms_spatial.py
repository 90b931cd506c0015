"""What the TFLite operators of images are in the Graph; see `edgelearn.export.tflite_arms`."""

from __future__ import annotations

from ai_edge_litert import schema_py_generated as schema  # noqa: TID251  this file reads TFLite

from edgelearn.export.tflite_arms import Arm, Made, with_bias
from edgelearn.export.tflite_parts import TfliteNode, refused
from edgelearn.export.tflite_values import Padding, Values
from edgelearn.ir.ops import Conv2d, Pool2d, Reshape, Transpose
from edgelearn.ir.ops_spatial import Pads, Pair, PoolKind

HWIO = (1, 2, 3, 0)
"""TFLite has filters as (outputs, height, width, channels / groups)."""


def _image(v: Values, n: TfliteNode) -> tuple[str, Pads]:
    """The image that an operator reads; padding before it becomes its own, where that may be."""
    index = n.inputs[0]
    if len(v.shape(index)) != 4:
        raise refused("an image of 4 axes", f"{list(v.shape(index))}")
    made = v.padded.get(index)
    if made is None or n.option("Padding") == schema.Padding.SAME or made.value != 0:
        return v.read(index), (0, 0, 0, 0)
    return v.read(made.source), made.pads


def _pads(v: Values, n: TfliteNode, spans: Pair, strides: Pair, made: Pads) -> Pads:
    """The padding of SAME: as many rows and columns as the last window needs, most after."""
    if n.option("Padding") == schema.Padding.VALID:
        return made
    before, after = [], []
    for size, span, step in zip(v.shape(n.inputs[0])[1:3], spans, strides, strict=True):
        total = max(0, (-(-size // step) - 1) * step + span - size)
        before.append(total // 2)
        after.append(total - total // 2)
    return before[0], before[1], after[0], after[1]


def _strides(n: TfliteNode) -> Pair:
    return n.option("StrideH", 1), n.option("StrideW", 1)


def _slide(v: Values, n: TfliteNode, kernel: Pair, groups: int, made: Pads) -> Conv2d:
    dilations = n.option("DilationHFactor", 1), n.option("DilationWFactor", 1)
    down, across = ((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))
    strides = _strides(n)
    return Conv2d(strides, _pads(v, n, (down, across), strides, made), dilations, groups)


def _conv(v: Values, n: TfliteNode) -> Made:
    x, made = _image(v, n)
    w = n.inputs[1]
    filters = v.weights(w, HWIO) or v.step(n.out, Transpose(HWIO), v.read(w))
    height, width, each, _ = v.b.specs[filters].shape
    channels = v.shape(n.inputs[0])[3]
    if not each or channels % each:
        raise refused("channels that split into groups", f"{channels} by {each}")
    op = _slide(v, n, (height, width), channels // each, made)
    return with_bias(v, n, op, [x, filters])


def _depthwise(v: Values, n: TfliteNode) -> Made:
    x, made = _image(v, n)
    w = n.inputs[1]
    _, height, width, outputs = v.shape(w)
    shape = (height, width, 1, outputs)
    filters = v.weights(w, shape=shape) or v.step(n.out, Reshape(shape), v.read(w))
    op = _slide(v, n, (height, width), v.shape(n.inputs[0])[3], made)
    return with_bias(v, n, op, [x, filters])


def _pool(kind: PoolKind) -> Arm:
    def arm(v: Values, n: TfliteNode) -> Made:
        kernel, strides = (n.option("FilterHeight"), n.option("FilterWidth")), _strides(n)
        pads = _pads(v, n, kernel, strides, (0, 0, 0, 0))
        return Pool2d(kind, kernel, strides, pads), [v.read(n.inputs[0])]

    return arm


def _pad(v: Values, n: TfliteNode) -> Made:
    """Rows and columns of 0 wait for the convolution that may pad by itself."""
    source, amounts = n.inputs[0], v.constant(n, 1).tolist()
    value = float(v.constant(n, 2)) if v.has(n, 2) else 0.0
    params = v.params(source)
    if params is not None and v.has(n, 2):
        raise refused("padding by 0 where numbers are quantised", "another")
    spatial = len(amounts) == 4 and not any(amounts[0]) and not any(amounts[3])
    if spatial and any(amounts[1] + amounts[2]):
        (top, bottom), (left, right) = amounts[1], amounts[2]
        v.padded[n.out] = Padding(source, (top, left, bottom, right), value)
        return None
    name, fill = v.raw(source), value if params is None else params.zero_point[0]
    for axis, (before, after) in enumerate(amounts):
        if before or after:
            name = v.extended(n.out, name, axis, (before, after), fill)
    v.held[n.out] = name
    return None


SPATIAL_ARMS: dict[str, Arm] = {
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "MAX_POOL_2D": _pool("max"),
    "AVERAGE_POOL_2D": _pool("avg"),
    "PAD": _pad,
    "PADV2": _pad,
}
