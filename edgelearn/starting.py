"""First parameters from the data, without labels: one layer after the other, forward only."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from edgelearn.arrays import F32, Array
from edgelearn.block import Block
from edgelearn.buffers import Buffers
from edgelearn.engine import input_of, working_set_bytes
from edgelearn.layers import Starter
from edgelearn.network import Network
from edgelearn.rng import Stream, permutation

SAMPLES = 1000
BATCH = 32


def start_from_data(
    network: Network, x: Array, seed: int = 0, tell: Callable[[str], None] | None = None
) -> None:
    """Give every layer that asks for it parameters from (at most 1,000) samples of `x`, in place.

    Parameters
    ----------
    network : Network
    x : array, shape (samples, *in_shape)
        Not normalised.
    seed : int
        Decides which samples.
    tell : callable, optional
        Is told the name of a layer before its turn.
    """
    starters = list(_starters(network))
    if not starters:
        return
    rows = permutation(seed, Stream.START, 0, len(x))[:SAMPLES]
    buffers = Buffers(network, BATCH)
    for index, block, layer in starters:
        if tell is not None:
            tell(block.name)
        layer.start(block.params, _inputs(buffers, x, rows, index))


def start_bytes(network: Network) -> int:
    """Bytes of our own arrays in `start_from_data`, parameters included; 0 if no layer asks."""
    needed = [layer.start_bytes(block.in_shape, BATCH) for _, block, layer in _starters(network)]
    return working_set_bytes(network, BATCH) + max(needed) if needed else 0


def _starters(network: Network) -> Iterator[tuple[int, Block, Starter]]:
    """The blocks that take their first parameters from the data: number, block, its layer."""
    for index, block in enumerate(network.blocks):
        if isinstance(block.layer, Starter) and block.layer.starts_from_data:
            yield index, block, block.layer


def _inputs(buffers: Buffers, x: Array, rows: Array, index: int) -> Iterator[F32]:
    """What block number `index` reads, a batch at a time."""
    for first in range(0, len(rows), BATCH):
        ready = buffers.samples(x, rows[first : first + BATCH])
        yield input_of(index, ready, buffers)
