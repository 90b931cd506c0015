"""What the operations of images are in TFLite, which has them with the channels last, as we do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from ai_edge_litert import schema_py_generated as schema  # noqa: TID251  this file makes TFLite

from edgelearn.arrays import Array, Shape
from edgelearn.export.tflite_emit_quant import integers, rescaled
from edgelearn.export.tflite_emitter import Emitter
from edgelearn.ir.ops_spatial import (
    AddConvOuter,
    Conv2d,
    ConvTranspose2d,
    Pads,
    Pair,
)

OHWI = (3, 0, 1, 2)
"""TFLite has filters as (outputs, height, width, channels / groups)."""
CHWN = (3, 1, 2, 0)
"""With samples in the place of channels, a convolution sums over samples."""
ZERO = np.array(0, np.float32)


class Sliding(NamedTuple):
    """How a convolution goes over an image: the operator, what it reads, and its filters' shape."""

    x: int
    code: str
    options: Any
    version: int
    filters: Shape
    """Of one output of many channels where every channel is a group, else ()."""


def sliding(e: Emitter, op: Conv2d, x: int, kernel: Shape, shape: Shape) -> Sliding:
    """`Conv2d` of the tensor `x`: a grouped convolution, or a depthwise one."""
    x, padding = padded(e, x, op.pads, op.strides, _spans(kernel, op.dilations))
    if op.groups == 1 or op.groups != e.shape(x)[3]:
        options = schema.Conv2DOptionsT()
        slide(options, padding, op.strides, op.dilations)
        return Sliding(x, "CONV_2D", options, 1 if op.groups == 1 else 6, ())
    options = schema.DepthwiseConv2DOptionsT()
    options.depthMultiplier = shape[3] // op.groups
    slide(options, padding, op.strides, op.dilations)
    version = 1 if op.dilations == (1, 1) else 2
    return Sliding(x, "DEPTHWISE_CONV_2D", options, version, (1, *kernel, shape[3]))


def conv2d(e: Emitter, op: Conv2d, names: tuple[str, ...], shape: Shape) -> int:
    """`Conv2d` of numbers."""
    x, w = e.read(names[0]), names[1]
    window = sliding(e, op, x, e.specs[w].shape[:2], shape)
    inputs = [window.x, _filters(e, w, window.filters), _no_bias(e, shape)]
    made = e.make(window.code, inputs, shape, window.options, version=window.version)
    return rescaled(e, w, made)


def conv_transpose2d(e: Emitter, op: ConvTranspose2d, names: tuple[str, ...], shape: Shape) -> int:
    """`ConvTranspose2d`: a convolution of errors that are set apart, with filters turned round.

    TRANSPOSE_CONV knows neither dilations nor groups.
    """
    kernel = e.specs[names[1]].shape[:2]
    spread = _spread(e, e.read(names[0]), op.strides)
    before = [(k - 1) * d - pad for k, d, pad in zip(kernel, op.dilations, op.pads, strict=False)]
    lengths = [size + (k - 1) * d for size, k, d in zip(op.size, kernel, op.dilations, strict=True)]
    image = _window(e, spread, before, lengths)
    plain = Conv2d(dilations=op.dilations, groups=op.groups)
    filters = _turned(e, names[1], op.groups)
    return _convolution(e, plain, [image, filters], shape, schema.Padding.VALID)


