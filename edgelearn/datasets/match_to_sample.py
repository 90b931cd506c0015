"""Delayed match to sample: is the last symbol the first one, after 5 to 20 others?

The first and the last are one of A, B, C, D, those between of W, X, Y, Z, at random. 8,000
different sequences, half of them matching; 6,000 are for training and 2,000 for testing. A sample
is one symbol a step, one of 8, and the mask. A test of memory over distraction.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from edgelearn.datasets._base import Dataset, DataSpec, Progress, Source
from edgelearn.datasets._symbols import distinct, draws, labelled

SAMPLES, DISTRACTORS = b"ABCD", b"WXYZ"
CLASSES = ("different", "same")
SHORTEST, LONGEST = 5, 20
"""The delay, in steps."""
SEQUENCES, TEST = 4_000, 1_000
"""Of each class."""


def describe(source: Source) -> DataSpec:
    """22 steps of 8 symbols and the mask, two classes."""
    return DataSpec((LONGEST + 2, len(SAMPLES + DISTRACTORS) + 1), CLASSES, masked=True)


def load(source: Source, progress: Progress) -> Dataset:
    """One-hot symbols, uint8, masked."""
    members = [distinct(partial(_drawn, same), SEQUENCES) for same in (False, True)]
    return labelled("match_to_sample", members, TEST, SAMPLES + DISTRACTORS, CLASSES)


def _drawn(same: bool, index: int) -> Iterator[bytes]:
    first = 4 * (2 * index + same)
    between = np.frombuffer(DISTRACTORS, np.uint8)[draws(first, LONGEST, len(DISTRACTORS))]
    delays = SHORTEST + draws(first + 1, 1, LONGEST - SHORTEST + 1)[:, 0]
    shown = draws(first + 2, 1, len(SAMPLES))[:, 0]
    turned = 0 if same else 1 + draws(first + 3, 1, len(SAMPLES) - 1)[:, 0]
    last = (shown + turned) % len(SAMPLES)
    for row, delay, a, b in zip(between, delays, shown, last, strict=True):
        yield SAMPLES[a : a + 1] + row[:delay].tobytes() + SAMPLES[b : b + 1]
