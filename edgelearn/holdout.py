"""Samples that are held out of learning, to judge it by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgelearn.arrays import Array
from edgelearn.rng import Stream, permutation


def held_out(samples: int, share: float) -> int:
    """How many of `samples` are held out: none for a `share` of 0, else at least one."""
    return max(1, round(share * samples)) if share else 0


def split(y: Array, share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to learn from and rows held out, about the same share of each class or size of value.

    >>> taught, held = split(np.array([0, 0, 0, 1, 1, 1]), 0.34, seed=0)
    >>> len(taught), held.tolist()
    (4, [0, 5])
    """
    order = permutation(seed, Stream.SPLIT, 1, len(y))
    key = y[order] if y.ndim == 1 else y[order, 0]
    order = order[np.argsort(key, kind="stable")]
    count = held_out(len(y), share)
    places = (np.arange(count) + 0.5) * len(y) / max(count, 1)
    held = order[places.astype(np.int64)]
    return np.setdiff1d(order, held), held
