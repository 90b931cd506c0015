"""Pruning a trained model by magnitude, and learning on with the weights that are left."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import msgspec
import numpy as np

from edgelearn.config import TrainConfig
from edgelearn.datasets import Dataset
from edgelearn.evaluation import evaluate
from edgelearn.gradients import local_gradients
from edgelearn.holdout import split
from edgelearn.masking import PruneConfig, choose_masks, masked, matrices, ready, wanted_sparsity
from edgelearn.network import Network
from edgelearn.progress import EpochReport, Observer, Standing
from edgelearn.sparsity.masks import sparsity_of
from edgelearn.sparsity.regrowth import exchanged, exchanged_share
from edgelearn.sparsity.schedules import sparsities
from edgelearn.stopping import Best
from edgelearn.trainer import fit


class PrunedEpoch(msgspec.Struct, frozen=True):
    """One epoch of retraining: the sparsity during it, and what was reached after it.

    `accuracy` is that of the test part, `held_out` of the samples held out of training, if any.
    """

    sparsity: float
    loss: float
    accuracy: float | None
    held_out: float | None = None


class PruneReport(msgspec.Struct, frozen=True):
    """What pruning did; accuracies are those on the test part, of a regression R2.

    `sparsity`, a share of zeros, and `nonzero` are of the pruned matrices together, `matrices` of
    each; `accuracy_after_prune` is with the masks of the first epoch, before anything is learned
    again. `kept_epoch`, counted from 1, is the one whose weights were kept: the last, unless
    ``train.patience`` chose by held-out samples.
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
    kept_epoch: int | None
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
    first = masked(run.network, choose_masks(run.network, config, levels[0]))
    run.network = ready(first, train)
    after = run.accuracy()
    if config.retrain:
        run.learn(train, observer or Observer())
    return run.network, _report(run, before, after)


@dataclass(slots=True)
class _Run:
    """One run: the network as it is by now, and the sparsity that each epoch asks for.

    `changed` says that the network has other masks, and arrays, than what was being taught.
    """

    network: Network
    data: Dataset
    config: PruneConfig
    levels: list[float]
    epochs: list[PrunedEpoch] = field(default_factory=list)
    kept_epoch: int | None = None
    changed: bool = False

    def accuracy(self) -> float | None:
        return evaluate(self.network, self.data.x_test, self.data.y_test).mark

    def sparsity(self) -> float:
        """Of the pruned matrices together, as they are by now."""
        return sparsity_of(matrices(self.network, self.config.scope))

    def learn(self, train: TrainConfig, observer: Observer) -> None:
        """Teach it again, and change masks between epochs as the schedule says."""
        config = retraining(train, len(self.levels))
        standing: Standing | None = Standing()
        while standing is not None:  # once more with the other arrays that other masks need
            self.network, self.changed = ready(self.network, train), False
            standing = self._learn_on(config, train, observer, standing)
            if not self.changed:
                break

    def _learn_on(
        self, config: TrainConfig, train: TrainConfig, observer: Observer, start: Standing
    ) -> Standing | None:
        """As `edgelearn.trainer.fit`, until masks change; the best is kept of the last ones."""
        best = Best(self.network.changing(self.network.learning()), train.patience)

        def on_epoch(report: EpochReport) -> None:
            observer.on_epoch(report)
            held_out, zeros = self._held_out(report), self.sparsity()
            self.epochs.append(PrunedEpoch(zeros, report.loss, self.accuracy(), held_out))
            self.changed = self._change_masks(report.epoch, train)
            if not self.changed and held_out is not None:
                best.tell(held_out)

        watched = replace(
            observer,
            on_epoch=on_epoch,
            should_stop=lambda: self.changed or best.exhausted or observer.should_stop(),
        )
        x, y = self.data.x_train, self.data.y_train
        stopped = fit(self.network, x, y, config, start=start, observer=watched)
        best.restore()
        self.kept_epoch = len(self.epochs) - (best.stale if best.copies else 0)
        return stopped

    def _held_out(self, report: EpochReport) -> float | None:
        """What is better the larger it is: accuracy of the head, or its loss, negative."""
        accuracy = report.held_out.get(self.network.blocks[-1].name)
        if accuracy is None and report.held_out_loss is not None:
            return -report.held_out_loss
        return accuracy

    def _change_masks(self, epoch: int, train: TrainConfig) -> bool:
        """Other masks after `epoch`, if the schedule says so; whether there will be others yet."""
        if self.config.schedule == "dynamic":
            share = exchanged_share(epoch, len(self.levels))
            self._exchange(share, train)
            return share > 0
        if epoch < len(self.levels) and self.levels[epoch] != self.levels[epoch - 1]:
            masks = choose_masks(self.network, self.config, self.levels[epoch])
            self.network = masked(self.network, masks)
            return True
        return False

    def _exchange(self, share: float, train: TrainConfig) -> None:
        """Other weights, where the local gradient is largest."""
        if share == 0:
            return
        x, y = self.data.x_train, self.data.y_train
        if train.validation:
            taught, _ = split(y, train.validation, train.seed)
            x, y = x[taught], y[taught]
        whole = self.network.whole()
        gradients = local_gradients(whole, x, y, train.batch)
        masks = {
            f"{block.name}.{key}": exchanged(
                mask,
                block.params[key],
                gradients[f"{block.name}.{key}"],
                share,
                self.config.pattern,
            )
            for block in whole.blocks
            for key, mask in block.masks.items()
        }
        self.network = masked(whole, masks)


def retraining(train: TrainConfig, epochs: int) -> TrainConfig:
    """How a pruned model is taught again: all layers at once, and for so many epochs.

    Patience is not the trainer's here: it counts only once the masks are the last ones, so that
    no weights are kept from an epoch that had more of them.
    """
    return msgspec.structs.replace(train, epochs=epochs, schedule="simultaneous", patience=None)


def _report(run: _Run, before: float | None, after: float | None) -> PruneReport:
    pruned = matrices(run.network, run.config.scope)
    return PruneReport(
        pattern=run.config.pattern,
        scope=run.config.scope,
        sparsity=run.sparsity(),
        nonzero=sum(int(np.count_nonzero(w)) for w in pruned.values()),
        parameters=sum(w.size for w in pruned.values()),
        accuracy_before=before,
        accuracy_after_prune=after,
        accuracy_after_retrain=[epoch.accuracy for epoch in run.epochs],
        epochs=run.epochs,
        kept_epoch=run.kept_epoch,
        matrices={name: sparsity_of({name: w}) for name, w in pruned.items()},
    )
