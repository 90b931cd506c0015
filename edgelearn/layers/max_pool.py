"""Pooling of images: the max of each window."""

from __future__ import annotations

from typing import ClassVar

from edgelearn import kernels
from edgelearn.arrays import F32
from edgelearn.layers._base import Params, Trace
from edgelearn.layers._pooling import Pooling


class MaxPool(Pooling, frozen=True):
    """The max of each window of an image, channel by channel."""

    kind: ClassVar[str] = "max_pool"

    def forward(self, params: Params, x: F32, out: F32, scratch: F32) -> Trace[F32]:
        x, geometry = self.slides(x)
        kernels.spatial.max_pool(x, *geometry, out)
        return Trace(x, out)


LAYER = MaxPool
EXAMPLES = (
    (MaxPool(), (6, 4, 3)),
    (MaxPool(window=3, stride=2), (7, 6, 2)),
    (MaxPool(window=3, stride=2, padding="same"), (8, 7)),
)
