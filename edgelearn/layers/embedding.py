"""Tokens as vectors: each has a row of a table, and learns when it is seen."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
import numpy as np

from edgelearn import kernels
from edgelearn.arrays import F32, Shape
from edgelearn.errors import ConfigError, DataValueError
from edgelearn.ir.builder import Builder
from edgelearn.ir.ops import AddOuter, Concat, Gather, OneHot, Reduce, Reshape, Slice, ToInt
from edgelearn.ir.tensor import BATCH
from edgelearn.layers._base import Names, Params, Trace
from edgelearn.rng import Stream, uniform
from edgelearn.views import RealSteps


class Embedding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tokens (steps,) to rows of `w` (vocabulary, units): a sequence (steps, units).

    Tokens are whole numbers from 0 to ``vocabulary - 1``, held as float32: a recipe leaves them as
    they are with ``normalize = "none"``. The engine refuses any other number; the Graph takes the
    nearest that there is. The readout sees the mean over the steps.

    Parameters
    ----------
    vocabulary, units : int
    masked : bool
        Whether samples are (steps, 2), the second channel saying which steps count; it comes
        after the units of the output too.

    Notes
    -----
    An update moves the rows of the tokens seen, ``w[token] -= rate * e / steps``. In the Graph it
    holds batch * steps * vocabulary numbers while it counts them.
    """

    kind: ClassVar[str] = "embedding"
    vocabulary: Annotated[int, msgspec.Meta(ge=1, le=1 << 24)]
    units: Annotated[int, msgspec.Meta(ge=1, le=1 << 16)]
    masked: bool = False

    def out_shape(self, in_shape: Shape) -> Shape:
        if len(in_shape) != 1 + self.masked or (self.masked and in_shape[1] != 2):
            raise ConfigError(
                "layer of kind 'embedding'",
                expected="tokens with a mask, [steps, 2]" if self.masked else "tokens, [steps]",
                got=f"an input of shape {list(in_shape)}",
                fix="put it first, on data of tokens; set masked = true if there are lengths",
            )
        return in_shape[0], self.units + self.masked

    def init(self, in_shape: Shape, seed: int, index: int) -> Params:
        shape = (self.vocabulary, self.units)
        return {"w": uniform(seed, Stream.INIT, index, shape, 3**0.5)}

    def view(self, in_shape: Shape) -> RealSteps:
        return RealSteps(in_shape[0], self.units, self.masked)

    def scratch_size(self, in_shape: Shape, batch: int) -> int:
        return 2

    def forward(self, params: Params, x: F32, out: F32, scratch: F32) -> Trace[F32]:
        tokens = x.reshape(*x.shape[:2], 1 + self.masked)
        self._check(tokens, scratch[:2])
        kernels.lookup.rows(tokens, params["w"], out)
        return Trace(tokens, out)

    def _check(self, tokens: F32, bad: F32) -> None:
        kernels.lookup.unknown(tokens, self.vocabulary, bad)
        if bad[0]:
            raise DataValueError(
                "layer of kind 'embedding'",
                expected=f"whole numbers from 0 to {self.vocabulary - 1}",
                got=f"{bad[1]:g} ({bad[0]:g} such tokens in the batch)",
                fix='raise vocabulary, or write normalize = "none" under [input]',
            )

    def update(
        self, params: Params, trace: Trace[F32], e: F32, rate: float, into: Params, scratch: F32
    ) -> None:
        e *= np.float32(-rate)
        kernels.lookup.add_to_rows(trace.x, e, into["w"])

    def emit(self, b: Builder, params: Names, x: str) -> Trace[str]:
        tokens, steps = x, b.specs[x].shape[1]
        if self.masked:
            tokens = b.apply(Reshape((BATCH, steps)), b.apply(Slice(2, 0, 1), x))
        low = b.binary("max", tokens, b.scalar(0))
        places = b.apply(ToInt(), b.binary("min", low, b.scalar(self.vocabulary - 1)))
        a = b.apply(Gather(), params["w"], places)
        if self.masked:
            a = b.apply(Concat(2), a, b.apply(Slice(2, 1, 2), x))
        return Trace(places, a)

    def emit_update(
        self, b: Builder, params: Names, trace: Trace[str], e: str, rate: str, into: Names
    ) -> Names:
        share = self.view(b.specs[trace.a].shape[1:]).emit_share(b, trace.a)
        hits = b.binary("mul", b.apply(OneHot(self.vocabulary), trace.x), share)
        counts = b.apply(Reduce("sum", (1,)), hits)
        step = b.binary("mul", e, b.unary("neg", rate), name=b.fresh("d"))
        return {"w": b.apply(AddOuter(), into["w"], counts, step, name=b.fresh("w"))}


LAYER = Embedding
EXAMPLES = (
    (Embedding(vocabulary=5, units=6), (8,)),
    (Embedding(vocabulary=4, units=9, masked=True), (6, 2)),
)
