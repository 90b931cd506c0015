"""What convolutions of images and of sequences share: ``a = act(conv(x, w) + b)``."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar, Literal

import msgspec
import numpy as np

from edgelearn.arrays import F32, Shape
from edgelearn.errors import ConfigError
from edgelearn.ir.builder import Builder
from edgelearn.ir.ops import AddConvOuter, Concat, Conv2d, Reduce, Reshape
from edgelearn.ir.tensor import BATCH
from edgelearn.layers import _activations, _conv
from edgelearn.layers._activations import GAINS
from edgelearn.layers._base import Names, Params, Trace
from edgelearn.layers._images import (
    Form,
    Padding,
    as_images,
    emit_images,
    emit_samples,
    padding,
    require_reach,
    require_room,
)
from edgelearn.layers._oja import Oja
from edgelearn.layers._pca import Components, Covariance, wanted_components, whitened_filters
from edgelearn.rng import Stream, uniform
from edgelearn.views import Cells, emit_scaled, emit_spread

PATCHES = 20
"""Patches of one image that the filters start from."""
Size = Annotated[int, msgspec.Meta(ge=1, le=1024)]


class Convolution(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of every convolution; `w` has shape (rows, columns, channels / groups, filters).

    Parameters
    ----------
    filters : int
    kernel, stride, dilation : int
        Rows and columns of a filter; how far it slides; how far apart are the places it sees.
    groups : int
        Parts that channels and filters are split into: a filter sees the channels of its own part.
        As many groups as channels make the convolution depthwise.
    activation : {"relu", "leaky_relu", "tanh", "linear"}
    init : {"random", "pca", "oja"}
        pca: whitened principal components of patches, from the data without labels, each group on
        its own. From a random start local losses hardly improve on filters left random; from this
        one they do. While it is made it holds the covariance of patches: 12 bytes times the square
        of ``kernel rows * kernel columns * channels / groups`` for each group, and 40 once. oja:
        much the same components by a rule of steps, in the memory of the filters.

    Notes
    -----
    Source: tpSGD for convolutions (Lomnitz et al. 2022, arXiv:2208.08503):
    ``w -= rate * sum over places of patch outer d`` with ``d = e * act'(z)``.
    """

    kind: ClassVar[str]
    form: ClassVar[Form]
    filters: Annotated[int, msgspec.Meta(ge=1, le=1 << 16)]
    kernel: Size = 3
    stride: Size = 1
    dilation: Size = 1
    groups: Annotated[int, msgspec.Meta(ge=1, le=1 << 16)] = 1
    activation: Literal["relu", "leaky_relu", "tanh", "linear"] = "relu"
    init_from: Literal["random", "pca", "oja"] = msgspec.field(default="random", name="init")

    @abstractmethod
    def padding_kind(self) -> Padding:
        """How the image is padded."""

    def _geometry(self, in_shape: Shape) -> _conv.Geometry:
        """Sizes of the convolution of samples of `in_shape`."""
        _, image = self.form.frames(self.kind, in_shape)
        return self._of_image(image, in_shape)

    def _of_image(self, image: Shape, in_shape: Shape) -> _conv.Geometry:
        pair = self.form.pair
        kernel, strides, dilations = pair(self.kernel), pair(self.stride), pair(self.dilation)
        span = (kernel[0] - 1) * dilations[0] + 1, (kernel[1] - 1) * dilations[1] + 1
        pads = padding(self.padding_kind(), image, span, strides)
        if self.padding_kind() == "same":
            require_reach(self.kind, image, pads, self.kernel, self.dilation)
        self._check_groups(image[2])
        g = _conv.geometry(image, kernel, strides, dilations, pads, self.filters, self.groups)
        require_room(self.kind, g.out, in_shape)
        return g

    def _check_groups(self, channels: int) -> None:
        if channels % self.groups or self.filters % self.groups:
            fitting = math.gcd(channels, self.filters)
            raise ConfigError(
                f"layer of kind {self.kind!r}",
                expected=f"groups that divide {channels} channels and {self.filters} filters",
                got=f"groups = {self.groups}",
                fix=f"write groups = {fitting}, or another number of filters",
            )

    def out_shape(self, in_shape: Shape) -> Shape:
        return self.form.sample(in_shape, self._geometry(in_shape).out)

    def init(self, in_shape: Shape, seed: int, index: int) -> Params:
        g = self._geometry(in_shape)
        limit = math.sqrt(3 * GAINS.get(self.activation, 1.0) / g.patch)
        shape = (*g.kernel, g.depth, self.filters)
        return {
            "w": uniform(seed, Stream.INIT, index, shape, limit),
            "b": np.zeros(self.filters, np.float32),
        }

    def view(self, in_shape: Shape) -> Cells:
        frames, _ = self.form.frames(self.kind, in_shape)
        return Cells(self._geometry(in_shape).out, self.form.cells, frames)

    @property
    def starts_from_data(self) -> bool:
        return self.init_from != "random"

    def start_bytes(self, in_shape: Shape, batch: int) -> int:
        g, each = self._geometry(in_shape), self.filters // self.groups
        wanted = wanted_components(each, signed=self.activation in GAINS)
        if self.init_from == "pca":
            found = Covariance.bytes(g.patch, self.groups)
        else:
            found = Oja.bytes(g.patch, wanted, self.groups)
        return found + 4 * g.tile_rows * g.out[1] * g.patch + 8 * 3 * g.patch * each

    def start(self, params: Params, inputs: Iterable[F32]) -> None:
        w, each = params["w"], self.filters // self.groups
        patch, signed = math.prod(w.shape[:3]), self.activation in GAINS
        wanted = wanted_components(each, signed=signed)
        found: list[Components] = [
            Covariance(patch) if self.init_from == "pca" else Oja(patch, wanted)
            for _ in range(self.groups)
        ]
        for group, rows in self._some_patches(inputs):
            found[group].add(rows)
        for group, components in enumerate(found):
            part = slice(group * each, (group + 1) * each)
            filters, params["b"][part] = whitened_filters(components, each, signed=signed)
            w[..., part] = filters.reshape(*w.shape[:3], each)

    def _some_patches(self, inputs: Iterable[F32]) -> Iterator[tuple[int, F32]]:
        """About `PATCHES` of each image and group: the group's number, and rows of patches."""
        for x in inputs:
            g = self._geometry(x.shape[1:])
            scratch = np.empty(g.tile_rows * g.out[1] * g.patch, np.float32)
            step = max(1, math.prod(g.out[:2]) // PATCHES)
            for n, image in enumerate(as_images(self.form, self.kind, x)):
                for first, rows in g.tiles():
                    for group in range(self.groups):
                        seen = _conv.patches(g, image, first, rows, group, scratch)
                        yield group, seen[(n - first * g.out[1]) % step :: step]

    def scratch_size(self, in_shape: Shape, batch: int) -> int:
        return self._geometry(in_shape).scratch

    def forward(self, params: Params, x: F32, out: F32, scratch: F32) -> Trace[F32]:
        g, code = self._geometry(x.shape[1:]), _activations.code(self.activation)
        images = as_images(self.form, self.kind, x)
        _conv.forward(g, params, code, images, out.reshape(-1, *g.out), scratch)
        return Trace(images, out)

    def update(
        self, params: Params, trace: Trace[F32], e: F32, rate: float, into: Params, scratch: F32
    ) -> None:
        g = self._of_image(trace.x.shape[1:], trace.x.shape[1:])
        code = _activations.code(self.activation)
        _conv.update(g, trace.a.reshape(-1, *g.out), code, trace.x, e, rate, into, scratch)

    def op(self, in_shape: Shape) -> Conv2d:
        """The operation of the Graph that this is, on samples of `in_shape`."""
        g, (steps, _) = self._geometry(in_shape), self.form.frames(self.kind, in_shape)
        return Conv2d(g.strides, g.pads, g.dilations, steps * self.groups)

    def emit(self, b: Builder, params: Names, x: str) -> Trace[str]:
        shape = b.specs[x].shape[1:]
        g, (steps, _) = self._geometry(shape), self.form.frames(self.kind, shape)
        images = emit_images(b, self.form, self.kind, x)
        z = b.apply(self.op(shape), images, _emit_repeated(b, params["w"], steps))
        z = emit_samples(b, z, steps, self.form.sample(shape, g.out))
        return Trace(images, _activations.emit(b, self.activation, b.binary("add", z, params["b"])))

    def emit_update(
        self, b: Builder, params: Names, trace: Trace[str], e: str, rate: str, into: Names
    ) -> Names:
        out_shape = b.specs[trace.a].shape[1:]
        steps, out = self.form.frames(self.kind, out_shape)
        *size, channels = b.specs[trace.x].shape[1:]
        image = (*size, channels // steps)
        g = self._of_image(image, image)
        coarse = b.binary("mul", e, b.unary("neg", rate))
        slope = _activations.emit_slope(b, self.activation, trace.a)
        if slope is None or steps > 1:
            step = _emit_all_steps(b, emit_spread(b, coarse, out), steps, out_shape)
            step = step if slope is None else b.binary("mul", step, slope)
        else:
            step = emit_scaled(b, slope, coarse, out)
        total = b.apply(Reduce("sum", tuple(range(len(out_shape)))), step)
        errors = emit_images(b, self.form, self.kind, step)
        outer = AddConvOuter(g.strides, g.pads, g.dilations, steps * self.groups)
        return {
            "w": _emit_add_outer(b, outer, into["w"], trace.x, errors, steps),
            "b": b.binary("add", into["b"], total),
        }


def _emit_repeated(b: Builder, w: str, steps: int) -> str:
    """The filters `w` once for each step, one after the other."""
    return w if steps == 1 else b.apply(Concat(3, steps), *(w,) * steps)


def _emit_all_steps(b: Builder, e: str, steps: int, out_shape: Shape) -> str:
    """The error of an image as that of samples of `out_shape`: the same in every step."""
    if steps > 1:
        tall = b.apply(Reshape((BATCH, 1, *out_shape[1:])), e)
        ones = b.constant(b.fresh("ones"), np.ones((steps, 1, 1, 1), np.float32))
        return b.binary("mul", tall, ones)
    same = b.specs[e].shape[1:] == out_shape
    return e if same else b.apply(Reshape((BATCH, *out_shape)), e)


def _emit_add_outer(b: Builder, op: AddConvOuter, w: str, x: str, d: str, steps: int) -> str:
    """`op` onto `w`, summed over steps that lie in groups of their own."""
    if steps == 1:
        return b.apply(op, w, x, d, name=b.fresh("w"))
    *places, depth, filters = b.specs[w].shape
    tiled = _emit_repeated(b, w, steps)
    added = b.apply(op, b.binary("sub", tiled, tiled), x, d)
    apart = b.apply(Reshape((*places, depth, steps, filters)), added)
    return b.binary("add", w, b.apply(Reduce("sum", (3,)), apart), name=b.fresh("w"))
