"""Convolution of images: ``a = act(conv(x, w) + b)``."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal

import msgspec
import numpy as np

from edgelearn.arrays import F32, Shape
from edgelearn.ir.builder import Builder
from edgelearn.ir.ops import AddConvOuter, Reduce
from edgelearn.ir.ops import Conv2d as ConvOp
from edgelearn.layers import _activations, _conv
from edgelearn.layers._activations import GAINS
from edgelearn.layers._base import Names, Params, Trace
from edgelearn.layers._images import (
    as_images,
    emit_images,
    image_shape,
    require_room,
    same_pads,
)
from edgelearn.layers._pca import Covariance, whitened_filters
from edgelearn.rng import Stream, uniform
from edgelearn.views import emit_spread

PATCHES = 20
"""Patches of one image that the filters start from."""


class Conv2d(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``a = act(conv(x, w) + b)`` on images (height, width, channels); `w` (kh, kw, c, filters).

    Parameters
    ----------
    filters : int
    kernel, stride : int
        Rows and columns of a filter; how far it slides.
    padding : {"same", "valid"}
        same: ``ceil(size / stride)`` rows and columns come out; valid: nothing beyond the image
        is seen.
    activation : {"relu", "leaky_relu", "tanh", "linear"}
    init : {"uniform", "pca"}
        pca: whitened principal components of patches, from the data without labels. From a random
        start local losses hardly improve on filters left random; from this one they do.

    Notes
    -----
    Source: tpSGD for convolutions (Lomnitz et al. 2022, arXiv:2208.08503):
    ``w -= rate * sum over places of patch outer d`` with ``d = e * act'(z)``.
    """

    kind: ClassVar[str] = "conv2d"
    filters: Annotated[int, msgspec.Meta(ge=1, le=1 << 16)]
    kernel: Annotated[int, msgspec.Meta(ge=1, le=64)] = 3
    stride: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    padding: Literal["same", "valid"] = "same"
    activation: Literal["relu", "leaky_relu", "tanh", "linear"] = "relu"
    init_from: Literal["random", "pca"] = msgspec.field(default="random", name="init")

    def _geometry(self, in_shape: Shape) -> _conv.Geometry:
        image = image_shape(self.kind, in_shape)
        window, strides = (self.kernel, self.kernel), (self.stride, self.stride)
        pads = same_pads(image, window, strides) if self.padding == "same" else (0, 0, 0, 0)
        g = _conv.geometry(image, window, strides, pads, self.filters)
        require_room(self.kind, g.out, in_shape)
        return g

    def out_shape(self, in_shape: Shape) -> Shape:
        return self._geometry(in_shape).out

    def init(self, in_shape: Shape, seed: int, index: int) -> Params:
        g = self._geometry(in_shape)
        shape = (*g.kernel, g.image[2], self.filters)
        limit = math.sqrt(3 * GAINS.get(self.activation, 1.0) / g.patch)
        return {
            "w": uniform(seed, Stream.INIT, index, shape, limit),
            "b": np.zeros(self.filters, np.float32),
        }

    @property
    def starts_from_data(self) -> bool:
        return self.init_from == "pca"

    def start(self, params: Params, inputs: Iterable[F32]) -> None:
        w = params["w"]
        patch = math.prod(w.shape[:3])
        covariance = Covariance(patch)
        for x in inputs:
            g = self._geometry(x.shape[1:])
            scratch = np.empty(math.prod(g.out[:2]) * patch, np.float32)
            step = max(1, math.prod(g.out[:2]) // PATCHES)
            for n, image in enumerate(as_images(self.kind, x)):
                seen = _conv.patches(g, image, 0, g.out[0], scratch)
                covariance.add(seen[n % step :: step])
        signed = self.activation in GAINS
        filters, bias = whitened_filters(covariance, self.filters, signed=signed)
        w[:] = filters.reshape(w.shape)
        params["b"][:] = bias

    def scratch_size(self, in_shape: Shape, batch: int) -> int:
        return self._geometry(in_shape).scratch

    def forward(self, params: Params, x: F32, out: F32, scratch: F32) -> Trace[F32]:
        x = as_images(self.kind, x)
        code = _activations.code(self.activation)
        _conv.forward(self._geometry(x.shape[1:]), params, code, x, out, scratch)
        return Trace(x, out)

    def update(
        self, params: Params, trace: Trace[F32], e: F32, rate: float, into: Params, scratch: F32
    ) -> None:
        g, code = self._geometry(trace.x.shape[1:]), _activations.code(self.activation)
        _conv.update(g, trace.a, code, trace.x, e, rate, into, scratch)

    def emit(self, b: Builder, params: Names, x: str) -> Trace[str]:
        g = self._geometry(b.specs[x].shape[1:])
        x = emit_images(b, self.kind, x)
        z = b.apply(ConvOp(g.strides, g.pads), x, params["w"])
        return Trace(x, _activations.emit(b, self.activation, b.binary("add", z, params["b"])))

    def emit_update(
        self, b: Builder, params: Names, trace: Trace[str], e: str, rate: str, into: Names
    ) -> Names:
        g = self._geometry(b.specs[trace.x].shape[1:])
        full = emit_spread(b, e, g.out)
        d = _activations.emit_error(b, self.activation, trace.a, full)
        step = b.binary("mul", d, b.unary("neg", rate), name=b.fresh("d"))
        total = b.apply(Reduce("sum", (0, 1, 2)), step)
        outer = AddConvOuter(g.strides, g.pads)
        return {
            "w": b.apply(outer, into["w"], trace.x, step, name=b.fresh("w")),
            "b": b.binary("add", into["b"], total),
        }


LAYER = Conv2d
EXAMPLES = (
    (Conv2d(filters=4), (6, 5, 3)),
    (Conv2d(filters=6, kernel=5, stride=2, activation="leaky_relu"), (9, 8, 2)),
    (Conv2d(filters=3, kernel=2, padding="valid", activation="tanh"), (7, 7)),
    (Conv2d(filters=5, kernel=1, activation="linear"), (4, 4, 6)),
)
