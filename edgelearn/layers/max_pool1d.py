"""Pooling of sequences: the max of each window."""

from __future__ import annotations

from typing import ClassVar

from edgelearn.ir.ops_spatial import PoolKind
from edgelearn.layers._images import SEQUENCES, Form
from edgelearn.layers._pooling import Pooling


class MaxPool1d(Pooling, frozen=True):
    """The max of each window of a sequence (steps, channels), channel by channel."""

    kind: ClassVar[str] = "max_pool1d"
    form: ClassVar[Form] = SEQUENCES
    takes: ClassVar[PoolKind] = "max"


LAYER = MaxPool1d
EXAMPLES = (
    (MaxPool1d(), (6, 3)),
    (MaxPool1d(window=3, stride=2), (8, 2)),
    (MaxPool1d(window=3, stride=2, padding="same"), (9, 4)),
)
