"""The engine: forward passes and local updates on arrays that are made once.

An activation is kept until the last layer that reads it has learned: in a plain stack two take
turns, whatever the depth. There is no backward pass and no stored graph.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgelearn import kernels
from edgelearn.arrays import F32, Array, Shape
from edgelearn.block import Block
from edgelearn.layers import Follower, Learner, Lesson, Params, SequenceLearner, Trace
from edgelearn.network import Network
from edgelearn.noise import Noise
from edgelearn.readout import Readout, Workspace
from edgelearn.wiring import SAMPLE


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Elements of each buffer for one network and batch."""

    input: int
    joined: int
    activations: tuple[int, ...]
    features: int
    error: int
    slopes: int
    work: int
    scratch: int
    gradient: int

    @classmethod
    def of(cls, network: Network, batch: int, keep_all: bool) -> _Sizes:
        blocks = network.blocks
        outs = [batch * math.prod(block.out_shape) for block in blocks]
        joined = [batch * math.prod(b.in_shape) for b in blocks if b.wiring.joins]
        slabs = list(range(len(blocks))) if keep_all else _slabs(network)
        judged = [(_rows(b, batch), b.readout) for b in blocks if b.readout is not None]
        gradients = [sum(p.size for p in block.learned().values()) for block in blocks]
        return cls(
            input=batch * math.prod(network.in_shape),
            joined=max(joined, default=0),
            activations=tuple(
                max(out for out, own in zip(outs, slabs, strict=True) if own == slab)
                for slab in range(max(slabs) + 1)
            ),
            features=max(rows * r.copied for rows, r in judged),
            error=2 * max(outs) if keep_all else max(rows * r.view.size for rows, r in judged),
            slopes=max(rows * r.read_out for rows, r in judged),
            work=max(r.work_size(rows) for rows, r in judged),
            scratch=max(b.layer.scratch_size(b.in_shape, batch) for b in blocks),
            gradient=max(gradients) if network.optimizer.needs_gradient else 0,
        )

    @property
    def total(self) -> int:
        return sum(self.activations) + sum(
            (
                self.input,
                self.joined,
                self.features,
                self.error,
                self.slopes,
                self.work,
                self.scratch,
                self.gradient,
            )
        )


def _slabs(network: Network) -> list[int]:
    """In which slab of memory the activation of each block lies: one that is free by then."""
    busy: list[int] = []  # the last block that reads what lies in each slab
    found = []
    for index in range(len(network.blocks)):
        last = network.last_reader(index)
        slab = next((n for n, reader in enumerate(busy) if reader < index), len(busy))
        busy[slab : slab + 1] = [last]
        found.append(slab)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Room:
    """Where one block works on a number of samples: views of the buffers.

    `learner` or `sequence` is its layer as what it is, `learned` the arrays that change; to ask a
    protocol takes longer than a small layer does.
    """

    out: F32
    scratch: F32
    space: Workspace
    learned: Params
    learner: Learner | None
    sequence: SequenceLearner | None


def _rows(block: Block, batch: int) -> int:
    """How many rows the readout of `block` judges at once."""
    if isinstance(block.layer, SequenceLearner):
        return block.layer.readout_rows(block.in_shape, batch)
    return batch


