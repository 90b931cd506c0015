"""Strings of the Reber grammar and others: the task of the study of sparsity in recurrent networks.

25,000 different strings of 11 to 53 letters, half of them grammatical; 18,750 are for training and
6,250 for testing. Of the others, half are walks on the same diagram with any letters of the
alphabet on its arrows, and half on the diagram with the letters of two arrows exchanged: the two
kinds that the data of the study show. A sample is one letter a step, one of 26, and the mask.

Source: task and sizes from "Investigating Sparsity in Recurrent Neural Networks"
(arXiv:2407.20601), whose own strings are not used; the grammar from Reber (1967).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from edgelearn.datasets._base import Dataset, DataSpec, Progress, Source
from edgelearn.datasets._reber_grammar import END, accepts, letters, turns, walks
from edgelearn.datasets._symbols import DRAWN, distinct, draws, labelled

ALPHABET = bytes(range(ord("A"), ord("Z") + 1))
CLASSES = ("other", "grammatical")
SHORTEST, LONGEST = 11, 53
STRINGS, TEST = 12_500, 3_125
"""Of each class."""
GRAMMATICAL, OTHER_LETTERS, EXCHANGED = range(3)


def describe(source: Source) -> DataSpec:
    """53 steps of 26 letters and the mask, two classes."""
    return DataSpec((LONGEST, len(ALPHABET) + 1), CLASSES, masked=True)


def load(source: Source, progress: Progress) -> Dataset:
    """One-hot letters, uint8, masked."""
    good = distinct(partial(_drawn, GRAMMATICAL), STRINGS)
    kinds = [distinct(partial(_others, kind), STRINGS // 2) for kind in (OTHER_LETTERS, EXCHANGED)]
    bad = [string for pair in zip(*kinds, strict=True) for string in pair]
    return labelled("reber", (bad, good), TEST, ALPHABET, CLASSES)


def _others(kind: int, index: int) -> Iterator[bytes]:
    return (string for string in _drawn(kind, index) if not accepts(string))


def _drawn(kind: int, index: int) -> Iterator[bytes]:
    """Strings of one kind, long enough; an exchange of two arrows may not show in a string."""
    first = 4 * (4 * index + kind)
    arrows = np.broadcast_to(letters(), (DRAWN, END, 2)).copy()
    if kind == OTHER_LETTERS:
        arrows[:, :-1] = draws(first + 1, 2 * (END - 1), 26).reshape(DRAWN, END - 1, 2) + ord("A")
    elif kind == EXCHANGED:
        flat, rows = arrows.reshape(DRAWN, -1), np.arange(DRAWN)
        one, other = draws(first + 2, 2, 2 * (END - 1)).T
        flat[rows, one], flat[rows, other] = flat[rows, other], flat[rows, one]
    return walks(turns(first, LONGEST - 1), arrows, SHORTEST)
