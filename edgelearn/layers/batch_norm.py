"""Normalisation of channels by statistics that follow the data: one formula at any batch size."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, ClassVar

import msgspec
import numpy as np

from edgelearn import kernels
from edgelearn.arrays import F32, Shape
from edgelearn.ir.builder import Builder
from edgelearn.ir.ops import Reduce
from edgelearn.layers._base import Names, Params, Trace

EPSILON = 1e-5


class BatchNorm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``(x - mean) / sqrt(variance + 1e-5)``, channel by channel: the last axis.

    `mean` and `variance`, shape (channels,), begin as those of the data and follow it while the
    next layer that learns does. Training and inference use the same numbers, so a sample is
    normalised alike alone and in any batch, and no statistics of a batch are kept.

    Parameters
    ----------
    memory : float
        How many samples the statistics look back on.

    Notes
    -----
    Source: batch normalisation (Ioffe & Szegedy 2015, arXiv:1502.03167) with the statistics of
    inference all along, without gain and offset, which the next layer's weights can express. The
    moments follow as in Finch (2009), "Incremental calculation of weighted mean and variance".
    """

    kind: ClassVar[str] = "batch_norm"
    memory: Annotated[float, msgspec.Meta(ge=1, le=1e9)] = 1000.0

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape

    def init(self, in_shape: Shape, seed: int, index: int) -> Params:
        channels = in_shape[-1:]
        return {"mean": np.zeros(channels, np.float32), "variance": np.ones(channels, np.float32)}

    @property
    def starts_from_data(self) -> bool:
        return True

    def start_bytes(self, in_shape: Shape, batch: int) -> int:
        return 2 * 8 * batch * math.prod(in_shape)

    def start(self, params: Params, inputs: Iterable[F32]) -> None:
        count, total, squares = 0, np.zeros(()), np.zeros(())
        for x in inputs:
            places = x.reshape(-1, x.shape[-1]).astype(np.float64)
            count += len(places)
            total = total + places.sum(axis=0)
            squares = squares + (places * places).sum(axis=0)
        params["mean"][:] = total / count
        params["variance"][:] = (squares / count - (total / count) ** 2).clip(min=0)

    def scratch_size(self, in_shape: Shape, batch: int) -> int:
        return 4 * in_shape[-1]

    def forward(self, params: Params, x: F32, out: F32, scratch: F32) -> Trace[F32]:
        channels, scale = x.shape[-1], scratch[: x.shape[-1]]
        places, target = x.reshape(-1, channels), out.reshape(-1, channels)
        kernels.norms.by_statistics(
            places, params["mean"], params["variance"], EPSILON, scale, target
        )
        return Trace(x, out)

    def follow(self, params: Params, x: F32, scratch: F32) -> None:
        channels = x.shape[-1]
        share = min(len(x) / self.memory, 1.0)
        sums = scratch[: 4 * channels].reshape(4, channels)
        places = x.reshape(len(x), -1, channels)
        kernels.norms.follow(places, share, sums, params["mean"], params["variance"])

    def emit(self, b: Builder, params: Names, x: str) -> Trace[str]:
        spread = b.unary("sqrt", b.binary("add", params["variance"], b.scalar(EPSILON)))
        return Trace(x, b.binary("div", b.binary("sub", x, params["mean"]), spread))

    def emit_follow(self, b: Builder, params: Names, x: str, samples: str) -> Names:
        share = b.binary("min", b.binary("div", samples, b.scalar(self.memory)), b.scalar(1))
        axes = tuple(range(len(b.specs[x].shape) - 1))
        gap = b.binary("sub", x, params["mean"])
        square = b.apply(Reduce("mean", axes), b.binary("mul", gap, gap))
        step = b.binary("mul", share, b.apply(Reduce("mean", axes), gap))
        growth = b.binary("mul", share, b.binary("sub", square, params["variance"]))
        change = b.binary("sub", growth, b.binary("mul", step, step))
        return {
            "mean": b.binary("add", params["mean"], step),
            "variance": b.binary("add", params["variance"], change),
        }


LAYER = BatchNorm
EXAMPLES = (
    (BatchNorm(), (12,)),
    (BatchNorm(memory=20), (5, 4, 3)),
    (BatchNorm(memory=2), (6, 3)),
)
