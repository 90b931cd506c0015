"""Normalisation of each sample by itself: no batch, no stored statistics, nothing to learn."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from edgelearn import kernels
from edgelearn.arrays import F32, Shape
from edgelearn.ir.builder import Builder
from edgelearn.ir.ops import Reduce
from edgelearn.layers._base import Names, Params, Trace

EPSILON = 1e-5


class LayerNorm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``(x - mean) / sqrt(variance + 1e-5)`` over all elements of a sample.

    The same at any batch size, and on the device one sample at a time. It keeps a layer from
    telling the next one how sure it is: that one must find more in the data.

    Notes
    -----
    Source: layer normalisation (Ba, Kiros & Hinton 2016, arXiv:1607.06450), without gain and
    offset, which the next layer's weights can express.
    """

    kind: ClassVar[str] = "layer_norm"

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape

    def init(self, in_shape: Shape, seed: int, index: int) -> Params:
        return {}

    def scratch_size(self, in_shape: Shape, batch: int) -> int:
        return 0

    def forward(self, params: Params, x: F32, out: F32, scratch: F32) -> Trace[F32]:
        kernels.norms.standardize(x.reshape(len(x), -1), EPSILON, out.reshape(len(x), -1))
        return Trace(x, out)

    def emit(self, b: Builder, params: Names, x: str) -> Trace[str]:
        axes = tuple(range(1, len(b.specs[x].shape)))
        centred = b.binary("sub", x, b.apply(Reduce("mean", axes, keepdims=True), x))
        square = b.binary("mul", centred, centred)
        variance = b.apply(Reduce("mean", axes, keepdims=True), square)
        spread = b.unary("sqrt", b.binary("add", variance, b.scalar(EPSILON)))
        return Trace(x, b.binary("div", centred, spread))


LAYER = LayerNorm
EXAMPLES = ((LayerNorm(), (12,)), (LayerNorm(), (5, 4, 3)))
