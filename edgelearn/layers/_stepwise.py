"""What cells with a truncated gradient share: a target at every step, no credit beyond it.

At step t the local loss judges the prefix: the state and the mean of the states so far. Its error
reaches the weights through this step alone, with the state before taken as it is, so that memory
and work do not grow with the length. A later step has seen more, so its loss weighs more:
``(t / T)^2``, scaled to sum 1. The gradient of a batch is collected before a weight moves: one more
array of the size of the weights.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np

from edgelearn import kernels
from edgelearn.arrays import F32, Array, Shape
from edgelearn.ir.builder import Builder
from edgelearn.layers._base import Learning, Lesson, Names, Params, Trace
from edgelearn.layers._sequence import Recurrent, cut
from edgelearn.layers._stepwise_graph import CellStep, emit_forward, emit_learning
from edgelearn.layers.dense import BLOCK_ROWS, LOOP_BATCH, add_product
from edgelearn.readout import Readout
from edgelearn.rng import Stream, uniform

ROWS = 64
"""Steps times samples that are held at once, unless the batch has more."""
LONGEST = 32
"""Steps that are held at once, at most."""


class Stepwise(Recurrent, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings and engine of cells that learn one step at a time.

    Parameters
    ----------
    targets : {"every", "last"}
        Whether every prefix is judged, or the whole sequence only.
    """

    gates: ClassVar[int]
    """Blocks of `units` columns in the weights."""
    memories: ClassVar[int] = 1
    """Arrays of `units` that are carried from step to step, the state first."""
    targets: Literal["every", "last"] = "every"

    @abstractmethod
    def step(self, a: F32, u: F32, b: F32, mask: F32, states: F32, gain: F32) -> None:
        """Move `states` (memories, batch, units) by one step.

        a, u: products of the input and of what is fed back with the weights (batch, gates * units);
        `a` then holds the derivative of the new state by each gate's sum, and `gain` (batch, units)
        by what factor the last gate's differs for the recurrent part. Where `mask` is 0 all stays.
        """

    @abstractmethod
    def emit_cell(self, b: Builder, a: str, u: str | None, states: list[str]) -> CellStep:
        """`step` as nodes, without mask; at the first step there is no `u` and all states are 0."""

    def fed_size(self) -> int:
        """Elements that the recurrent weights see."""
        return self.units

    def feed(self, params: Params, h: F32, out: F32) -> None:
        """Write what the recurrent weights see of states `h` (batch, units)."""
        out[:] = h

    def emit_feed(self, b: Builder, params: Names, h: str) -> str:
        """`feed` as nodes."""
        return h

    def init(self, in_shape: Shape, seed: int, index: int) -> Params:
        features, wide = self.features(in_shape), self.gates * self.units
        limit = math.sqrt(1 / self.units)
        return {
            "w": uniform(seed, Stream.INIT, index, (features, wide), math.sqrt(1 / features)),
            "u": uniform(seed, Stream.RECURRENT, index, (self.fed_size(), wide), limit),
            "b": np.zeros(wide, np.float32),
        }

    def readout_rows(self, in_shape: Shape, batch: int) -> int:
        return chunk_steps(batch) * batch

    def scratch_size(self, in_shape: Shape, batch: int) -> int:
        shapes = _shapes(self, self.features(in_shape), batch)
        return sum(math.prod(shape) for shape in shapes.values())

    def forward(self, params: Params, x: F32, out: F32, scratch: F32) -> Trace[F32]:
        return _Pass(self, params, x, out, scratch).run(None)

    def learn(self, params: Params, x: F32, out: F32, lesson: Lesson) -> Trace[F32]:
        return _Pass(self, params, x, out, lesson.scratch).run(lesson)

    def emit(self, b: Builder, params: Names, x: str) -> Trace[str]:
        return emit_forward(self, b, params, x)

    def emit_learn(
        self, b: Builder, params: Names, x: str, labels: str, readout: Readout, p: str | None
    ) -> Learning:
        return emit_learning(self, b, params, x, labels, readout, p)