def add_conv_outer(e: Emitter, op: AddConvOuter, names: tuple[str, ...], shape: Shape) -> int:
    """`AddConvOuter`: a convolution of `x` with filters `d`: strides and dilations swapped."""
    w, x, d = (e.read(name) for name in names)
    n, height, width, channels = e.shape(x)
    image = x
    if op.groups > 1:
        split = (n, height, width, op.groups, channels // op.groups)
        image = e.transposed(e.reshaped(x, split), (4, 1, 2, 3, 0))
        image = e.reshaped(image, (channels // op.groups, height, width, op.groups * n))
    else:
        image = e.transposed(x, CHWN)
    errors = e.transposed(d, CHWN)
    swapped = Conv2d(op.dilations, op.pads, op.strides, op.groups)
    spans = _spans(e.shape(errors)[1:3], op.strides)
    image, padding = padded(e, image, op.pads, (), spans)
    places = [
        (size - span) // step + 1
        for size, span, step in zip(e.shape(image)[1:3], spans, op.dilations, strict=True)
    ]
    made = _convolution(
        e, swapped, [image, errors], (e.shape(image)[0], *places, shape[3]), padding
    )
    made = _window(e, made, (0, 0), shape[:2])  # windows may not reach the last rows or columns
    gradient = e.transposed(made, (1, 2, 0, 3))
    return e.make("ADD", [w, gradient], shape, schema.AddOptionsT())


def _convolution(e: Emitter, op: Conv2d, inputs: Sequence[int], shape: Shape, padding: int) -> int:
    options = schema.Conv2DOptionsT()
    slide(options, padding, op.strides, op.dilations)
    inputs = [*inputs, _no_bias(e, shape)]
    return e.make("CONV_2D", inputs, shape, options, version=1 if op.groups == 1 else 6)


def _no_bias(e: Emitter, shape: Shape) -> int:
    """Zeros, one an output: runtimes refuse a convolution without a bias, or crash."""
    return e.constant(np.zeros(shape[-1], np.float32))


def slide(options: Any, padding: int, strides: Pair, dilations: Pair | None = None) -> None:
    options.padding = padding
    options.strideH, options.strideW = strides
    if dilations is not None:
        options.dilationHFactor, options.dilationWFactor = dilations


def _spans(kernel: Shape, dilations: Pair) -> Pair:
    down, across = ((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))
    return down, across


def padded(
    e: Emitter, x: int, pads: Pads, strides: Pair | tuple[()], spans: Pair, value: Array = ZERO
) -> tuple[int, int]:
    """`x` ready for a window of `spans`, and the padding that the operator itself must do.

    SAME puts the odd row or column after the image, never before it; all else is done by an
    operator of its own. Without `strides` it always is.
    """
    if not any(pads):
        return x, schema.Padding.VALID
    size = e.shape(x)[1:3]
    if strides:
        needed = [
            max(0, (-(-n // s) - 1) * s + span - n)
            for n, s, span in zip(size, strides, spans, strict=True)
        ]
        before = [total // 2 for total in needed]
        after = [total - first for total, first in zip(needed, before, strict=True)]
        if pads == (*before, *after):
            return x, schema.Padding.SAME
    return _window(e, x, pads[:2], _full(size, pads), value), schema.Padding.VALID


def _full(size: Shape, pads: Pads) -> Pair:
    return size[0] + pads[0] + pads[2], size[1] + pads[1] + pads[3]


def _window(
    e: Emitter, x: int, before: Sequence[int], lengths: Sequence[int], value: Array = ZERO
) -> int:
    """Images `lengths` high and wide that begin `before` rows and columns before those of `x`.

    What lies outside `x` is `value`; where `before` is negative, `x` is cut.
    """
    n, *size, channels = e.shape(x)
    cut = [max(0, -first) for first in before]
    kept = [
        min(length, total + first) - max(0, first)
        for length, total, first in zip(lengths, size, before, strict=True)
    ]
    if kept != list(size):
        inputs = [x, e.ints(0, *cut, 0), e.ints(n, *kept, channels)]
        shape, options = (n, *kept, channels), schema.SliceOptionsT()
        x = e.make("SLICE", inputs, shape, options, dtype=e.dtype(x))
    if kept == list(lengths):
        return x
    pads = [(0, 0)]
    for length, inner, first in zip(lengths, kept, before, strict=True):
        pads.append((max(0, first), length - inner - max(0, first)))
    return _pad(e, x, [*pads, (0, 0)], value)


def _pad(e: Emitter, x: int, pads: Sequence[Pair], value: Array = ZERO) -> int:
    shape = tuple(d + sum(pair) for d, pair in zip(e.shape(x), pads, strict=True))
    amounts = e.constant(np.array(pads, np.int32))
    if value == 0:
        made = e.make("PAD", [x, amounts], shape, schema.PadOptionsT(), dtype=e.dtype(x))
        e.alike(made, x)  # then it is what stands for 0 that is put around
        return made
    inputs = [x, amounts, e.constant(value)]
    return e.make("PADV2", inputs, shape, schema.PadV2OptionsT(), dtype=e.dtype(x))


def _spread(e: Emitter, d: int, strides: Pair) -> int:
    """Errors `d` set apart: `strides` - 1 rows and columns of 0 after each of theirs."""
    n, height, width, m = e.shape(d)
    down, across = strides
    if down > 1:
        rows = e.reshaped(d, (n * height, 1, width * m))
        d = _pad(e, rows, [(0, 0), (0, down - 1), (0, 0)])
    if across > 1:
        columns = e.reshaped(d, (n * height * down * width, 1, m))
        d = _pad(e, columns, [(0, 0), (0, across - 1), (0, 0)])
    return e.reshaped(d, (n, height * down, width * across, m))


def _turned(e: Emitter, name: str, groups: int) -> int:
    """Filters (kh, kw, c / groups, m) turned by half a circle, from m to c channels: OHWI."""
    height, width, each, m = e.specs[name].shape
    split, perm = (height, width, each, groups, m // groups), (3, 2, 0, 1, 4)
    shape = (groups * each, height, width, m // groups)
    if name in e.constants:
        stored = e.constants[name][::-1, ::-1].reshape(split).transpose(perm)
        return e.constant(stored.reshape(shape), f"{name}/turned")
    places = e.reshaped(e.read(name), (height * width, each * m))
    last_first = e.ints(*reversed(range(height * width)))
    turned = e.make("GATHER", [places, last_first], e.shape(places), schema.GatherOptionsT())
    return e.reshaped(e.transposed(e.reshaped(turned, split), perm), shape)


def _filters(e: Emitter, name: str, shape: Shape) -> int:
    """Filters as OHWI, or in `shape` of one output of many channels; a constant is stored so."""

    def arranged(value: Array) -> Array:
        return value.reshape(shape) if shape else value.transpose(OHWI)

    if name in e.forms.absorbed:
        stored = integers(e, name, arranged(e.constants[e.forms.absorbed[name].constant]))
        options = schema.DequantizeOptionsT()
        return e.make("DEQUANTIZE", [stored], e.shape(stored), options, version=2)
    if name in e.constants:
        return e.constant(arranged(e.constants[name]), f"{name}/outputs_first")
    filters = e.read(name)
    return e.reshaped(filters, shape) if shape else e.transposed(filters, OHWI)
