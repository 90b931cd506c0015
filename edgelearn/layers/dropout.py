"""Some elements are 0 while the layers that read them learn, others the next time."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
import numpy as np

from edgelearn import kernels
from edgelearn.arrays import F32, Shape
from edgelearn.ir.builder import Builder
from edgelearn.ir.ops import Concat, Keep, Slice
from edgelearn.ir.ops_chance import ALL
from edgelearn.layers._base import Names, Params, Trace


class Dropout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Drops a share of its input by chance, and divides the rest by the share that it keeps.

    Only while a layer that reads it learns; otherwise, and in inference, it does nothing, and costs
    nothing in a Graph. What is dropped follows from the seed and the number of the step, so that a
    resumed run, and an exported training step, drop the same.

    Parameters
    ----------
    rate : float
        The share that is dropped.
    masked : bool
        Whether the last channel of the input is the mask of a sequence, which stays as it is.

    Notes
    -----
    Source: dropout (Srivastava et al. 2014, JMLR 15), in the form that changes nothing later.
    """

    kind: ClassVar[str] = "dropout"
    rate: Annotated[float, msgspec.Meta(ge=0, le=0.99)] = 0.5
    masked: bool = False

    @property
    def share(self) -> int:
        """How many of 2**24 are kept."""
        return round((1 - self.rate) * ALL)

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape

    def init(self, in_shape: Shape, seed: int, index: int) -> Params:
        return {}

    def scratch_size(self, in_shape: Shape, batch: int) -> int:
        return 0

    def forward(self, params: Params, x: F32, out: F32, scratch: F32) -> Trace[F32]:
        out[:] = x
        return Trace(x, out)

    def emit(self, b: Builder, params: Names, x: str) -> Trace[str]:
        return Trace(x, x)

    def emit_step(self, b: Builder, params: Names, x: str, name: str) -> str:
        return x

    def drop(self, x: F32, out: F32, key: int, step: int) -> Trace[F32]:
        scale = np.float32(ALL) / np.float32(self.share)
        low, high = key % (1 << 31), key >> 31
        kernels.dropout.drop(x.ravel(), low, high, step, self.share, scale, out.ravel())
        if self.masked:
            out[..., -1] = x[..., -1]
        return Trace(x, out)

    def emit_drop(self, b: Builder, x: str, key: int, step: str) -> Trace[str]:
        kept = b.apply(Keep(self.share, key), x, step)
        if self.masked:
            *axes, size = b.specs[x].shape
            features = b.apply(Slice(len(axes), 0, size - 1), kept)
            mask = b.apply(Slice(len(axes), size - 1, size), x)
            kept = b.apply(Concat(len(axes)), features, mask)
        return Trace(x, kept)


LAYER = Dropout
EXAMPLES = (
    (Dropout(), (12,)),
    (Dropout(rate=0.2), (5, 4, 3)),
    (Dropout(rate=0.2, masked=True), (6, 3)),
)
