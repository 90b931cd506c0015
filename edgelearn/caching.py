"""Inputs of a layer that learns, made once: those before it stay as they are in its stage."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgelearn.arrays import Array
from edgelearn.buffers import Buffers
from edgelearn.engine import input_of
from edgelearn.network import Network
from edgelearn.wiring import SAMPLE


class Cache:
    """What block number `index` reads, of every sample in `rows`.

    A product of matrices may round differently in a batch of another size. So inputs are made in
    whole batches, and only whole batches are taken from here: training is then the same to the bit
    as with inputs that are made again in every step.
    """

    def __init__(
        self, buffers: Buffers, index: int, x: Array, y: Array, rows: NDArray[np.int64]
    ) -> None:
        batch, block = buffers.batch, buffers.network.blocks[index]
        self._buffers, self._index = buffers, index
        self._values = np.empty((len(rows), *block.in_shape), np.float32)
        for end in (*range(batch, len(rows), batch), len(rows)):
            places = slice(end - batch, end)
            ready, _ = buffers.load(x, y, rows[places])
            self._values[places] = input_of(index, ready, buffers)

    def learn(self, places: NDArray[np.int64], labels: NDArray[np.int64], lr: float) -> float:
        """`edgelearn.engine.train_step` of the block, on a whole batch: samples by their places.

        The places are those in `rows`.
        """
        seen = self._buffers.place(self._index, len(places))
        np.take(self._values, places, axis=0, out=seen, mode="clip")
        self._buffers.learn(self._index, seen, labels, lr)
        return float(self._buffers.loss[0]) / len(places)


def cache_bytes(network: Network, learning: Sequence[int], samples: int) -> int:
    """Bytes of a cache for a stage in which these blocks learn, 0 if it would spare nothing.

    That is the case if several learn, if the block reads the sample itself, or if one before it
    follows the data or acts by chance meanwhile.
    """
    if len(learning) != 1 or network.following(learning) or network.acting(learning):
        return 0
    block = network.blocks[learning[0]]
    if set(block.wiring.sources) == {SAMPLE}:
        return 0
    return 4 * samples * math.prod(block.in_shape)


def largest_cache(
    network: Network, plan: Sequence[Sequence[int]], samples: int | None, limit_bytes: int
) -> int:
    """Bytes of the largest cache of a run that is within the limit.

    The limit itself, unless it is known how many `samples` there are.
    """
    needed = [cache_bytes(network, learning, samples or 1) for learning in plan]
    if samples is None:
        return limit_bytes if any(needed) else 0
    return max((size for size in needed if size <= limit_bytes), default=0)