class Buffers:
    """All arrays that a step of up to `batch` samples needs besides parameters.

    With `keep_all` no activation is written over before the step ends, as backpropagation needs
    it, and there is room for the errors of two layers. `loss` holds the summed loss and the right
    guesses of what was judged last; `right` counts each block's right guesses while it learns;
    `noise`, if any, is that of the next step.
    """

    def __init__(self, network: Network, batch: int, *, keep_all: bool = False) -> None:
        sizes = _Sizes.of(network, batch, keep_all)
        self.network = network
        self.batch = batch
        self._slabs = list(range(len(network.blocks))) if keep_all else _slabs(network)
        self._input = np.empty(sizes.input, np.float32)
        self._joined = np.empty(sizes.joined, np.float32)
        self._activations = [np.empty(size, np.float32) for size in sizes.activations]
        self._features = np.empty(sizes.features, np.float32)
        self._error = np.empty(sizes.error, np.float32)
        self._slopes = np.empty(sizes.slopes, np.float32)
        self._work = np.empty(sizes.work, np.float32)
        self._scratch = np.empty(sizes.scratch, np.float32)
        self._gradient = np.empty(sizes.gradient, np.float32)
        self._labels = _label_room(network, batch)
        self.loss = np.zeros(2, np.float32)
        self.right = [0] * len(network.blocks)
        self.noise: Noise | None = None
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
            return _view(self._joined, (samples, *block.in_shape))
        return self.room(block.wiring.sources[0], samples).out

    def forward(self, index: int, x: F32) -> Trace[F32]:
        """Block number `index` on its own input `x`."""
        block, room = self.network.blocks[index], self.room(index, len(x))
        return block.layer.forward(block.params, x, room.out, room.scratch)

    def room(self, index: int, samples: int) -> Room:
        """Where block number `index` works on so many samples; made once."""
        found = self._rooms.get((index, samples))
        if found is None:
            found = self._rooms[index, samples] = self._room(index, samples)
        return found

    def _room(self, index: int, samples: int) -> Room:
        block = self.network.blocks[index]
        readout, layer, rows = block.readout, block.layer, _rows(block, samples)
        slab = self._activations[self._slabs[index]]
        return Room(
            out=_view(slab, (samples, *block.out_shape)),
            scratch=self._scratch[: layer.scratch_size(block.in_shape, samples)],
            space=self._space(readout, rows),
            learned=block.learned(),
            learner=layer if isinstance(layer, Learner) else None,
            sequence=layer if isinstance(layer, SequenceLearner) else None,
        )

    def _space(self, readout: Readout | None, rows: int) -> Workspace:
        """Where `readout` judges so many rows; without one there is no room."""
        r = readout
        return Workspace(
            features=_view(self._features, (rows, r.copied if r else 0)),
            error=_view(self._error, (rows, r.view.size if r else 0)),
            slopes=_view(self._slopes, (rows, r.read_out if r else 0)),
            loss=self.loss,
            work=self._work[: r.work_size(rows) if r else 0],
        )

    def error(self, index: int, block: Block, samples: int) -> F32:
        """Where the error of block number `index` lies when all are kept."""
        half = len(self._error) // 2
        return _view(self._error[half * (index % 2) :], (samples, *block.out_shape))

    def learn(self, index: int, x: F32, labels: Array, lr: float) -> None:
        """Forward pass and local update of block number `index` on its own input `x`.

        The summed loss before the update is then in `loss`, with the right guesses. Of sequences
        those count that are made at the end.
        """
        block, room = self.network.blocks[index], self.room(index, len(x))
        readout, rate = block.readout, lr * block.lr_scale
        assert readout is not None  # noqa: S101  only blocks that learn are asked to
        self.loss[:] = 0
        optimizer, learned = self.network.optimizer, room.learned
        into, share = optimizer.target(learned, block.moments, self._gradient, rate, len(x))
        if room.sequence is not None:
            lesson = Lesson(labels, readout, share, into, room.scratch, room.space)
            room.sequence.learn(block.params, x, room.out, lesson)
            if readout.guesses:
                guesses = block.scores(room.out, room.space.features).argmax(axis=1)
                self.loss[1] = (guesses == labels).sum()
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


def _label_room(network: Network, batch: int) -> Array:
    """Room for class numbers (batch,), or for the values of a regression (batch, outputs)."""
    if network.outputs is None:
        return np.empty(batch, np.int64)
    return np.empty((batch, network.width), np.float32)


def _view(buffer: F32, shape: Shape) -> F32:
    return buffer[: math.prod(shape)].reshape(shape)


def forward(x: F32, buffers: Buffers) -> F32:
    """The activation of the last block for normalised `x`, shape (batch, *in_shape).

    It lies in `buffers` and holds until the next call.
    """
    last = len(buffers.network.blocks) - 1
    return buffers.forward(last, input_of(last, x, buffers)).a


def input_of(index: int, x: F32, buffers: Buffers) -> F32:
    """What block number `index` reads, for normalised `x`; it lies in `buffers`, as above."""
    for before in range(index):
        buffers.forward(before, buffers.source(before, x))
    return buffers.source(index, x)


def train_step(
    buffers: Buffers, x: F32, labels: Array, lr: float, learning: Collection[int]
) -> float:
    """One step: each block in `learning` descends its own local loss.

    Blocks that follow the data do so if these learn from them.

    Parameters
    ----------
    buffers : Buffers
        Made for the network, whose parameters change in place.
    x : array, shape (batch, *in_shape)
        Normalised.
    labels : int64 array, shape (batch,), or float32, shape (batch, outputs)
    lr : float
        Learning rate; a block's own is ``lr * lr_scale``. The update is the mean over samples.
    learning : collection of int
        Which blocks learn. Those beyond the last of them are not run.

    Returns
    -------
    float
        The mean local loss of the last learning block, before the update.

    Notes
    -----
    Source: tpSGD (Lomnitz et al. 2022, arXiv:2208.08503): W_i -= lr d_i x_{i-1}^T with
    d_i = dJ_i/dy_i * act'(z_i) and J_i a loss of y_i and the projected label P_i y*.
    """
    following = buffers.network.following(learning) if lr > 0 else []
    for index in range(max(learning) + 1):
        seen = buffers.source(index, x)
        if index in learning:
            buffers.learn(index, seen, labels, lr)
        else:
            buffers.forward(index, seen)
        if index in following:
            buffers.follow(index, seen)
    return float(buffers.loss[0]) / len(x)


def working_set_bytes(network: Network, batch: int, *, keep_all: bool = False) -> int:
    """Bytes of our own arrays while training.

    Parameters, their masks, what the optimiser remembers of them, projections, normaliser,
    buffers. The data set is not in it: a device holds a batch of it at a time. `keep_all` as for
    `Buffers`.
    """
    stored = sum(value.nbytes for value in network.stored().values())
    masks = sum(mask.nbytes for block in network.blocks for mask in block.masks.values())
    fixed = sum(p.nbytes for p in network.fixed())
    normalizer = 0 if network.normalizer is None else network.normalizer.nbytes
    outputs = 0 if network.outputs is None else network.outputs.nbytes
    labels = _label_room(network, batch).nbytes
    buffers = 4 * _Sizes.of(network, batch, keep_all).total + labels + 8
    return stored + masks + fixed + normalizer + outputs + buffers
