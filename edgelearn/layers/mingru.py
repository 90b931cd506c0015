"""minGRU: a gated recurrence whose local gradient through time is exact, forward in time."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import msgspec
import numpy as np

from edgelearn import kernels
from edgelearn.arrays import F32, Shape
from edgelearn.ir.builder import Builder
from edgelearn.layers._base import Learning, Lesson, Names, Params, Trace
from edgelearn.layers._carried import held, keep
from edgelearn.layers._chunks import CHUNK, chunks, cut
from edgelearn.layers._mingru_graph import Unrolled, emit_move
from edgelearn.layers._sequence import Recurrent, chrono
from edgelearn.readout import Readout
from edgelearn.rng import Stream, uniform


class MinGru(Recurrent, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``h = (1 - z) h + z c``, ``z = sigmoid(x w_z + b_z)``, ``c = tanh(x w_c + b_c)``.

    `w` (features, 2 units) holds both gates, z first. Neither gate reads `h`, so the derivative of
    a state by every weight follows from that of the state before, element by element: the layer
    learns from its whole past, with one copy of its weights for the last state, one for the mean
    and one for the gradient of the batch, whatever the length; samples take turns.

    Parameters
    ----------
    memory : float, optional
        The longest time, in steps, that gates begin with; the number of steps by default.

    Notes
    -----
    Source: minGRU (Feng et al. 2024, arXiv:2410.01201), with tanh; exact traces are real-time
    recurrent learning (Williams & Zipser 1989) of an element-wise recurrence (Zucchet et al. 2023,
    arXiv:2305.15947); times drawn as in chrono initialisation (Tallec & Ollivier 2018).
    """

    kind: ClassVar[str] = "mingru"
    exact: ClassVar[bool] = True
    memory: Annotated[float, msgspec.Meta(gt=1, le=1e6)] | None = None

    def init(self, in_shape: Shape, seed: int, index: int) -> Params:
        fan_in = self.features(in_shape)
        bias = np.zeros(2 * self.units, np.float32)
        bias[: self.units] = -chrono(self.memory or in_shape[0], self.units, seed, index)
        shape = (fan_in, 2 * self.units)
        return {"w": uniform(seed, Stream.INIT, index, shape, math.sqrt(1 / fan_in)), "b": bias}

    def scratch_size(self, in_shape: Shape, batch: int) -> int:
        wide = 2 * self.units
        rows = in_shape[1] + self.units + self.masked
        traces = 3 * (self.features(in_shape) + 1) * wide
        return 2 * self.units + CHUNK * (wide + rows) + 2 * wide + traces

    def readout_rows(self, in_shape: Shape, batch: int) -> int:
        return 1

    def forward(self, params: Params, x: F32, out: F32, scratch: F32) -> Trace[F32]:
        space = _Space(scratch, self.units, self.features(x.shape[1:]), self.masked)
        for n in range(len(x)):
            count = self._run(params, x[n], out[n], space, traces=False)
            if self.returns != "sequence":
                self.summary(space.h, space.total / count, out[n])
        return Trace(x, out)

    def learn(self, params: Params, x: F32, out: F32, lesson: Lesson) -> Trace[F32]:
        own = _Space(lesson.scratch, self.units, self.features(x.shape[1:]), self.masked)
        own.gradient[:] = 0
        gradient_p = np.zeros_like(lesson.into["p"]) if lesson.readout.learns else None
        seen = np.empty((1, self.seen_size), np.float32)
        for n in range(len(x)):
            count = self._run(params, x[n], out[n], own, traces=True)
            self.summary(own.h, own.total / count, seen[0])
            if self.returns != "sequence":
                out[n] = seen[0]
            e = lesson.readout.error(seen, lesson.labels[n : n + 1], lesson.space)
            if gradient_p is not None:
                lesson.readout.descend(seen, -1.0, gradient_p, lesson.space)
            last, mean = self.split(e[0])
            kernels.mingru.add(last, mean / count, own.last, own.sums, own.gradient)
        self._descend(own.gradient, gradient_p, lesson)
        return Trace(x, out)

    def _descend(self, gradient: F32, gradient_p: F32 | None, lesson: Lesson) -> None:
        """Move weights and bias, when all samples have met their loss."""
        parts = {"w": gradient[:-1], "b": gradient[-1], "p": gradient_p}
        for key, part in parts.items():
            if part is not None:
                kernels.moments.follow(part.ravel(), lesson.rate, lesson.into[key].ravel())

    def _run(self, params: Params, x: F32, out: F32, space: _Space, *, traces: bool) -> np.float32:
        """One sequence, its final state and sums left in `space`; how many steps counted."""
        features, b = self.features(x.shape), params["b"]
        space.clear(traces=traces)
        way = -1 if self.reverse else 1
        x, returned = x[::way], out[::way] if self.returns == "sequence" else None
        for part in chunks(len(x)):
            rows = part.stop - part.start
            steps, states = space.steps[:rows], space.states[: 0 if returned is None else rows]
            steps[:] = x[part]
            a = np.matmul(steps[:, :features], params["w"], out=space.products[:rows])
            if traces:
                kernels.mingru.traces(
                    a, b, steps, space.work, space.h, space.total, space.last, space.sums, states
                )
            else:
                kernels.mingru.run(a, b, steps, features, space.h, space.total, states)
            if returned is not None:
                returned[part] = states
        return np.float32(max(x[:, features].sum(), 1) if self.masked else len(x))

    def emit_state(self, b: Builder, params: Names, x: tuple[str, str | None], name: str) -> str:
        state = f"{name}.h"
        move = emit_move(b, self.units, params, x, held(b, state, self.units))
        return keep(b, state, move.h)

    def emit(self, b: Builder, params: Names, x: str) -> Trace[str]:
        return Trace(x, self._emit_returned(b, Unrolled(self, b, params, x, traces=False)))

    def emit_learn(
        self, b: Builder, params: Names, x: str, labels: str, readout: Readout, p: str | None
    ) -> Learning:
        run = Unrolled(self, b, params, x, traces=True)
        found = readout.emit_error(b, run.seen(), labels, p)

        def descend(rate: str, into: Names) -> Names:
            new = run.descend(found.error, rate, into)
            return new | ({"p": found.descend(b, rate, into["p"])} if readout.learns else {})

        return Learning(Trace(x, self._emit_returned(b, run)), descend)

    def _emit_returned(self, b: Builder, run: Unrolled) -> str:
        if self.returns != "sequence":
            return run.seen()
        return self.emit_sequence(b, run.states, run.masks)


