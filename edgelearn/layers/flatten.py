"""All elements of a sample in a row, or of each step of a sequence."""

from __future__ import annotations

import math
from typing import ClassVar

import msgspec

from edgelearn.arrays import F32, Shape
from edgelearn.errors import ConfigError
from edgelearn.ir.builder import Builder
from edgelearn.ir.ops import Reshape
from edgelearn.ir.tensor import BATCH
from edgelearn.layers._base import Names, Params, Trace


class Flatten(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The same elements as (features,), or with `keep_steps` as (steps, features).

    A dense layer flattens by itself; a recurrent one on a sequence of images needs the latter.
    """

    kind: ClassVar[str] = "flatten"
    keep_steps: bool = False

    def out_shape(self, in_shape: Shape) -> Shape:
        if not self.keep_steps:
            return (math.prod(in_shape),)
        if len(in_shape) < 2:
            raise ConfigError(
                "layer of kind 'flatten'",
                expected="sequences of shape [steps, ...] where keep_steps = true",
                got=f"an input of shape {list(in_shape)}",
                fix="leave keep_steps out",
            )
        return in_shape[0], math.prod(in_shape[1:])

    def init(self, in_shape: Shape, seed: int, index: int) -> Params:
        return {}

    def scratch_size(self, in_shape: Shape, batch: int) -> int:
        return 0

    def forward(self, params: Params, x: F32, out: F32, scratch: F32) -> Trace[F32]:
        out[:] = x.reshape(out.shape)
        return Trace(x, out)

    def emit(self, b: Builder, params: Names, x: str) -> Trace[str]:
        shape = self.out_shape(b.specs[x].shape[1:])
        return Trace(x, b.apply(Reshape((BATCH, *shape)), x))


LAYER = Flatten
EXAMPLES = (
    (Flatten(), (4, 3, 2)),
    (Flatten(keep_steps=True), (3, 4, 2, 2)),
)
