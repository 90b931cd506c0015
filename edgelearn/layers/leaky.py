"""Leaky units with several time constants, which learn from traces of their whole past."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, ClassVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgelearn import kernels
from edgelearn.arrays import F32, Shape, as_f32
from edgelearn.ir.builder import Builder
from edgelearn.layers import _leaky_graph
from edgelearn.layers._base import Learning, Lesson, Names, Params, Trace
from edgelearn.layers._cell import Cell, Pass
from edgelearn.layers._cell_graph import CellStep
from edgelearn.readout import Readout

FASTEST = 0.998
"""The rate of the fastest group: sigmoid of a finite number, so that it can learn."""


class Leaky(Cell, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``h = (1 - r) h + r tanh(x w + h u + b)`` with a rate ``r = sigmoid(leak)`` a group of units.

    At the end of the sequence the error meets traces that leaked forward in time: of inputs and
    earlier states at each group's rate, and of the slope at each unit's. Their product stands for
    the sum over time of the products, as if slope and input were independent (divided by what the
    trace of 1 is by then). What reaches a state through other units' states is left out. The error
    of the mean meets the means of the same traces over time, which follow from them and plain
    sums. So a sample holds ``groups (features + units + 1)`` traces, ``features + units + 1`` sums
    and ``4 units``, whatever the length.

    Parameters
    ----------
    groups : int
        How many time constants; units are spread over them in order.
    memory : float, optional
        The longest time constant in steps; the number of steps by default. Rates begin as a
        geometric series from almost 1 to ``1 / memory``.
    trainable : bool
        Whether the rates learn too. The derivative of a state by its own rate follows forward in
        time, element by element, exact but for what comes back through other units.

    Notes
    -----
    Source: leaky integrators with several time constants (Mozer 1992, Jaeger et al. 2007);
    eligibility traces as in e-prop (Bellec et al. 2020), one a group instead of one a synapse.
    """

    kind: ClassVar[str] = "leaky"
    gates: ClassVar[int] = 1
    gains: ClassVar[bool] = True
    groups: Annotated[int, msgspec.Meta(ge=1, le=256)] = 8
    memory: Annotated[float, msgspec.Meta(gt=1, le=1e6)] | None = None
    trainable: bool = False

    @property
    def constants(self) -> frozenset[str]:
        return frozenset() if self.trainable else frozenset({"leak"})

    @property
    def code(self) -> int:
        return kernels.recurrent.LEAKY

    @property
    def count(self) -> int:
        """Groups of units, of which none is empty."""
        return min(self.groups, self.units)

    @property
    def members(self) -> NDArray[np.int64]:
        """The group of each unit."""
        return np.arange(self.units) * self.count // self.units

    def init(self, in_shape: Shape, seed: int, index: int) -> Params:
        slowest = 1 / max(self.memory or in_shape[0], 1 / FASTEST)
        rates = np.geomspace(FASTEST, slowest, self.count)
        return {**super().init(in_shape, seed, index), "leak": as_f32(np.log(rates / (1 - rates)))}

    def rates(self, params: Params) -> F32:
        return _group_rates(params)[self.members]

    def readout_rows(self, in_shape: Shape, batch: int) -> int:
        return batch

    def collects(self, in_shape: Shape, batch: int) -> bool:
        return False

    def shapes(self, features: int, batch: int, kept: Collection[str] = ()) -> dict[str, Shape]:
        traced = features + self.units + 1
        return {
            **super().shapes(features, batch, kept),
            "before": (batch, self.count, traced),
            "after": (4, batch, self.units),
            "sums": (batch, traced),
            "errors": (2, batch, self.units),
            "leak": (self.count,),
        }

    def learn(self, params: Params, x: F32, out: F32, lesson: Lesson) -> Trace[F32]:
        run = Pass(self, params, x, out, lesson.scratch)
        held = kernels.leaky.Traces(run.space["before"], run.space["sums"], run.space["after"])
        for array in held:
            array[:] = 0
        groups, rates = _group_rates(params), self.rates(params)
        for chunk in run.chunks():
            kernels.leaky.follow(chunk, groups, rates, held)
            seen = chunk.seen[-1]
        e = lesson.readout.error(seen, lesson.labels, lesson.space)
        if lesson.readout.learns:
            lesson.readout.descend(seen, lesson.rate, lesson.into["p"], lesson.space)
        errors, leak = run.space["errors"], run.space["leak"]
        leak[:] = 0
        kernels.leaky.credit(self.sees, e, rates, held, errors, leak)
        features = run.features
        places = {"w": 0, "u": features, "b": features + self.units}
        for key, first in places.items():
            into = lesson.into[key].reshape(-1, self.units)
            kernels.leaky.descend(first, self.count, lesson.rate, held, errors, into)
        if self.trainable:
            kernels.moments.follow(leak, lesson.rate, lesson.into["leak"])
        return Trace(x, out)

    def emit_cell(
        self, b: Builder, params: Names, a: str, u: str | None, states: list[str]
    ) -> CellStep:
        z = a if u is None else b.binary("add", a, u)
        return _leaky_graph.emit_cell(b, params, z, states)

    def emit_ready(self, b: Builder, params: Names) -> Names:
        return _leaky_graph.emit_ready(self, b, params)

    def emit_learn(
        self, b: Builder, params: Names, x: str, labels: str, readout: Readout, p: str | None
    ) -> Learning:
        return _leaky_graph.emit_learning(self, b, params, x, labels, readout, p)


def _group_rates(params: Params) -> F32:
    """The rate of each group."""
    return as_f32(1 / (1 + np.exp(-params["leak"])))


LAYER = Leaky
EXAMPLES = (
    (Leaky(units=4), (5, 3)),
    (Leaky(units=5, groups=2, returns="last", trainable=True), (6, 2)),
    (Leaky(units=7, groups=3, returns="mean", masked=True, trainable=True), (6, 4)),
    (Leaky(units=6, returns="sequence", masked=True, reverse=True, memory=9.0), (40, 3)),
    (Leaky(units=3, groups=1, returns="last_mean", masked=True), (5, 3)),
)
