"""Pooling over all places of an image or sequence: one number a channel."""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec
import numpy as np

from edgelearn.arrays import F32, Shape
from edgelearn.errors import ConfigError
from edgelearn.ir.builder import Builder
from edgelearn.ir.ops import Reduce
from edgelearn.layers._base import Names, Params, Trace


class GlobalPool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The mean or max over all places, channel by channel: (channels,), the last axis of the input.

    Parameters
    ----------
    takes : {"mean", "max"}
    keep_steps : bool
        Of a sequence, pool each step on its own: (steps, channels).
    """

    kind: ClassVar[str] = "global_pool"
    takes: Literal["mean", "max"] = "mean"
    keep_steps: bool = False

    def out_shape(self, in_shape: Shape) -> Shape:
        if len(in_shape) < 2 + self.keep_steps:
            raise ConfigError(
                "layer of kind 'global_pool'",
                expected="sequences of shape [steps, ..., channels] where keep_steps = true"
                if self.keep_steps
                else "images or sequences, with their channels last",
                got=f"an input of shape {list(in_shape)}",
                fix="put it before layers that flatten",
            )
        return (*in_shape[: self.keep_steps], in_shape[-1])

    def init(self, in_shape: Shape, seed: int, index: int) -> Params:
        return {}

    def scratch_size(self, in_shape: Shape, batch: int) -> int:
        return 0

    def forward(self, params: Params, x: F32, out: F32, scratch: F32) -> Trace[F32]:
        channels = x.shape[-1]
        pooled = out.reshape(-1, channels)
        places = x.reshape(len(pooled), -1, channels)
        if self.takes == "max":
            np.max(places, axis=1, out=pooled)
        else:
            np.sum(places, axis=1, out=pooled)
            pooled *= np.float32(1 / places.shape[1])
        return Trace(x, out)

    def emit(self, b: Builder, params: Names, x: str) -> Trace[str]:
        axes = tuple(range(1 + self.keep_steps, len(b.specs[x].shape) - 1))
        return Trace(x, b.apply(Reduce(self.takes, axes), x))


LAYER = GlobalPool
EXAMPLES = (
    (GlobalPool(), (5, 4, 3)),
    (GlobalPool(takes="max"), (6, 3)),
    (GlobalPool(), (3, 4, 4, 2)),
    (GlobalPool(takes="max", keep_steps=True), (3, 4, 4, 2)),
)
