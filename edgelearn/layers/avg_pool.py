"""Pooling of images: the mean of each window."""

from __future__ import annotations

from typing import ClassVar

from edgelearn.ir.ops_spatial import PoolKind
from edgelearn.layers._pooling import Pooling


class AvgPool(Pooling, frozen=True):
    """The mean of each window of an image, or of each image of a sequence, channel by channel."""

    kind: ClassVar[str] = "avg_pool"
    takes: ClassVar[PoolKind] = "avg"


LAYER = AvgPool
EXAMPLES = (
    (AvgPool(), (6, 4, 3)),
    (AvgPool(window=3, stride=2), (7, 6, 2)),
    (AvgPool(window=3, stride=2, padding="same"), (8, 7)),
    (AvgPool(), (3, 5, 4, 2)),
)
