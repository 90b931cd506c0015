"""Local gradients of a network that does not learn: where weights that are not there would help."""

from __future__ import annotations

from dataclasses import replace

from edgelearn.arrays import F32, Array
from edgelearn.buffers import Buffers
from edgelearn.engine import train_step
from edgelearn.network import Network
from edgelearn.optimizers import OPTIMIZERS
from edgelearn.rng import Stream, permutation

GRADIENT_BATCHES = 32
"""How many batches say where weights would help."""


def local_gradients(network: Network, x: Array, y: Array, batch: int) -> dict[str, F32]:
    """The gradient of the local losses by all that the blocks learn, those under masks too.

    A mean over at most `GRADIENT_BATCHES` batches, the later ones weighing more: what momentum
    remembers, at a learning rate of 0. Nothing in `network` changes.
    """
    momentum = OPTIMIZERS["momentum"]
    blocks = [
        replace(block, moments=momentum.moments(block.learned()) if block.readout else {})
        for block in network.blocks
    ]
    watched = replace(network, optimizer=momentum, blocks=tuple(blocks))
    buffers = Buffers(watched, batch)
    order = permutation(0, Stream.START, 1, len(x))[: GRADIENT_BATCHES * batch]
    for start in range(0, len(order), batch):
        loaded = buffers.load(x, y, order[start : start + batch])
        train_step(buffers, *loaded, 0.0, network.learning())
    return {
        f"{block.name}.{key}": block.moments[f"{key}.velocity"]
        for block in blocks
        for key in block.learned()
    }
