"""Sequences of symbols that are drawn, not collected: the same ones for ever and everywhere.

A sequence is `bytes`, one letter a step, so that it can be read; a sample is one-hot with a mask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from edgelearn.arrays import Array
from edgelearn.datasets._base import Dataset
from edgelearn.datasets._masks import with_mask
from edgelearn.rng import Stream, bits, permutation

DRAWN = 4096
"""Sequences that are drawn at once."""


def draws(index: int, steps: int, choices: int) -> Array:
    """Numbers from 0 to ``choices - 1``, shape (DRAWN, steps); the same for the same `index`."""
    drawn = bits(0, Stream.DATA, index, DRAWN * steps) >> np.uint64(32)
    return (drawn % np.uint64(choices)).astype(np.int64).reshape(DRAWN, steps)


def distinct(draw: Callable[[int], Iterable[bytes]], count: int) -> list[bytes]:
    """The first `count` different sequences of those that ``draw(0), draw(1), ...`` give."""
    found: dict[bytes, None] = {}
    index = 0
    while len(found) < count:
        found.update(dict.fromkeys(draw(index)))
        index += 1
    return list(found)[:count]


def one_hot(sequences: Sequence[bytes], alphabet: bytes, steps: int) -> Array:
    """Sequences as samples: uint8, shape (samples, steps, letters + 1), masked.

    >>> one_hot([b"ba", b"a"], b"ab", 2).tolist()
    [[[0, 1, 1], [1, 0, 1]], [[1, 0, 1], [0, 0, 0]]]
    """
    lengths = np.array([len(sequence) for sequence in sequences])
    text = b"".join(sequence.ljust(steps, alphabet[:1]) for sequence in sequences)
    table = np.zeros((256, len(alphabet)), np.uint8)
    table[list(alphabet), np.arange(len(alphabet))] = 1
    codes = np.frombuffer(text, np.uint8).reshape(len(sequences), steps)
    return with_mask(table[codes], lengths, "sequences of symbols")


def labelled(
    name: str,
    members: Sequence[Sequence[bytes]],
    test: int,
    alphabet: bytes,
    classes: tuple[str, ...],
) -> Dataset:
    """The sequences of each class, the last `test` of a class for testing, in mixed order."""
    steps = max(len(sequence) for own in members for sequence in own)

    def part(number: int, rows: slice) -> tuple[Array, Array]:
        chosen = [(sequence, label) for label, own in enumerate(members) for sequence in own[rows]]
        order = permutation(0, Stream.SPLIT, number, len(chosen))
        x = one_hot([chosen[i][0] for i in order], alphabet, steps)
        return x, np.array([chosen[i][1] for i in order], np.int64)

    return Dataset(name, *part(0, slice(-test)), *part(1, slice(-test, None)), classes, masked=True)
