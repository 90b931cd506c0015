"""GRU, learning one step at a time."""

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


class Gru(Stepwise, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``h = (1 - z) h + z c``: reset r and update z read the input and `h`, so does c.

    ``r, z = sigmoid(x w + h u + b)``, ``c = tanh(x w + r * (h u) + b)``; `w` (features, 3 units)
    and `u` (units, 3 units) hold r, z, c.

    Parameters
    ----------
    memory : float, optional
        The longest time, in steps, that the update gates begin with; the number of steps by
        default.

    Notes
    -----
    Source: GRU (Cho et al. 2014), reset after the product as in cuDNN; times drawn as in chrono
    initialisation (Tallec & Ollivier 2018). Learning: `edgelearn.layers._stepwise`.
    """

    kind: ClassVar[str] = "gru"
    gates: ClassVar[int] = 3
    gains: ClassVar[bool] = True
    memory: Annotated[float, msgspec.Meta(gt=1, le=1e6)] | None = None

    def init(self, in_shape: Shape, seed: int, index: int) -> Params:
        params = super().init(in_shape, seed, index)
        times = chrono(self.memory or in_shape[0], self.units, seed, index)
        params["b"][self.units : 2 * self.units] = -times
        return params

    @property
    def code(self) -> int:
        return kernels.recurrent.GRU

    def emit_cell(
        self, b: Builder, params: Names, a: str, u: str | None, states: list[str]
    ) -> CellStep:
        parts = [b.apply(Slice(1, i * self.units, (i + 1) * self.units), a) for i in range(3)]
        fed = None
        if u is not None:
            back = [b.apply(Slice(1, i * self.units, (i + 1) * self.units), u) for i in range(3)]
            parts[:2] = [b.binary("add", p, q) for p, q in zip(parts[:2], back[:2], strict=True)]
            fed = back[2]
        r, z = (b.unary("sigmoid", part) for part in parts[:2])
        inner = parts[2] if fed is None else b.binary("add", parts[2], b.binary("mul", r, fed))
        c = b.unary("tanh", inner)
        gap = b.binary("sub", c, states[0]) if states else c
        change = b.binary("mul", z, gap)
        h = b.binary("add", states[0], change) if states else change
        one = b.scalar(1)
        by_c = b.binary("mul", z, b.binary("sub", one, b.binary("mul", c, c)))
        by_z = b.binary("mul", gap, b.binary("mul", z, b.binary("sub", one, z)))
        reset = b.binary("mul", r, b.binary("sub", one, r))
        by_r = b.binary("mul", reset, b.binary("mul", by_c, fed)) if fed else b.binary("sub", r, r)
        slopes = b.apply(Concat(1, 3), by_r, by_z, by_c)
        recurrent = b.apply(Concat(1, 3), by_r, by_z, b.binary("mul", by_c, r))
        return CellStep([h], slopes, recurrent)


LAYER = Gru
EXAMPLES = (
    (Gru(units=4), (5, 3)),
    (Gru(units=3, returns="last", targets="last"), (4, 2)),
    (Gru(units=5, returns="mean", masked=True), (6, 4)),
    (Gru(units=4, returns="sequence", masked=True), (40, 3)),
    (Gru(units=5, returns="sequence", masked=True, reverse=True), (7, 3)),
)
