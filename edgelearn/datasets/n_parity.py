"""Parity: whether a sequence of 2 to 10 bits holds an odd number of ones; all 2,044 there are.

1,532 are for training and 512 for testing, as many of each class. A sample is one bit a step,
one-hot, and the mask. A test of state: any single step may turn the answer.
"""

from __future__ import annotations

from edgelearn.datasets._base import Dataset, DataSpec, Progress, Source
from edgelearn.datasets._symbols import labelled
from edgelearn.rng import Stream, permutation

CLASSES = ("even", "odd")
SHORTEST, LONGEST = 2, 10
TEST = 256
"""Of each class."""


def describe(source: Source) -> DataSpec:
    """10 steps of a one-hot bit and the mask, two classes."""
    return DataSpec((LONGEST, 3), CLASSES, masked=True)


def load(source: Source, progress: Progress) -> Dataset:
    """One-hot bits, uint8, masked."""
    lengths = range(SHORTEST, LONGEST + 1)
    every = [f"{n:0{size}b}".encode() for size in lengths for n in range(1 << size)]
    mixed = [every[i] for i in permutation(0, Stream.DATA, 0, len(every))]
    members = [[bits for bits in mixed if bits.count(b"1") % 2 == odd] for odd in (0, 1)]
    return labelled("n_parity", members, TEST, b"01", CLASSES)
