"""LSTM, learning one step at a time."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from edgelearn import kernels
from edgelearn.arrays import Shape
from edgelearn.ir.builder import Builder
from edgelearn.ir.ops import Concat, Slice
from edgelearn.layers._base import Names, Params
from edgelearn.layers._cell_graph import CellStep
from edgelearn.layers._sequence import chrono
from edgelearn.layers._stepwise import Stepwise


class Lstm(Stepwise, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``s = f s + i g``, ``h = o tanh(s)``: input, forget and output gates, and a memory cell s.

    ``i, f, o = sigmoid(x w + h u + b)``, ``g = tanh(x w + h u + b)``; `w` (features, 4 units) and
    `u` (units, 4 units) hold i, f, o, g.

    Parameters
    ----------
    memory : float, optional
        The longest time, in steps, that the forget gates begin with; the number of steps by
        default.

    Notes
    -----
    Source: LSTM with forget gates (Gers, Schmidhuber & Cummins 2000); chrono initialisation of
    both gates (Tallec & Ollivier 2018). Learning: `edgelearn.layers._stepwise`; the cell of the
    step before is taken as it is, too.
    """

    kind: ClassVar[str] = "lstm"
    gates: ClassVar[int] = 4
    memories: ClassVar[int] = 2
    memory: Annotated[float, msgspec.Meta(gt=1, le=1e6)] | None = None

    def init(self, in_shape: Shape, seed: int, index: int) -> Params:
        params = super().init(in_shape, seed, index)
        times = chrono(self.memory or in_shape[0], self.units, seed, index)
        params["b"][: self.units] = -times
        params["b"][self.units : 2 * self.units] = times
        return params

    @property
    def code(self) -> int:
        return kernels.recurrent.LSTM

    def emit_cell(
        self, b: Builder, params: Names, a: str, u: str | None, states: list[str]
    ) -> CellStep:
        z = a if u is None else b.binary("add", a, u)
        parts = [b.apply(Slice(1, n * self.units, (n + 1) * self.units), z) for n in range(4)]
        i, f, o = (b.unary("sigmoid", part) for part in parts[:3])
        g = b.unary("tanh", parts[3])
        new = b.binary("mul", i, g)
        kept = b.binary("mul", f, states[1]) if states else None
        cell = b.binary("add", kept, new) if kept else new
        out = b.unary("tanh", cell)
        h = b.binary("mul", o, out)
        one = b.scalar(1)

        def slope(gate: str) -> str:
            return b.binary("mul", gate, b.binary("sub", one, gate))

        by_cell = b.binary("mul", o, b.binary("sub", one, b.binary("mul", out, out)))
        by_g = b.binary("mul", i, b.binary("sub", one, b.binary("mul", g, g)))
        by_f = b.binary("mul", slope(f), states[1]) if states else b.binary("sub", f, f)
        inner = [b.binary("mul", g, slope(i)), by_f]
        slopes = [b.binary("mul", by_cell, part) for part in inner]
        slopes += [b.binary("mul", out, slope(o)), b.binary("mul", by_cell, by_g)]
        every = b.apply(Concat(1, 4), *slopes)
        return CellStep([h, cell], every, every)


LAYER = Lstm
EXAMPLES = (
    (Lstm(units=4), (5, 3)),
    (Lstm(units=3, returns="last", targets="last"), (4, 2)),
    (Lstm(units=4, returns="sequence", masked=True), (40, 3)),
    (Lstm(units=5, returns="last", targets="last", masked=True), (6, 3)),
    (Lstm(units=3, returns="last_mean", targets="last", masked=True, reverse=True), (6, 3)),
)
