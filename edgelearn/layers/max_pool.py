"""Pooling of images: the max of each window."""

from __future__ import annotations

from typing import ClassVar

from edgelearn.ir.ops_spatial import PoolKind
from edgelearn.layers._pooling import Pooling


class MaxPool(Pooling, frozen=True):
    """The max of each window of an image, or of each image of a sequence, channel by channel."""

    kind: ClassVar[str] = "max_pool"
    takes: ClassVar[PoolKind] = "max"


LAYER = MaxPool
EXAMPLES = (
    (MaxPool(), (6, 4, 3)),
    (MaxPool(window=3, stride=2), (7, 6, 2)),
    (MaxPool(window=3, stride=2, padding="same"), (8, 7)),
    (MaxPool(), (3, 5, 4, 2)),
)
