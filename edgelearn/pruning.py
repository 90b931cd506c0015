"""Pruning a trained model by magnitude, and learning on with the weights that are left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np

from edgelearn.arrays import F32, Array, Mask
from edgelearn.config import TrainConfig
from edgelearn.datasets import Dataset
from edgelearn.engine import Buffers, train_step
from edgelearn.evaluation import evaluate
from edgelearn.masking import PruneConfig, choose_masks, masked, matrices, wanted_sparsity
from edgelearn.network import Network
from edgelearn.optimizers import OPTIMIZERS
from edgelearn.progress import EpochReport, Observer
from edgelearn.rng import Stream, permutation
from edgelearn.sparsity.masks import sparsity_of
from edgelearn.sparsity.regrowth import exchanged, exchanged_share
from edgelearn.sparsity.schedules import sparsities
from edgelearn.trainer import fit

GRADIENT_BATCHES = 32
"""How many batches say where weights would help."""


class PrunedEpoch(msgspec.Struct, frozen=True):
    """One epoch of retraining: the sparsity during it, and what was reached after it."""

    sparsity: float
    loss: float
    accuracy: float | None


class PruneReport(msgspec.Struct, frozen=True):
    """What pruning did; accuracies are those on the test part, of a regression R2.

    `sparsity`, a share of zeros, and `nonzero` are of the pruned matrices together, `matrices` of
    each; `accuracy_after_prune` is with the masks of the first epoch, before anything is learned
    again.
    """

    pattern: str
    scope: str
    sparsity: float
    nonzero: int
    parameters: int
    accuracy_before: float | None
    accuracy_after_prune: float | None
    accuracy_after_retrain: list[float | None]
    epochs: list[PrunedEpoch]
    matrices: dict[str, float]


def prune(
    network: Network,
    data: Dataset,
    train: TrainConfig,
    config: PruneConfig,
    observer: Observer | None = None,
) -> tuple[Network, PruneReport]:
    """A pruned copy of `network`, all of its layers taught again at once under the masks.

    Parameters
    ----------
    network : Network
        Stays as it is.
    data : Dataset
        Its training part teaches, its test part judges.
    train : TrainConfig
        How to learn; see `retraining` for what is not taken from it.
    config : PruneConfig
    observer : Observer, optional
        Told of every step and epoch.

    Returns
    -------
    Network, PruneReport

    Raises
    ------
    OptionError, UnknownName
        If there is no such pattern, or it would leave a matrix without weights.
    """
    levels = sparsities(config.schedule, wanted_sparsity(config), config.retrain)
    choose_masks(network, config, levels[-1])  # refused before anything is learned
    run = _Run(network.with_arrays(network.stored()), data, config, levels)
    before = run.accuracy()
    run.network = masked(run.network, choose_masks(run.network, config, levels[0]))
    after = run.accuracy()
    if config.retrain:
        run.learn(train, observer or Observer())
    return run.network, _report(run, before, after)


@dataclass(slots=True)
class _Run:
    """One run: the network as it is by now, and the sparsity of each epoch."""

    network: Network
    data: Dataset
    config: PruneConfig
    levels: list[float]
    epochs: list[PrunedEpoch] = field(default_factory=list)

    def accuracy(self) -> float | None:
        return evaluate(self.network, self.data.x_test, self.data.y_test).mark

    def learn(self, train: TrainConfig, observer: Observer) -> None:
        """Teach it again, and change masks between epochs as the schedule says."""
        config = retraining(train, len(self.levels))

        def on_epoch(report: EpochReport) -> None:
            observer.on_epoch(report)
            level = self.levels[report.epoch - 1]
            self.epochs.append(PrunedEpoch(level, report.loss, self.accuracy()))
            if self.config.schedule == "dynamic":
                self._exchange(exchanged_share(report.epoch, len(self.levels)), train.batch)
            elif report.epoch < len(self.levels) and self.levels[report.epoch] != level:
                self._hold(choose_masks(self.network, self.config, self.levels[report.epoch]))

        watched = replace(observer, on_epoch=on_epoch)
        fit(self.network, self.data.x_train, self.data.y_train, config, observer=watched)

    def _exchange(self, share: float, batch: int) -> None:
        """Other weights, where the local gradient is largest."""
        if share == 0:
            return
        gradients = local_gradients(self.network, self.data.x_train, self.data.y_train, batch)
        self._hold(
            {
                f"{block.name}.{key}": exchanged(
                    mask,
                    block.params[key],
                    gradients[f"{block.name}.{key}"],
                    share,
                    self.config.pattern,
                )
                for block in self.network.blocks
                for key, mask in block.masks.items()
            }
        )

    def _hold(self, masks: Mapping[str, Mask]) -> None:
        """Other masks in the same arrays, which what learns has in hand."""
        for block in self.network.blocks:
            for key, mask in block.masks.items():
                mask[:] = masks[f"{block.name}.{key}"]
            block.hold_masks()


def retraining(train: TrainConfig, epochs: int) -> TrainConfig:
    """How a pruned model is taught again: all layers at once, all epochs, by all samples.

    So that every epoch has an accuracy, and what is kept at the end has the last masks.
    """
    return msgspec.structs.replace(
        train, epochs=epochs, schedule="simultaneous", validation=0.0, patience=None
    )


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


def _report(run: _Run, before: float | None, after: float | None) -> PruneReport:
    pruned = matrices(run.network, run.config.scope)
    return PruneReport(
        pattern=run.config.pattern,
        scope=run.config.scope,
        sparsity=sparsity_of(pruned),
        nonzero=sum(int(np.count_nonzero(w)) for w in pruned.values()),
        parameters=sum(w.size for w in pruned.values()),
        accuracy_before=before,
        accuracy_after_prune=after,
        accuracy_after_retrain=[epoch.accuracy for epoch in run.epochs],
        epochs=run.epochs,
        matrices={name: sparsity_of({name: w}) for name, w in pruned.items()},
    )
