"""The recurrent layer of Jordan: outputs are fed back, not the state."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import msgspec
import numpy as np

from edgelearn.arrays import F32, Shape
from edgelearn.ir.builder import Builder
from edgelearn.layers._base import Names, Params
from edgelearn.layers.elman import Elman
from edgelearn.rng import Stream, normal


class Jordan(Elman, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``h = act(x w + y u + b)``, where ``y = tanh(h o)`` are the outputs of the step before.

    A layer that learns locally has no outputs of the network to feed back: it makes its own, by a
    random matrix `o` (units, outputs) that never changes.

    Parameters
    ----------
    activation : {"tanh", "relu"}
    outputs : int
        How many values are fed back.

    Notes
    -----
    Source: Jordan (1986). Learning: `edgelearn.layers._stepwise`.
    """

    kind: ClassVar[str] = "jordan"
    outputs: Annotated[int, msgspec.Meta(ge=1, le=1 << 16)] = 16

    @property
    def constants(self) -> frozenset[str]:
        return frozenset({"o"})

    def fed_size(self) -> int:
        return self.outputs

    def feedback(self, params: Params) -> F32:
        return params["o"]

    def emit_feed(self, b: Builder, params: Names, h: str) -> str:
        return b.unary("tanh", b.matmul(h, params["o"]))

    def init(self, in_shape: Shape, seed: int, index: int) -> Params:
        params = super().init(in_shape, seed, index)
        draws = normal(seed, Stream.RECURRENT, index, (self.units, self.outputs))
        fixed = (draws / math.sqrt(self.units)).astype(np.float32)
        return {**params, "o": fixed}


LAYER = Jordan
EXAMPLES = (
    (Jordan(units=4), (5, 3)),
    (Jordan(units=5, activation="relu", outputs=2, returns="last"), (6, 2)),
    (Jordan(units=3, outputs=3, reverse=True), (5, 2)),
    (Jordan(units=4, outputs=3, returns="sequence"), (6, 2)),
)
