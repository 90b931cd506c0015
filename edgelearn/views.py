"""Views: what a readout sees of an activation.

A vector is seen whole. An image is seen coarsely, as the means over up to 4 x 4 cells, and a
sequence of features as those over up to 8 stretches of time: the readout and the error of a large
map stay small, and a local loss moves the filters of a convolution where one on every pixel hardly
does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from edgelearn import kernels
from edgelearn.arrays import F32, Shape, as_f32
from edgelearn.ir.builder import Builder
from edgelearn.ir.ops import Pool2d, Reduce, Reshape, Slice
from edgelearn.ir.ops_spatial import Pair
from edgelearn.ir.tensor import BATCH

IMAGE_CELLS: Pair = (4, 4)
"""Rows and columns of cells that an image is seen as, at most."""
SEQUENCE_CELLS: Pair = (8, 1)
"""The same of a sequence, an image one column wide."""


class View(Protocol):
    """A linear map from an activation to features, and its adjoint."""

    @property
    def size(self) -> int:
        """How many features."""

    @property
    def copies(self) -> bool:
        """Whether the features need room of their own."""

    def of(self, a: F32, out: F32) -> F32:
        """Features (batch, size) of activations (batch, *out_shape), in `out` if it `copies`."""

    def back(self, e: F32) -> F32:
        """The error of the activation, coarse as `Learner.update` takes it, from that of features.

        In place: `e`, shape (batch, size), is used up.
        """

    def emit(self, b: Builder, a: str) -> str:
        """`of` as nodes of a Graph."""

    def emit_back(self, b: Builder, e: str) -> str:
        """`back` as nodes of a Graph."""


@dataclass(frozen=True)
class Whole:
    """Every element is a feature."""

    shape: Shape
    copies = False

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def of(self, a: F32, out: F32) -> F32:
        return a.reshape(len(a), -1)

    def back(self, e: F32) -> F32:
        return e.reshape(len(e), *self.shape)

    def emit(self, b: Builder, a: str) -> str:
        return a if len(self.shape) == 1 else b.apply(Reshape((BATCH, self.size)), a)

    def emit_back(self, b: Builder, e: str) -> str:
        return e if len(self.shape) == 1 else b.apply(Reshape((BATCH, *self.shape)), e)


@dataclass(frozen=True)
class Cells:
    """The mean of each cell of an image (rows, columns, channels), over all images of a sample.

    Attributes
    ----------
    image : tuple of int
        Its shape; that of the activation may leave out a dimension of 1.
    most : pair of int
        Rows and columns of cells, at most.
    frames : int
        Images of a sample.
    """

    image: Shape
    most: Pair = IMAGE_CELLS
    frames: int = 1
    copies = True

    @cached_property
    def cell(self) -> Pair:
        """Rows and columns of a cell; those at the lower and right edge may have fewer."""
        return -(-self.image[0] // self.most[0]), -(-self.image[1] // self.most[1])

    @cached_property
    def grid(self) -> Shape:
        """Shape of what is seen: rows, columns and channels of cells."""
        (rows, columns), (height, width, channels) = self.cell, self.image
        return -(-height // rows), -(-width // columns), channels

    @cached_property
    def share(self) -> F32:
        """What part of its cell, in all images, a pixel is: shape (rows, columns, 1)."""
        lengths = [
            np.minimum(cell, size - cell * np.arange(count))
            for cell, size, count in zip(self.cell, self.image[:2], self.grid[:2], strict=True)
        ]
        return as_f32(1 / (self.frames * np.outer(*lengths)[:, :, None]))

    @property
    def size(self) -> int:
        return math.prod(self.grid)

    def of(self, a: F32, out: F32) -> F32:
        cells = out.reshape(len(a), *self.grid)
        kernels.spatial.cell_means(a.reshape(-1, *self.image), *self.cell, self.share, cells)
        return out

    def back(self, e: F32) -> F32:
        cells = e.reshape(len(e), *self.grid)
        kernels.spatial.scale_cells(self.share, cells)  # NumPy would make a copy on the way
        return cells

    def emit(self, b: Builder, a: str) -> str:
        (rows, columns), grid = self.cell, self.grid
        below, right = grid[0] * rows - self.image[0], grid[1] * columns - self.image[1]
        pool = Pool2d("avg", self.cell, self.cell, (0, 0, below, right))
        if self.frames > 1:
            a = b.apply(Reduce("mean", (1,)), a)
        elif b.specs[a].shape[1:] != self.image:
            a = b.apply(Reshape((BATCH, *self.image)), a)
        return b.apply(Reshape((BATCH, self.size)), b.apply(pool, a))

    def emit_back(self, b: Builder, e: str) -> str:
        cells = b.apply(Reshape((BATCH, *self.grid)), e)
        share = b.constant(b.fresh("share"), self.share)
        return b.binary("mul", cells, share)


@dataclass(frozen=True)
class RealSteps:
    """The mean over the steps of a sequence (steps, units), or of those that its mask says.

    A mask is the last channel, after the units. The error that comes back is that of the mean.
    """

    steps: int
    units: int
    masked: bool
    copies = True

    @property
    def size(self) -> int:
        return self.units

    def of(self, a: F32, out: F32) -> F32:
        kernels.lookup.mean_of_steps(a, out)
        return out

    def back(self, e: F32) -> F32:
        return e

    def emit_share(self, b: Builder, a: str) -> str:
        """What part of the mean each step is, as nodes (batch, steps, 1); a scalar unmasked."""
        if not self.masked:
            return b.scalar(1 / self.steps)
        mask = b.apply(Slice(2, self.units, self.units + 1), a)
        count = b.apply(Reduce("sum", (1,), keepdims=True), mask)
        return b.binary("div", mask, b.binary("max", count, b.scalar(1)))

    def emit(self, b: Builder, a: str) -> str:
        states = b.apply(Slice(2, 0, self.units), a) if self.masked else a
        parts = b.binary("mul", states, self.emit_share(b, a))
        return b.apply(Reduce("sum", (1,)), parts)

    def emit_back(self, b: Builder, e: str) -> str:
        return e


def emit_spread(b: Builder, e: str, shape: Shape) -> str:
    """The error of every pixel of images of `shape` from that of their cells, as nodes."""
    grid = b.specs[e].shape[1:]
    if grid == shape:
        return e
    rows, columns = _cell(grid, shape)
    apart = b.apply(Reshape((BATCH, grid[0], 1, grid[1], 1, grid[2])), e)
    ones = b.constant(b.fresh("ones"), np.ones((rows, 1, columns, 1), np.float32))
    tall = (BATCH, grid[0] * rows, grid[1] * columns, grid[2])
    pixels = b.apply(Reshape(tall), b.binary("mul", apart, ones))
    for axis, (size, found) in enumerate(zip(shape[:2], tall[1:3], strict=True), start=1):
        if size != found:
            pixels = b.apply(Slice(axis, 0, size), pixels)
    return pixels


def emit_scaled(b: Builder, factor: str, e: str, shape: Shape) -> str:
    """``factor * emit_spread(e)``; where cells are whole, the error is never spread out.

    `factor` has a value for every pixel of images of `shape`, and may be written over.
    """
    grid, own = b.specs[e].shape[1:], b.specs[factor].shape
    rows, columns = _cell(grid, shape)
    if grid == shape or (grid[0] * rows, grid[1] * columns) != shape[:2]:
        images = b.apply(Reshape((BATCH, *shape)), factor) if own[1:] != shape else factor
        scaled = b.binary("mul", images, emit_spread(b, e, shape))
    else:
        cells = b.apply(Reshape((BATCH, grid[0], rows, grid[1], columns, grid[2])), factor)
        apart = b.apply(Reshape((BATCH, grid[0], 1, grid[1], 1, grid[2])), e)
        scaled = b.binary("mul", cells, apart)
    return scaled if b.specs[scaled].shape == own else b.apply(Reshape(own), scaled)


def _cell(grid: Shape, shape: Shape) -> Pair:
    """Rows and columns of the cells of a `grid` over images of `shape`."""
    return -(-shape[0] // grid[0]), -(-shape[1] // grid[1])
