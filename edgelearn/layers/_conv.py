"""Convolution of images in tiles: patches meet filters in matrix products of bounded size."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from edgelearn import kernels
from edgelearn.arrays import F32, Shape
from edgelearn.layers._base import Params
from edgelearn.layers.dense import BLOCK_ROWS, add_product

TILE_ELEMENTS = 16_384
"""Elements of patches held at once, unless one row of the image has more (64 KiB)."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """Sizes of one convolution: image, filters, and how they slide."""

    image: Shape
    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    filters: int

    @property
    def out(self) -> Shape:
        """Shape of the activation: rows, columns, filters."""
        top, left, bottom, right = self.pads
        rows = (self.image[0] + top + bottom - self.kernel[0]) // self.strides[0] + 1
        columns = (self.image[1] + left + right - self.kernel[1]) // self.strides[1] + 1
        return rows, columns, self.filters

    @property
    def patch(self) -> int:
        """Elements that one filter sees."""
        return math.prod(self.kernel) * self.image[2]

    @property
    def tile_rows(self) -> int:
        """Rows of the activation made at once."""
        rows, columns, _ = self.out
        return min(rows, max(1, TILE_ELEMENTS // (columns * self.patch)))

    @property
    def scratch(self) -> int:
        """Elements of work space: patches, errors of a tile, a block of the filters' gradient."""
        pixels = self.tile_rows * self.out[1]
        block = min(BLOCK_ROWS, self.patch)
        return pixels * (self.patch + self.filters) + block * self.filters

    def tiles(self) -> Iterator[tuple[int, int]]:
        """First row of each tile and how many it has."""
        for first in range(0, self.out[0], self.tile_rows):
            yield first, min(self.tile_rows, self.out[0] - first)


def patches(g: Geometry, x: F32, first: int, rows: int, scratch: F32) -> F32:
    """What filters see of image `x` in these rows, shape (pixels, patch), in `scratch`."""
    size = rows * g.out[1] * g.patch
    view = scratch[:size].reshape(rows, g.out[1], *g.kernel, g.image[2])
    kernels.spatial.patches(x, first, *g.kernel, *g.strides, g.pads[0], g.pads[1], view)
    return view.reshape(rows * g.out[1], g.patch)


def forward(g: Geometry, params: Params, code: int, x: F32, out: F32, scratch: F32) -> None:
    """``out = act(conv(x, w) + b)``, a tile at a time."""
    w = params["w"].reshape(g.patch, g.filters)
    for image, target in zip(x, out, strict=True):
        for first, rows in g.tiles():
            z = target[first : first + rows].reshape(-1, g.filters)
            np.matmul(patches(g, image, first, rows, scratch), w, out=z)
            kernels.dense.activate(params["b"], code, z)


def update(
    g: Geometry, a: F32, code: int, x: F32, e: F32, rate: float, into: Params, scratch: F32
) -> None:
    """Descend into filters and bias, a tile at a time; `e` may be coarse."""
    cell = (-(-g.out[0] // e.shape[1]), -(-g.out[1] // e.shape[2]))
    pixels = g.tile_rows * g.out[1]
    rest = scratch[pixels * g.patch :]
    errors, block = rest[: pixels * g.filters], rest[pixels * g.filters :]
    w = into["w"].reshape(g.patch, g.filters)
    for n, image in enumerate(x):
        for first, rows in g.tiles():
            activation = a[n, first : first + rows].reshape(-1, g.filters)
            d = errors[: activation.size].reshape(activation.shape)
            spread = d.reshape(rows, g.out[1], g.filters)
            kernels.spatial.spread(e[n], first, *cell, spread)
            kernels.dense.local_error(activation, code, d)
            d *= np.float32(-rate)
            add_product(patches(g, image, first, rows, scratch), d, w, block)
            kernels.dense.add_rows(d, into["b"])


@lru_cache(maxsize=256)
def geometry(
    image: Shape,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    filters: int,
) -> Geometry:
    """The sizes of a convolution; kept, since every step asks for them."""
    return Geometry(image, kernel, strides, pads, filters)