def chunk_steps(batch: int) -> int:
    """Steps that are held at once for so many samples."""
    return min(LONGEST, max(1, ROWS // batch))


def _shapes(cell: Stepwise, features: int, batch: int) -> dict[str, Shape]:
    """Arrays of work space; those with time in front hold a chunk of steps."""
    steps, wide = chunk_steps(batch), cell.gates * cell.units
    return {
        "x": (steps, batch, features),
        "fed": (steps, batch, cell.fed_size()),
        "a": (steps, batch, wide),
        "gain": (steps, batch, cell.units),
        "seen": (steps, batch, cell.seen_size),
        "mask": (steps, batch),
        "counts": (steps, batch),
        "u": (batch, wide),
        "states": (cell.memories, batch, cell.units),
        "total": (batch, cell.units),
        "mean": (batch, cell.units),
        "lengths": (batch,),
        "sofar": (batch,),
        "grad_w": (features, wide),
        "grad_u": (cell.fed_size(), wide),
        "grad_b": (wide,),
        "block": (BLOCK_ROWS, wide),
    }


class _Pass:
    """One pass over a batch of sequences, a chunk of steps at a time."""

    def __init__(self, cell: Stepwise, params: Params, x: F32, out: F32, scratch: F32) -> None:
        self.cell, self.params, self.x, self.out = cell, params, x, out
        self.features = cell.features(x.shape[1:])
        shapes = _shapes(cell, self.features, len(x))
        self.space = dict(zip(shapes, cut(scratch, *shapes.values()), strict=True))
        for key in ("states", "total", "sofar", "grad_w", "grad_u", "grad_b"):
            self.space[key][:] = 0

    def run(self, lesson: Lesson | None) -> Trace[F32]:
        """All chunks, and with a `lesson` the update."""
        steps, length = chunk_steps(len(self.x)), self.x.shape[1]
        gradient_p = None
        if lesson is not None:
            self._count_steps()
            gradient_p = np.zeros_like(lesson.into["p"]) if lesson.readout.learns else None
        seen = self.space["seen"]
        for first in range(0, length, steps):
            count = min(steps, length - first)
            self._forward(first, count)
            if lesson is not None:
                self._judge(count, lesson, gradient_p)
            seen = self.space["seen"][:count]
        if self.cell.returns != "sequence":
            self.out[:] = seen[-1]
        if lesson is not None:
            self._descend(lesson, gradient_p)
        return Trace(self.x, self.out)

    def _count_steps(self) -> None:
        """How many steps of each sequence count."""
        if self.cell.masked:
            np.sum(self.x[:, :, self.features], axis=1, out=self.space["lengths"])
        else:
            self.space["lengths"][:] = self.x.shape[1]

    def _forward(self, first: int, count: int) -> None:
        """Steps from `first` on; what they leave for learning lies in the work space."""
        cell, space, params, features = self.cell, self.space, self.params, self.features
        x, a, fed = space["x"][:count], space["a"][:count], space["fed"]
        part = self.x[:, first : first + count]
        x[:] = part[:, :, :features].transpose(1, 0, 2)
        mask = space["mask"][:count]
        mask[:] = part[:, :, features].T if cell.masked else 1
        np.matmul(x.reshape(-1, features), params["w"], out=a.reshape(-1, a.shape[2]))
        states = space["states"]
        for t in range(count):
            cell.feed(params, states[0], fed[t])
            _product(fed[t], params["u"], space["u"])
            cell.step(a[t], space["u"], params["b"], mask[t], states, space["gain"][t])
            self._summarise(t, mask[t])
            if cell.returns == "sequence":
                self.out[:, first + t, : cell.units] = states[0]
                if cell.masked:
                    self.out[:, first + t, cell.units] = mask[t]

    def _summarise(self, t: int, mask: F32) -> None:
        """What the readout sees after step `t` of the chunk: the state, the mean of states."""
        space, h = self.space, self.space["states"][0]
        space["sofar"] += mask
        np.maximum(space["sofar"], 1, out=space["counts"][t])
        kernels.recurrent.running_mean(h, mask, space["counts"][t], space["total"], space["mean"])
        self.cell.summary(h, space["mean"], space["seen"][t])

    def _judge(self, count: int, lesson: Lesson, gradient_p: F32 | None) -> None:
        """Errors of a chunk of steps, and what they add to the gradient."""
        space, readout = self.space, lesson.readout
        rows = count * len(self.x)
        weights = self._weights(count)
        if not weights.any():
            return
        space_of = lesson.space
        room = replace(space_of, error=space_of.error[:rows], slopes=space_of.slopes[:rows])
        seen = space["seen"][:count].reshape(rows, -1)
        e = readout.error(seen, _repeated(lesson.labels, count), room)
        e *= weights
        if gradient_p is not None:
            room.slopes[:] *= weights
            readout.descend(seen, -1.0, gradient_p, room)
        self._collect(count, self._credit(e, space["counts"][:count].reshape(rows, 1)))

    def _weights(self, count: int) -> F32:
        """What the loss at each step weighs, shape (steps * batch, 1)."""
        space, lengths = self.space, np.maximum(self.space["lengths"], 1)
        place = space["counts"][:count] / lengths
        if self.cell.targets == "last":
            share = (place == 1).astype(np.float32)
        else:
            share = place * place * (6 * lengths / ((lengths + 1) * (2 * lengths + 1)))
        found: F32 = (share * space["mask"][:count]).reshape(-1, 1)
        return found

    def _credit(self, e: F32, counts: F32) -> F32:
        """The error of the state at each step, from that of what is seen; in place."""
        units = self.cell.units
        match self.cell.seen:
            case "last":
                return e
            case "mean":
                e /= counts
                return e
            case "last_mean":
                e[:, units:] /= counts
                e[:, :units] += e[:, units:]
                return e[:, :units]

    def _collect(self, count: int, e: F32) -> None:
        """Add a chunk of steps to the gradient."""
        space, units = self.space, self.cell.units
        d = space["a"][:count].reshape(len(e), -1)
        gain = space["gain"][:count].reshape(len(e), units)
        block = space["block"].ravel()
        kernels.recurrent.scale_gates(e, d)
        add_product(space["x"][:count].reshape(len(e), -1), d, space["grad_w"], block)
        kernels.dense.add_rows(d, space["grad_b"])
        d[:, -units:] *= gain
        add_product(space["fed"][:count].reshape(len(e), -1), d, space["grad_u"], block)

    def _descend(self, lesson: Lesson, gradient_p: F32 | None) -> None:
        into, rate = lesson.into, lesson.rate
        for key in ("w", "u", "b"):
            gradient = self.space[f"grad_{key}"].ravel()
            kernels.moments.follow(gradient, rate, into[key].ravel())
        if gradient_p is not None:
            kernels.moments.follow(gradient_p.ravel(), rate, into["p"].ravel())


def _repeated(labels: Array, count: int) -> Array:
    """`labels` so many times, one batch after the other."""
    return np.tile(labels, (count, *(1,) * (labels.ndim - 1)))


def _product(x: F32, w: F32, out: F32) -> None:
    if len(x) <= LOOP_BATCH:
        kernels.dense.product(x, w, out)
    else:
        np.matmul(x, w, out=out)
