"""Strings of the embedded Reber grammar: a letter must come again after a string of the grammar.

Between two Ts, or two Ps, stands a whole string of the Reber grammar; only whether the second is
the first one tells the classes apart, so a network must keep it for 5 to 36 steps. 10,000 different
strings of 9 to 40 letters, half of them grammatical; 7,500 are for training and 2,500 for testing.
A sample is one letter a step, one of 7, and the mask.

Source: Hochreiter & Schmidhuber (1997), as a classification.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgelearn.datasets._base import Dataset, DataSpec, Progress, Source
from edgelearn.datasets._reber_grammar import LETTERS, letters, turns, walks
from edgelearn.datasets._symbols import distinct, draws, labelled

CLASSES = ("other", "grammatical")
LONGEST = 40
STRINGS, TEST = 5_000, 1_250
"""Of each class."""


def describe(source: Source) -> DataSpec:
    """40 steps of 7 letters and the mask, two classes."""
    return DataSpec((LONGEST, len(LETTERS) + 1), CLASSES, masked=True)


def load(source: Source, progress: Progress) -> Dataset:
    """One-hot letters, uint8, masked."""
    found = distinct(_drawn, 2 * STRINGS)
    members = [found[half * STRINGS : (half + 1) * STRINGS] for half in (0, 1)]
    bad = [string[:-2] + (b"P" if string[-2:-1] == b"T" else b"T") + b"E" for string in members[0]]
    return labelled("embedded_reber", (bad, members[1]), TEST, LETTERS, CLASSES)


def _drawn(index: int) -> Iterator[bytes]:
    """Grammatical strings."""
    inner = walks(turns(2 * index, LONGEST - 5), letters())
    for string, choice in zip(inner, draws(2 * index + 1, 1, 2)[:, 0], strict=False):
        kept = b"TP"[choice : choice + 1]
        yield b"B" + kept + string + kept + b"E"
