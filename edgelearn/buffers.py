"""The arrays that a step works on, made once, and what one block does on them.

There is no backward pass and no stored graph: see `edgelearn.placement` for what is held.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgelearn import kernels
from edgelearn.arrays import F32, Array, Shape
from edgelearn.fusing import FusedStep, fused_step
from edgelearn.layers import Dropper, Follower, Learner, Lesson, Params, SequenceLearner, Trace
from edgelearn.network import Network
from edgelearn.noise import Noise
from edgelearn.placement import Placement, Shapes, room
from edgelearn.readout import Workspace
from edgelearn.rng import PERIOD
from edgelearn.wiring import SAMPLE


@dataclass(frozen=True, slots=True, eq=False)
class Room:
    """Where one block works on a number of samples: views of the buffers.

    `learner` or `sequence` is its layer as what it is, `learned` the arrays that change; to ask a
    protocol takes longer than a small layer does. `fused`, if any, does all of a step in place.
    """

    joined: F32
    out: F32
    space: Workspace
    scratch: F32
    gradient: F32
    learned: Params
    learner: Learner | None
    sequence: SequenceLearner | None
    fused: FusedStep | None


class Buffers:
    """All arrays that a step of up to `batch` samples needs besides parameters.

    With `keep_all` no activation is written over before the step ends, as backpropagation needs
    it. `loss` holds the summed loss and the right
    guesses of what was judged last; `right` counts each block's right guesses while it learns;
    `noise`, if any, is that of the next step; `step` counts the steps made, for layers that act by
    chance.
    """

    def __init__(self, network: Network, batch: int, *, keep_all: bool = False) -> None:
        self.network = network
        self.batch = batch
        self._placement = Placement.of(network, batch, keep_all=keep_all)
        self._input = room(batch * math.prod(network.in_shape))
        self._activations = room(self._placement.activations)
        self._work = room(self._placement.work)
        self._labels = label_room(network, batch)
        self.loss = np.zeros(2, np.float32)
        self.right = [0] * len(network.blocks)
        self.noise: Noise | None = None
        self.step = 0
        self._rooms: dict[tuple[int, int], Room] = {}

    def sharing(self, network: Network) -> Buffers:
        """The same arrays for another `network`, whose blocks differ in their losses only."""
        other = copy.copy(self)
        other.network, other._rooms = network, {}  # noqa: SLF001  of the same class
        return other

    def load(self, x: Array, y: Array, rows: NDArray[np.int64]) -> tuple[F32, Array]:
        """Samples and labels of these `rows`, both on the scale that is learned, in the buffers."""
        return self.samples(x, rows), self.labels(y, rows)

    def samples(self, x: Array, rows: NDArray[np.int64]) -> F32:
        """The samples of these `rows`, normalised, in the input buffer."""
        batch = _view(self._input, (len(rows), *self.network.in_shape))
        for place, row in enumerate(rows):
            batch[place] = x[row]
        normalizer = self.network.normalizer
        if normalizer is not None:
            flat = batch.reshape(len(rows), -1)
            kernels.dense.normalize(normalizer.mean.ravel(), normalizer.scale.ravel(), flat)
        return batch

    def labels(self, y: Array, rows: NDArray[np.int64]) -> Array:
        """The labels of these `rows`, in a buffer, on the scale that is learned."""
        labels = self._labels[: len(rows)]
        labels[:] = y[rows]
        if self.network.outputs is not None:
            self.network.outputs.standardise(labels)
        return labels

    def source(self, index: int, x: F32) -> F32:
        """What block number `index` reads, once those before it ran on the network's input `x`."""
        wiring = self.network.blocks[index].wiring
        parts = [x if i == SAMPLE else self.room(i, len(x)).out for i in wiring.sources]
        if not wiring.joins:
            return parts[0]
        joined = self.place(index, len(x))
        wiring.write(parts, joined)
        return joined

    def place(self, index: int, samples: int) -> F32:
        """Where block number `index` reads, unless it reads the sample itself."""
        block = self.network.blocks[index]
        if block.wiring.joins:
            return self.room(index, samples).joined
        return self.room(block.wiring.sources[0], samples).out

    def forward(self, index: int, x: F32) -> Trace[F32]:
        """Block number `index` on its own input `x`."""
        block, room = self.network.blocks[index], self.room(index, len(x))
        return block.layer.forward(block.params, x, room.out, room.scratch)

    def drop(self, index: int, x: F32) -> Trace[F32]:
        """`forward` of a block that acts by chance while others learn from it."""
        block = self.network.blocks[index]
        assert isinstance(block.layer, Dropper)  # noqa: S101  else it is not asked to
        assert block.chance is not None  # noqa: S101  as all of them have
        return block.layer.drop(x, self.room(index, len(x)).out, block.chance, self.step % PERIOD)

    def room(self, index: int, samples: int) -> Room:
        """Where block number `index` works on so many samples; made once."""
        found = self._rooms.get((index, samples))
        if found is None:
            found = self._rooms[index, samples] = self._room(index, samples)
        return found

    def _room(self, index: int, samples: int) -> Room:
        block = self.network.blocks[index]
        layer, shapes = block.layer, Shapes.of(block, self.network.optimizer, samples)
        joined, features, error, slopes, judging, scratch, gradient = shapes.cut(self._work)
        place = self._placement.places[index]
        out = _view(self._activations[place:], (samples, *block.out_shape))
        space = Workspace(features, error, slopes, self.loss, judging)
        return Room(
            joined=joined,
            out=out,
            space=space,
            scratch=scratch,
            gradient=gradient,
            learned=block.learned(),
            learner=layer if isinstance(layer, Learner) else None,
            sequence=layer if isinstance(layer, SequenceLearner) else None,
            fused=fused_step(block, out, space),
        )

    def learn(self, index: int, x: F32, labels: Array, lr: float) -> None:
        """Forward pass and local update of block number `index` on its own input `x`.

        The summed loss before the update is then in `loss`, with the right guesses.
        """
        block, room = self.network.blocks[index], self.room(index, len(x))
        readout, rate = block.readout, lr * block.lr_scale
        assert readout is not None  # noqa: S101  only blocks that learn are asked to
        self.loss[:] = 0
        optimizer, learned = self.network.optimizer, room.learned
        into, share = optimizer.target(learned, block.moments, room.gradient, rate, len(x))
        if room.fused is not None and into is learned:
            room.fused(x, labels, share)
        elif room.sequence is not None:
            lesson = Lesson(labels, readout, share, into, room.scratch, room.space)
            room.sequence.learn(block.params, x, room.out, lesson)
        else:
            trace = self.forward(index, x)
            e = readout.error(trace.a, labels, room.space)
            if readout.learns:
                readout.descend(trace.a, share, into["p"], room.space)
            assert room.learner is not None  # noqa: S101  else it has no readout
            room.learner.update(block.params, trace, e, share, into, room.scratch)
        if self.noise is not None:
            self.noise.add(index, into, share * len(x))
        optimizer.apply(learned, block.moments, into, rate)
        block.hold_masks()
        self.right[index] += int(self.loss[1])

    def follow(self, index: int, x: F32) -> None:
        """Let block number `index` follow its own input `x`, after its forward pass."""
        block = self.network.blocks[index]
        assert isinstance(block.layer, Follower)  # noqa: S101  else it is not asked to
        block.layer.follow(block.params, x, self.room(index, len(x)).scratch)

    def judge(self, index: int, labels: Array) -> None:
        """Add to `loss` what block number `index` reaches by what it made last; none learns."""
        block, room = self.network.blocks[index], self.room(index, len(labels))
        assert block.readout is not None  # noqa: S101  only blocks with one are asked
        seen = room.out if room.sequence is None else room.sequence.judged(room.out)
        rows = len(room.space.error)
        for start in range(0, len(labels), rows):
            part = slice(start, start + rows)
            block.readout.error(seen[part], labels[part], room.space.rows(len(labels[part])))


def label_room(network: Network, batch: int) -> Array:
    """Room for class numbers (batch,), or for the values of a regression (batch, outputs)."""
    if network.outputs is None:
        return np.empty(batch, np.int64)
    return np.empty((batch, network.width), np.float32)


def _view(buffer: F32, shape: Shape) -> F32:
    return buffer[: math.prod(shape)].reshape(shape)
