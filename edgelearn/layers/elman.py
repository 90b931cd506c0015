"""The plain recurrent layer of Elman, learning one step at a time."""

from __future__ import annotations

from typing import ClassVar, Literal

from edgelearn import kernels
from edgelearn.ir.builder import Builder
from edgelearn.layers import _activations
from edgelearn.layers._base import Names
from edgelearn.layers._cell_graph import CellStep
from edgelearn.layers._stepwise import Stepwise


class Elman(Stepwise, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``h = act(x w + h u + b)``.

    Parameters
    ----------
    activation : {"tanh", "relu"}

    Notes
    -----
    Source: Elman (1990). Without gates or time constants a state forgets within a few steps, and
    a gradient of one step cannot teach it otherwise: take `gru`, `leaky` or `mingru` for sequences
    that need memory. Learning: `edgelearn.layers._stepwise`.
    """

    kind: ClassVar[str] = "elman"
    gates: ClassVar[int] = 1
    activation: Literal["tanh", "relu"] = "tanh"

    @property
    def code(self) -> int:
        return (
            kernels.recurrent.ELMAN_RELU if self.activation == "relu" else kernels.recurrent.ELMAN
        )

    def emit_cell(
        self, b: Builder, params: Names, a: str, u: str | None, states: list[str]
    ) -> CellStep:
        z = a if u is None else b.binary("add", a, u)
        h = _activations.emit(b, self.activation, z)
        one = b.scalar(1)
        if self.activation == "tanh":
            slope = b.binary("sub", one, b.binary("mul", h, h))
        else:
            slope = b.unary("sign", h)
        return CellStep([h], slope, slope)


LAYER = Elman
EXAMPLES = (
    (Elman(units=4), (5, 3)),
    (Elman(units=5, activation="relu", returns="last"), (6, 2)),
    (Elman(units=3, returns="sequence", masked=True), (5, 3)),
)
