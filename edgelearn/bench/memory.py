"""Arrays that a training step needs, beside those of backpropagation on the same layers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import msgspec

from edgelearn.bench.peer import TorchPeer
from edgelearn.config import Method, Recipe
from edgelearn.controls import training_bytes
from edgelearn.network import Network
from edgelearn.placement import Shapes


class MemoryRow(msgspec.Struct, frozen=True):
    """Bytes that one way of training needs at one batch size, besides the parameters.

    `kind` is "planned" for what is known before it runs, "measured" for what was counted while it
    ran, "bound" for what no way of layer-wise learning can do without.
    """

    name: str
    batch: int
    beyond_bytes: int
    kind: str


def parameter_bytes(network: Network) -> int:
    """Bytes of the parameters of all layers."""
    return sum(p.nbytes for block in network.blocks for p in block.params.values())


def bare_bytes(network: Network, batch: int) -> int:
    """Bytes that learning one layer at a time cannot do without, besides parameters.

    Of the layer where it is most: input, activation, error, what is read out, and once the weights
    of a cell with exact traces.
    """
    most = 0
    for block in network.blocks:
        shapes = Shapes.of(block, network.optimizer, batch)
        judged = (shapes.features, shapes.error, shapes.slopes)
        traced = getattr(block.layer, "exact", False)
        elements = batch * (math.prod(block.in_shape) + math.prod(block.out_shape))
        elements += sum(math.prod(shape) for shape in judged)
        elements += sum(p.size for p in block.params.values()) if traced else 0
        most = max(most, elements)
    return 4 * most


def rows(network: Network, recipe: Recipe, batches: Sequence[int]) -> Iterator[MemoryRow]:
    """tpSGD, and its bound; backpropagation in place, with a gradient of everything, and PyTorch's.

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
        yield MemoryRow("a layer at a time", batch, bare_bytes(network, batch), "bound")
        yield MemoryRow("backprop, in place", batch, in_place, "planned")
        yield MemoryRow("backprop, standard", batch, in_place + parameters, "planned")
        if peer is not None:
            yield MemoryRow("backprop, PyTorch", batch, peer.step_bytes(batch), "measured")


def _beyond(network: Network, recipe: Recipe, method: Method, batch: int) -> int:
    config = msgspec.structs.replace(recipe.train, batch=batch, method=method)
    return training_bytes(network, config) - parameter_bytes(network)