class _Space:
    """Work space of one sequence, cut from one array."""

    def __init__(self, scratch: F32, units: int, features: int, masked: bool) -> None:
        sizes = ((units,), (units,), (CHUNK, 2 * units), (2, 2 * units))
        rows = (CHUNK, features + masked), (CHUNK, units + masked)
        traces = (features + 1, 2 * units)
        self.h, self.total, self.products, self.work, *rest = cut(
            scratch, *sizes, *rows, traces, traces, traces
        )
        self.steps, self.states, self.last, self.sums, self.gradient = rest

    def clear(self, *, traces: bool) -> None:
        """Begin a sequence."""
        for array in (self.h, self.total, *((self.last, self.sums) if traces else ())):
            array[:] = 0


LAYER = MinGru
EXAMPLES = (
    (MinGru(units=4), (5, 3)),
    (MinGru(units=3, returns="last"), (4, 2)),
    (MinGru(units=5, returns="mean", masked=True), (6, 4)),
    (MinGru(units=4, returns="sequence", masked=True), (6, 3)),
    (MinGru(units=6, returns="sequence"), (40, 2)),
    (MinGru(units=5, returns="sequence", masked=True, reverse=True), (40, 3)),
    (MinGru(units=3, returns="last_mean", masked=True, reverse=True), (5, 3)),
)
