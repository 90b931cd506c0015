"""Pooling of sequences: the mean of each window."""

from __future__ import annotations

from typing import ClassVar

from edgelearn.ir.ops_spatial import PoolKind
from edgelearn.layers._images import SEQUENCES, Form
from edgelearn.layers._pooling import Pooling


class AvgPool1d(Pooling, frozen=True):
    """The mean of each window of a sequence (steps, channels), channel by channel."""

    kind: ClassVar[str] = "avg_pool1d"
    form: ClassVar[Form] = SEQUENCES
    takes: ClassVar[PoolKind] = "avg"


LAYER = AvgPool1d
EXAMPLES = (
    (AvgPool1d(), (6, 3)),
    (AvgPool1d(window=3, stride=2), (8, 2)),
    (AvgPool1d(window=3, stride=2, padding="same"), (9, 4)),
)
