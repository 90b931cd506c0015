"""The same runs by backpropagation through time in PyTorch, as a reference.

As in the study: recurrent layers, a linear head on the last real step, Adam, gradients clipped at
norm 5. Letters are one-hot, as for tpSGD, where the study has an embedding.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from torch import nn

from edgelearn.datasets import Dataset
from edgelearn.masking import PruneConfig
from edgelearn.rng import Stream, permutation
from edgelearn.sparsity.masks import magnitude_masks, sparsity_of
from sparse_study_learn import BATCH, data_of
from sparse_study_runs import Base, Outcome, Run

KEYS = {"both": ("weight_ih", "weight_hh"), "ih": ("weight_ih",), "hh": ("weight_hh",)}
CLIP = 5.0
Masks = dict[str, torch.Tensor]


class Recurrent(nn.Module):
    """Recurrent layers and a head on the state after the last real step."""

    def __init__(self, base: Base, features: int, classes: int) -> None:
        super().__init__()
        kinds: dict[str, Callable[..., nn.Module]] = {"gru": nn.GRU, "lstm": nn.LSTM}
        cell, _, activation = base.cell.partition("-")
        extra = {"nonlinearity": activation} if activation else {}
        sizes = (features, base.units[0], len(base.units))
        self.cells = kinds.get(cell, nn.RNN)(*sizes, batch_first=True, **extra)
        self.head = nn.Linear(base.units[0], classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states, _ = self.cells(x[:, :, :-1])
        last = x[:, :, -1].sum(dim=1).long() - 1
        return self.head(states[torch.arange(len(x)), last])


class Learner:
    """A model, its optimiser and its data."""

    def __init__(self, base: Base, data: Dataset) -> None:
        torch.manual_seed(base.seed)
        torch.set_num_threads(1)
        self.base, self.data, self.epoch = base, data, 0
        self.model = Recurrent(base, data.x_train.shape[2] - 1, len(data.classes))

    def teach(self, epochs: int, lr: float, masks: Masks) -> list[float]:
        """Accuracy after each epoch under `masks`."""
        optimizer = torch.optim.Adam(self.model.parameters(), lr=lr)
        return [self._epoch(optimizer, masks) for _ in range(epochs)]

    def _epoch(self, optimizer: torch.optim.Optimizer, masks: Masks) -> float:
        x, y, batch = self.data.x_train, self.data.y_train, BATCH[self.base.data]
        order = permutation(self.base.seed, Stream.SHUFFLE, self.epoch, len(x))
        self.epoch += 1
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            scores = self.model(torch.from_numpy(x[rows]).float())
            optimizer.zero_grad()
            nn.functional.cross_entropy(scores, torch.from_numpy(y[rows])).backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
            optimizer.step()
            self.hold(masks)
        return self.accuracy()

    def accuracy(self) -> float:
        """On the test part."""
        x, y = self.data.x_test, self.data.y_test
        with torch.no_grad():
            parts = np.array_split(np.arange(len(x)), max(1, len(x) // 512))
            right = [
                (self.model(torch.from_numpy(x[rows]).float()).argmax(dim=1).numpy() == y[rows])
                for rows in parts
            ]
        return float(np.concatenate(right).mean())

    def hold(self, masks: Masks) -> None:
        """Set to 0 what the masks say."""
        with torch.no_grad():
            for name, value in self.model.cells.named_parameters():
                if name in masks:
                    value.mul_(masks[name])

    def masks(self, config: PruneConfig) -> Masks:
        """Masks by magnitude over all layers together."""
        weights = {
            name: value.detach().numpy()
            for name, value in self.model.cells.named_parameters()
            if name.startswith(KEYS[config.scope])
        }
        assert config.sparsity is not None  # noqa: S101  the grid says it
        found = magnitude_masks(weights, config.sparsity, config.pattern, together=config.together)
        return {name: torch.from_numpy(mask).float() for name, mask in found.items()}


@lru_cache(maxsize=2)
def _dense(base: Base) -> tuple[dict[str, torch.Tensor], float]:
    """Weights and accuracy of the trained dense network."""
    learner = Learner(base, data_of(base))
    (*_, reached) = learner.teach(base.epochs, base.lr, {})
    return {name: value.clone() for name, value in learner.model.state_dict().items()}, reached


def make(run: Run) -> Outcome:
    """What a run comes to."""
    began = time.perf_counter()
    assert run.prune is not None  # noqa: S101  this section prunes
    weights, reached = _dense(run.base)
    learner = Learner(run.base, data_of(run.base))
    learner.model.load_state_dict(weights)
    masks = learner.masks(run.prune)
    learner.hold(masks)
    pruned = learner.accuracy()
    return Outcome(
        dense=reached,
        pruned=pruned,
        retrained=learner.teach(run.prune.retrain, run.lr, masks),
        sparsity=sparsity_of({name: mask.numpy() for name, mask in masks.items()}),
        nonzero=int(sum(mask.sum() for mask in masks.values())),
        seconds=round(time.perf_counter() - began, 1),
    )
