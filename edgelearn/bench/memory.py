"""Arrays that a training step needs, beside those of backpropagation on the same layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from edgelearn.bench.peer import TorchPeer
from edgelearn.config import Method, Recipe
from edgelearn.controls import training_bytes
from edgelearn.network import Network


class MemoryRow(msgspec.Struct, frozen=True):
    """Bytes that one way of training needs at one batch size, besides the parameters.

    `kind` is "planned" for what is known before it runs, "measured" for what was counted while it
    ran.
    """

    name: str
    batch: int
    beyond_bytes: int
    kind: str


def parameter_bytes(network: Network) -> int:
    """Bytes of the parameters of all layers."""
    return sum(p.nbytes for block in network.blocks for p in block.params.values())


def rows(network: Network, recipe: Recipe, batches: Sequence[int]) -> Iterator[MemoryRow]:
    """tpSGD; backpropagation in place, with a gradient of everything, and PyTorch's.

    A standard step of backpropagation holds the gradient of every parameter until the optimiser has
    used it. Of PyTorch only tensors are counted: what the graph keeps for the backward pass, and
    gradients; temporary ones are not.
    """
    parameters = parameter_bytes(network)
    peer = TorchPeer.of(network, recipe)
    for batch in batches:
        own = _beyond(network, recipe, "tpsgd", batch)
        in_place = _beyond(network, recipe, "bp", batch)
        yield MemoryRow("tpsgd", batch, own, "planned")
        yield MemoryRow("backprop, in place", batch, in_place, "planned")
        yield MemoryRow("backprop, standard", batch, in_place + parameters, "planned")
        if peer is not None:
            yield MemoryRow("backprop, PyTorch", batch, peer.step_bytes(batch), "measured")


def _beyond(network: Network, recipe: Recipe, method: Method, batch: int) -> int:
    config = msgspec.structs.replace(recipe.train, batch=batch, method=method)
    return training_bytes(network, config) - parameter_bytes(network)
