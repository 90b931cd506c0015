"""minGRU: a gated recurrence whose local gradient through time is exact, forward in time."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import msgspec
import numpy as np

from edgelearn import kernels
from edgelearn.arrays import F32, Array, Shape
from edgelearn.ir.builder import Builder
from edgelearn.ir.ops import Concat, Reduce, Reshape, Slice
from edgelearn.ir.tensor import BATCH
from edgelearn.layers._base import Learning, Lesson, Names, Params, Trace
from edgelearn.layers._sequence import (
    CHUNK,
    Recurrent,
    chrono,
    chunks,
    cut,
    emit_sequence,
    emit_steps,
)
from edgelearn.readout import Readout
from edgelearn.rng import Stream, uniform


class MinGru(Recurrent, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``h = (1 - z) h + z c``, ``z = sigmoid(x w_z + b_z)``, ``c = tanh(x w_c + b_c)``.

    `w` (features, 2 units) holds both gates, z first. Neither gate reads `h`, so the derivative of
    a state by every weight follows from that of the state before, element by element: the layer
    learns from its whole past, with one copy of its weights for the last state and one for the
    mean, whatever the length; samples take turns.

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
        return 2 * self.units + CHUNK * wide + 2 * wide + 2 * (self.features(in_shape) + 1) * wide

    def readout_rows(self, in_shape: Shape, batch: int) -> int:
        return 1

    def forward(self, params: Params, x: F32, out: F32, scratch: F32) -> Trace[F32]:
        space = _Space(scratch, self.units, self.features(x.shape[1:]))
        for n in range(len(x)):
            count = self._run(params, x[n], out[n], space, traces=False)
            if self.returns != "sequence":
                self.summary(space.h, space.total / count, out[n])
        return Trace(x, out)

    def learn(self, params: Params, x: F32, out: F32, lesson: Lesson) -> Trace[F32]:
        own = _Space(lesson.scratch, self.units, self.features(x.shape[1:]))
        seen = np.empty((1, self.seen_size), np.float32)
        for n in range(len(x)):
            count = self._run(params, x[n], out[n], own, traces=True)
            self.summary(own.h, own.total / count, seen[0])
            if self.returns != "sequence":
                out[n] = seen[0]
            self._descend(seen, count, lesson.labels[n : n + 1], own, lesson)
        return Trace(x, out)

    def _descend(
        self, seen: F32, count: np.float32, label: Array, own: _Space, lesson: Lesson
    ) -> None:
        """Meet the local loss of one sequence that has just ended."""
        readout, rate, into = lesson.readout, lesson.rate, lesson.into
        e = readout.error(seen, label, lesson.space)
        if readout.learns:
            readout.descend(seen, rate, into["p"], lesson.space)
        last, mean = self.split(e[0])
        kernels.recurrent.add_traces(
            last, mean / count, rate, own.last, own.sums, into["w"], into["b"]
        )

    def _run(self, params: Params, x: F32, out: F32, space: _Space, *, traces: bool) -> np.float32:
        """One sequence, its final state and sums left in `space`; how many steps counted."""
        features = self.features(x.shape)
        space.clear(traces=traces)
        states = out if self.returns == "sequence" else out[None, :0]
        for part in chunks(len(x)):
            steps, b = x[part], params["b"]
            a = np.matmul(steps[:, :features], params["w"], out=space.products[: len(steps)])
            if traces:
                kernels.recurrent.mingru_traces(
                    a, b, steps, space.work, space.h, space.total, space.last, space.sums,
                    states[part],
                )  # fmt: skip
            else:
                kernels.recurrent.mingru(a, b, steps, features, space.h, space.total, states[part])
        return np.float32(max(x[:, features].sum(), 1) if self.masked else len(x))

    def emit(self, b: Builder, params: Names, x: str) -> Trace[str]:
        return Trace(x, self._emit_returned(b, self._emit_run(b, params, x, traces=False)))

    def emit_learn(
        self, b: Builder, params: Names, x: str, labels: str, readout: Readout, p: str | None
    ) -> Learning:
        run = self._emit_run(b, params, x, traces=True)
        count = run.count()
        seen = self.emit_summary(b, run.states[-1], b.binary("div", run.total, count))
        found = readout.emit_error(b, seen, labels, p)
        last, mean = self.emit_split(b, found.error)
        if mean is not None:
            mean = b.binary("div", mean, count)

        def descend(rate: str, into: Names) -> Names:
            new = {}
            for key in ("w", "b"):
                total = self._emit_gradient(b, (last, run.last[key]), (mean, run.sums[key]))
                new[key] = b.binary("sub", into[key], b.binary("mul", total, rate))
            return new | ({"p": found.descend(b, rate, into["p"])} if readout.learns else {})

        return Learning(Trace(x, self._emit_returned(b, run)), descend)

    def _emit_returned(self, b: Builder, run: _Unrolled) -> str:
        if self.returns != "sequence":
            mean = b.binary("div", run.total, run.count())
            return self.emit_summary(b, run.states[-1], mean)
        states = run.states
        if run.masks:
            states = [
                b.apply(Concat(1), h, mask) for h, mask in zip(run.states, run.masks, strict=True)
            ]
        return emit_sequence(b, states)

    def _emit_gradient(self, b: Builder, *parts: tuple[str | None, str]) -> str:
        """The sum over samples and parts of an error of units times the traces of their gates."""
        found = []
        for error, trace in parts:
            if error is not None:
                both = b.apply(Concat(1), error, error)
                if len(b.specs[trace].shape) == 3:
                    both = b.apply(Reshape((BATCH, 1, 2 * self.units)), both)
                found.append(b.binary("mul", both, trace))
        total = found[0] if len(found) == 1 else b.binary("add", *found)
        return b.apply(Reduce("sum", (0,)), total)

    def _emit_run(self, b: Builder, params: Names, x: str, *, traces: bool) -> _Unrolled:
        features = self.features(b.specs[x].shape[1:])
        run = _Unrolled(b, self.units, params)
        for number, step in enumerate(emit_steps(b, x)):
            with b.scope(f"t{number}"):
                mask = b.apply(Slice(1, features, features + 1), step) if self.masked else None
                inputs = b.apply(Slice(1, 0, features), step) if self.masked else step
                run.step(inputs, mask, traces=traces)
        return run


class _Unrolled:
    """Names of values while a sequence is unrolled: states, their total, their traces."""

    def __init__(self, b: Builder, units: int, params: Names) -> None:
        self._b, self._units, self._params = b, units, params
        self.states: list[str] = []
        self.masks: list[str] = []
        self.total = ""
        self.last: Names = {}
        self.sums: Names = {}

    def step(self, x: str, mask: str | None, *, traces: bool) -> None:
        """One step of time."""
        b, units = self._b, self._units
        pre = b.binary("add", b.matmul(x, self._params["w"]), self._params["b"])
        z = b.unary("sigmoid", b.apply(Slice(1, 0, units), pre))
        c = b.unary("tanh", b.apply(Slice(1, units, 2 * units), pre))
        moved = z if mask is None else b.binary("mul", z, mask)
        gap = b.binary("sub", c, self.states[-1]) if self.states else c
        change = b.binary("mul", moved, gap)
        h = b.binary("add", self.states[-1], change) if self.states else change
        if traces:
            self._trace(x, (z, c, moved, gap), mask)
        self.total = self._summed(self.total, h, mask)
        self.states.append(h)
        self.masks += [] if mask is None else [mask]

    def _trace(self, x: str, gates: tuple[str, str, str, str], mask: str | None) -> None:
        """The derivative of the state by weights and bias, and of the total."""
        b, one = self._b, self._b.scalar(1)
        z, c, moved, gap = gates
        slope = b.binary("sub", one, b.binary("mul", c, c))
        by_z = b.binary("mul", gap, b.binary("mul", moved, b.binary("sub", one, z)))
        gain = b.apply(Concat(1), by_z, b.binary("mul", moved, slope))
        kept = b.binary("sub", one, moved)
        keep = b.apply(Concat(1), kept, kept)
        wide = 2 * self._units
        tall = b.apply(Reshape((BATCH, b.specs[x].shape[1], 1)), x)
        flat = {"w": b.apply(Reshape((BATCH, 1, wide)), gain), "b": gain}
        fresh = {"w": b.binary("mul", tall, flat["w"]), "b": gain}
        for key, gained in fresh.items():
            value = gained
            if self.states:
                rest = b.apply(Reshape((BATCH, 1, wide)), keep) if key == "w" else keep
                value = b.binary("add", b.binary("mul", self.last[key], rest), gained)
            self.last[key] = value
            lifted = mask
            if mask is not None and key == "w":
                lifted = b.apply(Reshape((BATCH, 1, 1)), mask)
            self.sums[key] = self._summed(self.sums.get(key, ""), value, lifted)

    def _summed(self, total: str, value: str, mask: str | None) -> str:
        counted = value if mask is None else self._b.binary("mul", value, mask)
        return self._b.binary("add", total, counted) if total else counted

    def count(self) -> str:
        """How many steps count, at least 1."""
        b = self._b
        if not self.masks:
            return b.scalar(len(self.states))
        total = self.masks[0]
        for mask in self.masks[1:]:
            total = b.binary("add", total, mask)
        return b.binary("max", total, b.scalar(1))


class _Space:
    """Work space of one sequence, cut from one array."""

    def __init__(self, scratch: F32, units: int, features: int) -> None:
        sizes = ((units,), (units,), (CHUNK, 2 * units), (2, 2 * units))
        traces = (features + 1, 2 * units)
        self.h, self.total, self.products, self.work, self.last, self.sums = cut(
            scratch, *sizes, traces, traces
        )

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
)
