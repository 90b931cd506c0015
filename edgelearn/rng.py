"""A counter-based generator: the n-th number follows from (seed, stream, n) alone.

Nothing is stored and nothing is drawn in order, so a device can make the same projection or
the same shuffle again from its seed, and a resumed run goes on exactly where it stopped. The
mixing function is the finaliser of SplitMix64 (Steele, Lea & Flood 2014), ten lines in any
language; NumPy's own distributions may change between versions, these do not. Numbers that a
training step draws by itself (`drawn`) follow from products of 31 bits instead, for runtimes that
have no unsigned ones.
"""

from __future__ import annotations

import math
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from edgelearn.arrays import F32, Shape, as_f32

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
PERIOD = 1 << 24
"""After so many steps they are counted from 0 again, so that float32 can count them."""


class Stream(IntEnum):
    """What the numbers are for; different streams of one seed are independent."""

    INIT = 1
    PROJECTION = 2
    SHUFFLE = 3
    SPLIT = 4
    GOLDEN = 5
    FEEDBACK = 6
    START = 7
    BIAS = 8
    RECURRENT = 9
    NOISE = 12
    DROPOUT = 13
    DATA = 20
    GRAPH = 21


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def bits(seed: int, stream: Stream, index: int, count: int) -> NDArray[np.uint64]:
    """`count` 64-bit numbers of stream (`stream`, `index`), e.g. of one layer or one epoch.

    >>> [hex(n) for n in bits(0, Stream.INIT, 0, 2).tolist()]
    ['0x80abe802ac1e182e', '0x949f48c1e9eb8a36']
    """
    places = np.arange(1, count + 1, dtype=np.uint64)
    return _mix(key(seed, stream, index) + places * np.uint64(_GOLDEN))


def key(seed: int, stream: Stream, index: int) -> np.uint64:
    """What all numbers of one stream follow from: number n is a mix of the key and n."""
    found = np.array([seed & _MASK], np.uint64)
    for part in (int(stream), index):
        found = _mix(found + np.uint64((part + 1) * _GOLDEN & _MASK))
    return np.uint64(found[0])


def drawn(key: int, step: int, count: int) -> NDArray[np.int64]:
    """`count` numbers of 24 bits, those of one step: what a training step needs of chance.

    Nothing in between leaves the positive half of int64, and there is no exclusive or: so an ONNX
    file of any opset has them too.

    Parameters
    ----------
    key : int
        62 bits: of which chance.
    step : int
        Below `PERIOD`.
    count : int

    Notes
    -----
    Source: middle squares of a counter, with the counter added in each round (Widynski 2020,
    arXiv:2004.06278, "Squares"), in three rounds on 31 bits instead of four on 64.

    >>> drawn(1, 1, 3).tolist()
    [250001, 442573, 11832562]
    """
    low = np.int64(1 << 31)
    y = (key % low + step * 0x3504F333 + np.arange(count, dtype=np.int64) * 0x5E3779B9) % low
    z = y + (key // low + step * 0x5A827999) % low
    x = (y * y + y) // 4096 % low
    x = (x * x + z) // 4096 % low
    found: NDArray[np.int64] = (x * x + y) // 4096 % (1 << 24)
    return found


def uniform(seed: int, stream: Stream, index: int, shape: Shape, limit: float) -> F32:
    """Uniform numbers in [-limit, limit), 24 random bits each."""
    count = math.prod(shape)
    unit = (bits(seed, stream, index, count) >> np.uint64(40)).astype(np.float64) * 2.0**-24
    return as_f32((2 * limit * unit - limit).reshape(shape))


def normal(seed: int, stream: Stream, index: int, shape: Shape) -> NDArray[np.float64]:
    """Standard normal numbers by Box and Muller's transform."""
    count = math.prod(shape)
    unit = (bits(seed, stream, index, 2 * count) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    radius = np.sqrt(-2 * np.log1p(-unit[:count]))
    return np.asarray(radius * np.cos(2 * np.pi * unit[count:])).reshape(shape)


def permutation(seed: int, stream: Stream, index: int, count: int) -> NDArray[np.int64]:
    """The numbers 0 .. count - 1 in random order."""
    return np.argsort(bits(seed, stream, index, count), kind="stable").astype(np.int64)
