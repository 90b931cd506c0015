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
from edgelearn.layers._chunks import chunks, cut
from edgelearn.layers._mingru_graph import Unrolled, emit_move
from edgelearn.layers._sequence import Recurrent, chrono
from edgelearn.readout import Readout
from edgelearn.rng import Stream, uniform

CHUNK = 16
"""Steps that are held at once, at most."""


class MinGru(Recurrent, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``h = (1 - z) h + z c``, ``z = sigmoid(x w_z + b_z)``, ``c = tanh(x w_c + b_c)``.

    `w` (features, 2 units) holds both gates, z first. Neither gate reads `h`, so the derivative of
    a state by every weight follows from that of the state before, element by element: the layer
    learns from its whole past, with one copy of its weights for the last state and one for the
    mean, whatever the length. Samples take turns; several need one more copy for their gradient.

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
        shapes = _shapes(self, self.features(in_shape))
        return sum(math.prod(shape) for shape in shapes.values())

    def readout_rows(self, in_shape: Shape, batch: int) -> int:
        return 1

    def collects(self, in_shape: Shape, batch: int) -> bool:
        return batch > 1

    def forward(self, params: Params, x: F32, out: F32, scratch: F32) -> Trace[F32]:
        space = _Space(scratch, self, self.features(x.shape[1:]))
        for n in range(len(x)):
            count = self._run(params, x[n], out[n], space, traces=False)
            if self.returns != "sequence":
                self.summary(space.h, space.total / count, out[n])
        return Trace(x, out)

    def learn(self, params: Params, x: F32, out: F32, lesson: Lesson) -> Trace[F32]:
        own = _Space(lesson.scratch, self, self.features(x.shape[1:]))
        into, rate = lesson.into, np.float32(lesson.rate)
        seen = np.empty((1, self.seen_size), np.float32)
        for n in range(len(x)):
            count = self._run(params, x[n], out[n], own, traces=True)
            self.summary(own.h, own.total / count, seen[0])
            if self.returns != "sequence":
                out[n] = seen[0]
            e = lesson.readout.error(seen, lesson.labels[n : n + 1], lesson.space)
            if lesson.readout.learns:
                lesson.readout.descend(seen, lesson.rate, into["p"], lesson.space)
            last, mean = self.split(e[0] * -rate)
            for key, rows in (("w", slice(None, -1)), ("b", slice(-1, None))):
                moved = into[key].reshape(-1, 2 * self.units)
                kernels.mingru.add(last, mean / count, own.last[rows], own.sums[rows], moved)
        return Trace(x, out)

    def _run(self, params: Params, x: F32, out: F32, space: _Space, *, traces: bool) -> np.float32:
        """One sequence, its final state and sums left in `space`; how many steps counted."""
        features, b = self.features(x.shape), params["b"]
        space.clear(traces=traces)
        way = -1 if self.reverse else 1
        x, returned = x[::way], out[::way] if self.returns == "sequence" else None
        for part in chunks(len(x), CHUNK):
            rows = part.stop - part.start
            states = space.states[: 0 if returned is None else rows]
            steps = x[part] if way > 0 else space.steps[:rows]
            if way < 0:
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
        return Trace(x, self._emit_returned(b, Unrolled(self, b, params, x, learns=False)))

    def emit_learn(
        self, b: Builder, params: Names, x: str, labels: str, readout: Readout, p: str | None
    ) -> Learning:
        run = Unrolled(self, b, params, x, learns=True)
        found = readout.emit_error(b, run.seen(), labels, p)

        def descend(rate: str, into: Names) -> Names:
            new = run.descend(found.error, rate, into)
            return new | (
                {"p": found.descend(b, b.unary("neg", rate), into["p"])} if readout.learns else {}
            )

        return Learning(Trace(x, self._emit_returned(b, run)), descend)

    def _emit_returned(self, b: Builder, run: Unrolled) -> str:
        if self.returns != "sequence":
            return run.seen()
        return self.emit_sequence(b, run.states, run.masks)


class _Space:
    """Work space of one sequence, cut from one array."""

    def __init__(self, scratch: F32, layer: MinGru, features: int) -> None:
        shapes = _shapes(layer, features)
        space = dict(zip(shapes, cut(scratch, *shapes.values()), strict=True))
        self.h, self.total, self.products = space["h"], space["total"], space["products"]
        self.work, self.steps, self.states = space["work"], space["steps"], space["states"]
        self.last, self.sums = space["last"], space["sums"]

    def clear(self, *, traces: bool) -> None:
        """Begin a sequence."""
        for array in (self.h, self.total, *((self.last, self.sums) if traces else ())):
            array[:] = 0


def _shapes(layer: MinGru, features: int) -> dict[str, Shape]:
    """Arrays of work space: steps are copied to turn them, states to return them."""
    units, wide = layer.units, 2 * layer.units
    return {
        "h": (units,),
        "total": (units,),
        "products": (CHUNK, wide),
        "work": (2, wide),
        "steps": (CHUNK if layer.reverse else 0, features + layer.masked),
        "states": (CHUNK if layer.returns == "sequence" else 0, units + layer.masked),
        "last": (features + 1, wide),
        "sums": (features + 1, wide),
    }


LAYER = MinGru
EXAMPLES = (
    (MinGru(units=4), (5, 3)),
    (MinGru(units=3, returns="last"), (4, 2)),
    (MinGru(units=5, returns="mean", masked=True), (6, 4)),
    (MinGru(units=4, returns="sequence", masked=True), (6, 3)),
    (MinGru(units=3), (20, 1)),
    (MinGru(units=4, returns="last", masked=True), (24, 3)),
    (MinGru(units=6, returns="sequence"), (40, 2)),
    (MinGru(units=5, returns="sequence", masked=True, reverse=True), (40, 3)),
    (MinGru(units=3, returns="last_mean", masked=True, reverse=True), (5, 3)),
)
