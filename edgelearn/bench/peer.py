"""PyTorch as a peer: the same layers, weights and optimiser, trained by its backpropagation.

It is no dependency of ours: where it is not installed, or has no twin of a layer, there is no peer.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgelearn.arrays import F32
from edgelearn.config import Recipe
from edgelearn.network import Network

INSTALL = "pip install torch"


class TorchPeer:
    """A network in PyTorch, on one thread.

    Attributes
    ----------
    model : torch.nn.Module
        Takes normalised samples (batch, *in_shape) and gives scores (batch, classes).
    """

    def __init__(self, network: Network, recipe: Recipe) -> None:
        import torch

        from edgelearn.bench import twins

        torch.set_num_threads(1)
        self.model = twins.model(network)
        self.in_shape = network.in_shape
        learned = twins.learned(self.model, network)
        kinds: dict[str, Any] = {
            "sgd": lambda: torch.optim.SGD(learned, lr=recipe.train.lr),
            "momentum": lambda: torch.optim.SGD(learned, lr=recipe.train.lr, momentum=0.9),
            "adam": lambda: torch.optim.Adam(learned, lr=recipe.train.lr),
        }
        self.optimizer = kinds[recipe.train.optimizer]()

    @classmethod
    def of(cls, network: Network, recipe: Recipe) -> TorchPeer | None:
        """The peer of `network`, or None if there is none."""
        return None if why_none(network) else cls(network, recipe)

    def step(self, x: F32, y: NDArray[np.int64]) -> float:
        """Forward pass, backward pass and update on normalised samples; the loss before it."""
        import torch

        self.optimizer.zero_grad()
        scores = self.model(torch.from_numpy(x))
        loss = torch.nn.functional.cross_entropy(scores, torch.from_numpy(y))
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def step_bytes(self, batch: int) -> int:
        """Bytes of what the graph of one step keeps for the backward pass, and of gradients."""
        import torch

        weights = {p.data_ptr() for p in self.model.parameters()}
        kept: dict[int, int] = {}

        def keep(tensor: Any) -> Any:
            storage = tensor.untyped_storage()
            if tensor.data_ptr() not in weights:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        x = torch.zeros((batch, *self.in_shape))
        y = torch.zeros(batch, dtype=torch.int64)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = torch.nn.functional.cross_entropy(self.model(x), y)
            loss.backward()
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        return sum(kept.values()) + sum(int(g.nbytes) for g in gradients)


def why_none(network: Network) -> str | None:
    """Why `network` has no peer, or None if it has one."""
    if importlib.util.find_spec("torch") is None:
        return f"PyTorch is not installed ({INSTALL})"
    if network.answers != "probabilities":
        return f"its twin has a softmax head, not one of {network.answers}"
    from edgelearn.bench import twins

    lacking = [block.name for block in network.blocks if not twins.known(block)]
    return f"no twin in PyTorch of {', '.join(lacking)}" if lacking else None
