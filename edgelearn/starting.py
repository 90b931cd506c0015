"""First parameters from the data, without labels: one layer after the other, forward only."""

from __future__ import annotations

from collections.abc import Iterator

from edgelearn.arrays import F32, Array
from edgelearn.engine import Buffers, input_of
from edgelearn.layers import Starter
from edgelearn.network import Network
from edgelearn.rng import Stream, permutation

SAMPLES = 1000
BATCH = 32


def start_from_data(network: Network, x: Array, seed: int = 0) -> None:
    """Give every layer that asks for it parameters from (at most 1,000) samples of `x`, in place.

    Parameters
    ----------
    network : Network
    x : array, shape (samples, *in_shape)
        Not normalised.
    seed : int
        Decides which samples.
    """
    starters = [
        (index, block)
        for index, block in enumerate(network.blocks)
        if isinstance(block.layer, Starter) and block.layer.starts_from_data
    ]
    if not starters:
        return
    rows = permutation(seed, Stream.START, 0, len(x))[:SAMPLES]
    buffers = Buffers(network, BATCH)
    for index, block in starters:
        assert isinstance(block.layer, Starter)  # noqa: S101  chosen above
        block.layer.start(block.params, _inputs(buffers, x, rows, index))


def _inputs(buffers: Buffers, x: Array, rows: Array, index: int) -> Iterator[F32]:
    """What block number `index` reads, a batch at a time."""
    for first in range(0, len(rows), BATCH):
        ready = buffers.samples(x, rows[first : first + BATCH])
        yield input_of(index, ready, buffers)
