"""The rules of pooling. A maximum that several elements reach sends each of them an equal part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgelearn.arrays import Array, as_f32
from edgelearn.ir.builder import Builder
from edgelearn.ir.graph import Node
from edgelearn.ir.interp import evaluate
from edgelearn.ir.ops import Conv2d, ConvTranspose2d, Pool2d, Reduce, Reshape, Slice
from edgelearn.passes._collect import Part

if TYPE_CHECKING:
    from edgelearn.passes.backward import Backward


def share_of_best(b: Builder, values: str, best: str, axes: tuple[int, ...], real: str = "") -> str:
    """Which part of the maximum along `axes` each of `values` is; only `real` ones count."""
    hit = b.binary("sub", b.scalar(1), b.unary("sign", b.binary("sub", best, values)))
    if real:
        hit = b.binary("mul", hit, real)
    return b.binary("div", hit, b.apply(Reduce("sum", axes, keepdims=True), hit))


def pool2d(back: Backward, op: Pool2d, node: Node, d: str) -> None:
    if op.kind == "avg":
        _mean(back, op, node.inputs[0], d)
    elif op.kernel == op.strides and not any(op.pads):
        _best_of_tiles(back, op, node, d)
    else:
        _best_of_windows(back, op, node, d)


def _mean(back: Backward, op: Pool2d, x: str, d: str) -> None:
    """Each window spreads its error over the elements that it has."""
    b = back.b
    _, height, width, channels = b.specs[x].shape
    filters = np.ones((*op.kernel, 1, channels), np.float32)
    count = _seen(op, (height, width), filters[..., :1])
    each = b.binary("mul", d, b.constant(b.fresh("share"), as_f32(1 / count)))
    transposed = ConvTranspose2d((height, width), op.strides, op.pads, groups=channels)
    back.send(x, b.apply(transposed, each, b.constant(b.fresh("ones"), filters)))


def _best_of_tiles(back: Backward, op: Pool2d, node: Node, d: str) -> None:
    """Windows side by side: the image is cut into them."""
    b, x = back.b, node.inputs[0]
    batch, rows, columns, channels = b.specs[d].shape
    (high, wide), (_, height, width, _) = op.kernel, b.specs[x].shape
    tall = x if rows * high == height else b.apply(Slice(1, 0, rows * high), x)
    seen = tall if columns * wide == width else b.apply(Slice(2, 0, columns * wide), tall)
    apart = Reshape((batch, rows, high, columns, wide, channels))
    once = Reshape((batch, rows, 1, columns, 1, channels))
    share = share_of_best(b, b.apply(apart, seen), b.apply(once, node.output), (2, 4))
    error = b.binary("mul", share, b.apply(once, d))
    error = b.apply(Reshape(b.specs[seen].shape), error)
    if seen != tall:
        error = back.whole(tall, Part(2, 0, columns * wide, error))
    back.send_part(x, Part(1, 0, rows * high, error))


def _best_of_windows(back: Backward, op: Pool2d, node: Node, d: str) -> None:
    """Windows that overlap or reach over the edge: filters pick out each of their places."""
    b, x = back.b, node.inputs[0]
    batch, rows, columns, channels = b.specs[d].shape
    _, height, width, _ = b.specs[x].shape
    places = op.kernel[0] * op.kernel[1]
    one = np.eye(places, dtype=np.float32).reshape(*op.kernel, 1, places)
    pick = b.constant(b.fresh("pick"), np.tile(one, channels))
    real = _seen(op, (height, width), one)[0].reshape(rows, columns, 1, places)
    picked = b.apply(Conv2d(op.strides, op.pads, groups=channels), x, pick)
    apart, once = (Reshape((batch, rows, columns, channels, n)) for n in (places, 1))
    share = share_of_best(
        b,
        b.apply(apart, picked),
        b.apply(once, node.output),
        (4,),
        b.constant(b.fresh("real"), real),
    )
    error = b.binary("mul", share, b.apply(once, d))
    error = b.apply(Reshape(b.specs[picked].shape), error)
    transposed = ConvTranspose2d((height, width), op.strides, op.pads, groups=channels)
    back.send(x, b.apply(transposed, error, pick))


def _seen(op: Pool2d, size: tuple[int, int], filters: Array) -> Array:
    """How many real elements `filters` (kh, kw, 1, m) pick in each window, (1, h', w', m)."""
    image = np.ones((1, *size, 1), np.float32)
    return evaluate(Conv2d(op.strides, op.pads), image, filters)
