"""What cells with a truncated gradient share: a target at every step, no credit beyond it.

At step t the local loss judges the prefix: the state and the mean of the states so far. Its error
reaches the weights through this step alone, with the state before taken as it is, so that memory
and work do not grow with the length. A later step has seen more, so its loss weighs more:
``(t / T)^2``, scaled to sum 1. Of sequences longer than a chunk the gradient is collected before a
weight moves: one more array of the size of the weights.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Literal

import numpy as np

from edgelearn import kernels
from edgelearn.arrays import F32, Array, Shape
from edgelearn.ir.builder import Builder
from edgelearn.layers._base import Learning, Lesson, Names, Params, Trace
from edgelearn.layers._cell import Cell, Pass, chunk_rows, chunk_steps
from edgelearn.layers._kept import places_of
from edgelearn.layers._stepwise_graph import emit_learning
from edgelearn.layers.dense import add_product, block_size
from edgelearn.readout import Readout

if TYPE_CHECKING:
    from edgelearn.kernels.recurrent import Chunk


class Stepwise(Cell, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings and learning of cells that learn one step at a time.

    Parameters
    ----------
    targets : {"every", "last"}
        Whether every prefix is judged, or the whole sequence only.
    """

    targets: Literal["every", "last"] = "every"

    @property
    def sparse(self) -> tuple[str, ...]:
        return ("w", "u")

    def readout_rows(self, in_shape: Shape, batch: int) -> int:
        return chunk_rows(batch)

    def collects(self, in_shape: Shape, batch: int) -> bool:
        return in_shape[0] > chunk_steps(batch)

    def shapes(self, features: int, batch: int, kept: Collection[str] = ()) -> dict[str, Shape]:
        wide = self.gates * self.units
        whole = [n for key, n in (("w", features), ("u", self.fed_size())) if key not in kept]
        return {
            **super().shapes(features, batch, kept),
            "lengths": (batch,),
            "weights": (chunk_rows(batch),),
            "block": (block_size(max(whole, default=0), wide),),
        }

    def learn(self, params: Params, x: F32, out: F32, lesson: Lesson) -> Trace[F32]:
        run = Pass(self, params, x, out, lesson.scratch)
        descent = _Descent(self, run, lesson)
        for chunk in run.chunks():
            descent.judge(chunk)
        descent.count_right(chunk.seen[-1])
        return Trace(x, out)

    def emit_learn(
        self, b: Builder, params: Names, x: str, labels: str, readout: Readout, p: str | None
    ) -> Learning:
        return emit_learning(self, b, params, x, labels, readout, p)


class _Descent:
    """What all steps of a batch say of the weights, chunk by chunk."""

    def __init__(self, cell: Stepwise, run: Pass, lesson: Lesson) -> None:
        self.cell, self.space, self.lesson = cell, run.space, lesson
        self.kept = places_of(run.params)
        x, lengths = run.x, self.space["lengths"]
        lengths[:] = x[:, :, run.features].sum(axis=1) if self.cell.masked else x.shape[1]
        np.maximum(lengths, 1, out=lengths)

    def judge(self, chunk: Chunk) -> None:
        """Errors of a chunk of steps, and what they add."""
        lesson, readout = self.lesson, self.lesson.readout
        steps, rows = len(chunk.x), chunk.counts.size
        weights = self._weigh(chunk)
        if not weights.any():
            return
        room = lesson.space.rows(rows)
        seen = chunk.seen.reshape(rows, -1)
        e = readout.error(seen, _repeated(lesson.labels, steps), room)
        kernels.recurrent.scale_rows(weights, e)
        if readout.learns:
            kernels.recurrent.scale_rows(weights, room.slopes)
            readout.descend(seen, lesson.rate, lesson.into["p"], room)
        self._collect(chunk, e)

    def _weigh(self, chunk: Chunk) -> F32:
        """What the loss at each step weighs, shape (steps * batch,)."""
        weights, every = self.space["weights"][: chunk.counts.size], self.cell.targets == "every"
        kernels.recurrent.weigh(chunk.counts, chunk.mask, self.space["lengths"], every, weights)
        return weights

    def _collect(self, chunk: Chunk, e: F32) -> None:
        """Descend a chunk of steps, given the error of what is seen after each."""
        into, units = self.lesson.into, self.cell.units
        d = chunk.a.reshape(len(e), -1)
        kernels.recurrent.credit(self.cell.sees, e, chunk.counts.ravel(), d)
        d *= np.float32(-self.lesson.rate)
        self._add_outer("w", chunk.x.reshape(len(e), -1), d)
        kernels.dense.add_rows(d, into["b"])
        if self.cell.gains:
            kernels.recurrent.scale_last(chunk.gain.reshape(len(e), units), d)
        self._add_outer("u", chunk.fed.reshape(len(e), -1), d)

    def _add_outer(self, key: str, x: F32, d: F32) -> None:
        """``w += x.T @ d``, of what is left of it if it is pruned."""
        into, kept = self.lesson.into[key], self.kept.get(key)
        if kept is None:
            add_product(x, d, into, self.space["block"])
        else:
            kept.add_outer(into, x, d)

    def count_right(self, seen: F32) -> None:
        """Count guesses, made at the end: those on the way are forgotten."""
        space = self.lesson.space
        space.loss[1] = 0
        self.lesson.readout.count_right(seen, self.lesson.labels, space.rows(len(seen)))


def _repeated(labels: Array, count: int) -> Array:
    """`labels` so many times, one batch after the other."""
    return np.tile(labels, (count, *(1,) * (labels.ndim - 1)))
