"""Convolution of images in tiles: patches meet filters in matrix products of bounded size."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from edgelearn import kernels
from edgelearn.arrays import F32, Shape
from edgelearn.ir.ops_spatial import Pads, Pair
from edgelearn.layers._base import Params
from edgelearn.layers.dense import add_product, block_size

TILE_ELEMENTS = 16_384
"""Elements of patches held at once, unless one row of the image has more (64 KiB)."""


@dataclass(frozen=True)
class Geometry:
    """Sizes of one convolution: image, filters, and how they slide."""

    image: Shape
    kernel: Pair
    strides: Pair
    dilations: Pair
    pads: Pads
    filters: int
    groups: int

    @cached_property
    def out(self) -> Shape:
        """Shape of the activation: rows, columns, filters."""
        span = [(k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True)]
        top, left, bottom, right = self.pads
        rows = (self.image[0] + top + bottom - span[0]) // self.strides[0] + 1
        columns = (self.image[1] + left + right - span[1]) // self.strides[1] + 1
        return rows, columns, self.filters

    @cached_property
    def depth(self) -> int:
        """Channels that one filter sees."""
        return self.image[2] // self.groups

    @cached_property
    def patch(self) -> int:
        """Elements that one filter sees."""
        return math.prod(self.kernel) * self.depth

    @cached_property
    def slide(self) -> tuple[int, int, int, int, int, int]:
        """Strides, dilations and first pads, for kernels."""
        return (*self.strides, *self.dilations, self.pads[0], self.pads[1])

    @cached_property
    def is_depthwise(self) -> bool:
        """Whether every channel has filters of its own: loops, since products would be tiny."""
        return self.depth == 1 < self.groups

    @cached_property
    def is_pointwise(self) -> bool:
        """Whether a patch is a pixel as it lies."""
        return self.kernel == self.strides == (1, 1) and self.groups == 1

    @cached_property
    def parts(self) -> tuple[slice, ...]:
        """The filters of each group."""
        each = self.filters // self.groups
        return tuple(slice(first, first + each) for first in range(0, self.filters, each))

    @cached_property
    def tile_rows(self) -> int:
        """Rows of the activation made at once."""
        rows, columns, _ = self.out
        wide = self.filters if self.is_depthwise else self.patch
        return min(rows, max(1, TILE_ELEMENTS // (columns * wide)))

    @cached_property
    def patch_elements(self) -> int:
        """Elements of the patches of a tile."""
        copies = not (self.is_depthwise or self.is_pointwise)
        return self.tile_rows * self.out[1] * self.patch if copies else 0

    @cached_property
    def scratch(self) -> int:
        """Elements of work space: patches, errors of a tile, a block of the filters' gradient."""
        errors = self.tile_rows * self.out[1] * self.filters
        block = 0 if self.is_depthwise else block_size(self.patch, self.filters // self.groups)
        return self.patch_elements + errors + block

    def tiles(self) -> Iterator[tuple[int, int]]:
        """First row of each tile and how many it has."""
        for first in range(0, self.out[0], self.tile_rows):
            yield first, min(self.tile_rows, self.out[0] - first)


def patches(g: Geometry, x: F32, first: int, rows: int, group: int, scratch: F32) -> F32:
    """What the filters of a group see of image `x` in these rows: (pixels, patch).

    It lies in `scratch`, or in `x` if no element would move.
    """
    if g.is_pointwise:
        return x[first : first + rows].reshape(-1, g.patch)
    size = rows * g.out[1] * g.patch
    view = scratch[:size].reshape(rows, g.out[1], *g.kernel, g.depth)
    kernels.spatial.patches(x, first, group * g.depth, g.slide, view)
    return view.reshape(rows * g.out[1], g.patch)


def forward(g: Geometry, params: Params, code: int, x: F32, out: F32, scratch: F32) -> None:
    """``out = act(conv(x, w) + b)`` of images, a tile at a time."""
    for image, target in zip(x, out, strict=True):
        for first, rows in g.tiles():
            z = target[first : first + rows]
            _correlate(g, params["w"], image, first, z, scratch)
            kernels.dense.activate(params["b"], code, z.reshape(-1, g.filters))


def _correlate(g: Geometry, w: F32, image: F32, first: int, z: F32, scratch: F32) -> None:
    if g.is_depthwise:
        kernels.spatial.depthwise(image, w, first, g.slide, z)
        return
    matrix, pixels = w.reshape(g.patch, g.filters), z.reshape(-1, g.filters)
    for group, part in enumerate(g.parts):
        seen = patches(g, image, first, len(z), group, scratch)
        np.matmul(seen, matrix[:, part], out=pixels[:, part])


def update(
    g: Geometry, a: F32, code: int, x: F32, e: F32, rate: float, into: Params, scratch: F32
) -> None:
    """Descend into filters and bias, a tile at a time.

    `e` may be coarse: one value for a cell of pixels, and one for all images of a sample.
    """
    cell = (-(-g.out[0] // e.shape[1]), -(-g.out[1] // e.shape[2]))
    frames = len(x) // len(e)
    errors = scratch[g.patch_elements :]
    for n, image in enumerate(x):
        for first, rows in g.tiles():
            activation = a[n, first : first + rows].reshape(-1, g.filters)
            d = errors[: activation.size].reshape(rows, g.out[1], g.filters)
            kernels.spatial.spread(e[n // frames], first, *cell, d)
            flat = d.reshape(activation.shape)
            kernels.dense.local_error(activation, code, flat)
            flat *= np.float32(-rate)
            _add_correlation(g, into["w"], image, first, d, scratch)
            kernels.dense.add_rows(flat, into["b"])


def _add_correlation(g: Geometry, w: F32, image: F32, first: int, d: F32, scratch: F32) -> None:
    if g.is_depthwise:
        kernels.spatial.add_depthwise(image, d, first, g.slide, w)
        return
    matrix, errors = w.reshape(g.patch, g.filters), d.reshape(-1, g.filters)
    block = scratch[g.patch_elements + g.tile_rows * g.out[1] * g.filters :]
    for group, part in enumerate(g.parts):
        seen = patches(g, image, first, len(d), group, scratch)
        add_product(seen, errors[:, part], matrix[:, part], block)


geometry = lru_cache(maxsize=256)(Geometry)
"""The sizes of a convolution; kept, since every step asks for them."""
