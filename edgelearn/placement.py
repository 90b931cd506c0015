"""Where each block of a network works: one array of activations, one of work space.

An activation is kept until the last block that reads it has learned. What a block needs besides,
it needs while its turn lasts, so all take turns in one array.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass

import numpy as np

from edgelearn.arrays import F32, Shape
from edgelearn.block import Block
from edgelearn.ir import assign_offsets
from edgelearn.layers import SequenceLearner, Sparse, places_of
from edgelearn.network import Network
from edgelearn.optimizers import Optimizer

ALIGNMENT = 16
"""Every array begins at a multiple of so many elements: 64 bytes, a line of the cache."""


@dataclass(frozen=True, slots=True)
class Shapes:
    """Of what one block works with while its turn lasts, for a number of samples.

    Attributes
    ----------
    joined : tuple of int
        What it reads, if that is joined of several activations.
    features, error, slopes, judging : tuple of int
        Of its readout: see `edgelearn.losses.Workspace`.
    scratch : tuple of int
        Of its layer.
    gradient : tuple of int
        Of all that it learns, if it cannot learn in place.
    """

    joined: Shape
    features: Shape
    error: Shape
    slopes: Shape
    judging: Shape
    scratch: Shape
    gradient: Shape

    @classmethod
    def of(cls, block: Block, optimizer: Optimizer, samples: int) -> Shapes:
        """Of `block`."""
        layer, r, rows = block.layer, block.readout, _rows(block, samples)
        collects = isinstance(layer, SequenceLearner) and layer.collects(block.in_shape, samples)
        held = block.learned() if optimizer.holds_gradient(collects) else {}
        return cls(
            joined=(samples if block.wiring.joins else 0, *block.in_shape),
            features=(rows, r.copied if r else 0),
            error=(rows, r.view.size if r else 0),
            slopes=(rows, r.read_out if r else 0),
            judging=(r.work_size(rows) if r else 0,),
            scratch=(_scratch_size(block, samples),),
            gradient=(sum(value.size for value in held.values()),),
        )

    @property
    def size(self) -> int:
        """Elements of all of them."""
        return sum(_aligned(math.prod(shape)) for shape in astuple(self))

    def cut(self, room: F32) -> list[F32]:
        """Arrays of these shapes, one after the other in `room`."""
        found, start = [], 0
        for shape in astuple(self):
            size = math.prod(shape)
            found.append(room[start : start + size].reshape(shape))
            start += _aligned(size)
        return found


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _scratch_size(block: Block, samples: int) -> int:
    """Elements of the work space of the layer, which depend on the weights that are there."""
    layer, kept = block.layer, places_of(block.params)
    if kept and isinstance(layer, Sparse):
        return layer.scratch_size(block.in_shape, samples, kept.keys())
    return layer.scratch_size(block.in_shape, samples)


def _rows(block: Block, samples: int) -> int:
    """How many rows the readout of `block` judges at once."""
    if isinstance(block.layer, SequenceLearner):
        return block.layer.readout_rows(block.in_shape, samples)
    return samples


@dataclass(frozen=True, slots=True)
class Placement:
    """Where things lie in the arrays of a step of up to `batch` samples.

    Attributes
    ----------
    places : tuple of int
        Where the activation of each block begins.
    activations, work : int
        Elements of the two arrays.
    """

    places: tuple[int, ...]
    activations: int
    work: int

    @classmethod
    def of(cls, network: Network, batch: int, *, keep_all: bool) -> Placement:
        """With `keep_all` no activation is written over before the step ends."""
        blocks = network.blocks
        sizes = [_aligned(batch * math.prod(block.out_shape)) for block in blocks]
        last = len(blocks)
        until = [last if keep_all else network.last_reader(i) for i in range(last)]
        places, activations = _offsets(sizes, until)
        work = max(Shapes.of(block, network.optimizer, batch).size for block in blocks)
        return cls(tuple(places), activations, work)

    @property
    def nbytes(self) -> int:
        """Of both arrays."""
        return 4 * (self.activations + self.work)


def _offsets(sizes: list[int], until: list[int]) -> tuple[list[int], int]:
    """Where activations lie that are kept until these blocks have learned; how long that is.

    In a plain stack they lie at both ends in turn, so that the largest two neighbours are all.
    """
    spans = list(enumerate(until))
    if all(last <= first + 1 for first, last in spans):
        most = max(sum(sizes[first : last + 1]) for first, last in spans)
        return [(most - size) * (index % 2) for index, size in enumerate(sizes)], most
    places, length = assign_offsets([4 * size for size in sizes], spans)
    return [place // 4 for place in places], length // 4


def room(elements: int) -> F32:
    """An array of so many elements that begins with a line of the cache."""
    some = np.empty(elements + ALIGNMENT, np.float32)
    first = -(some.ctypes.data // 4) % ALIGNMENT
    return some[first : first + elements]
