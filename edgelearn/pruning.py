"""Pruning a trained model by magnitude, and learning on with the weights that are left.

What is pruned are the matrices of the layers before the head: ``w``, what a layer reads, and
``u``, what a recurrent layer reads of itself. Biases stay, unless whole neurons go. The head stays
as it is: it is small, and every class needs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, TypeAlias, get_args

import msgspec
import numpy as np

from edgelearn.arrays import F32, Mask
from edgelearn.config import TrainConfig
from edgelearn.datasets import Dataset
from edgelearn.errors import OptionError
from edgelearn.evaluation import evaluate
from edgelearn.layers import SequenceLearner
from edgelearn.network import Network
from edgelearn.sparsity.masks import (
    NEURON,
    fine_grained,
    magnitude_masks,
    neuron_masks,
    sparsity_of,
)
from edgelearn.sparsity.schedules import Schedule, sparsities
from edgelearn.trainer import EpochReport, Observer, fit

Scope: TypeAlias = Literal["all", "ih", "hh", "both"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
_KEYS: Mapping[Scope, tuple[str, ...]] = {
    "all": ("w", "u"), "ih": ("w",), "hh": ("u",), "both": ("w", "u"),
}  # fmt: skip


class PruneConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to prune.

    Parameters
    ----------
    sparsity : float, optional
        The share of zeros; a pattern N:M says it itself.
    pattern : str
        See `edgelearn.sparsity.masks`.
    scope : {"all", "ih", "hh", "both"}
        Every layer before the head, or recurrent layers only: their input-to-hidden matrices,
        their hidden-to-hidden ones, or both.
    together : bool
        Compare the weights of all matrices with each other, not of each alone.
    schedule : {"oneshot", "gradual", "iterative"}
        See `edgelearn.sparsity.schedules`.
    """

    sparsity: float | None = None
    pattern: str = "unstructured"
    scope: Scope = "all"
    together: bool = False
    schedule: Schedule = "oneshot"
    retrain: Annotated[int, msgspec.Meta(ge=0)] = 0


class PrunedEpoch(msgspec.Struct, frozen=True):
    """One epoch of retraining: the sparsity during it, and what was reached after it."""

    sparsity: float
    loss: float
    accuracy: float


class PruneReport(msgspec.Struct, frozen=True):
    """What pruning did; accuracies are those on the test part, sparsities shares of zeros.

    `sparsity` and `nonzero` are of the pruned matrices together, `matrices` of each;
    `accuracy_after_prune` is with the masks of the first epoch, before anything is learned again.
    """

    pattern: str
    scope: str
    sparsity: float
    nonzero: int
    parameters: int
    accuracy_before: float
    accuracy_after_prune: float
    accuracy_after_retrain: list[float]
    epochs: list[PrunedEpoch]
    matrices: dict[str, float]


def masked(network: Network, masks: Mapping[str, Mask]) -> Network:
    """`network`, its arrays shared, with these masks and no others; what they say becomes 0."""
    blocks = []
    for block in network.blocks:
        named = {key: f"{block.name}.{key}" for key in block.params}
        own = {key: masks[name] for key, name in named.items() if name in masks}
        blocks.append(replace(block, masks=own))
        blocks[-1].hold_masks()
    return replace(network, blocks=tuple(blocks))


def matrices(network: Network, scope: Scope) -> dict[str, F32]:
    """What `scope` means in this network, by names such as ``gru1.w``.

    Raises
    ------
    OptionError
        If it has none of that.
    """
    found = {
        f"{block.name}.{key}": block.params[key]
        for block in network.blocks[:-1]
        for key in _KEYS[scope]
        if key in block.params and (scope == "all" or isinstance(block.layer, SequenceLearner))
    }
    if not found:
        kinds = ", ".join(block.layer.kind for block in network.blocks)
        raise OptionError(
            f"scope {scope!r}",
            expected="layers before the head with weights"
            if scope == "all"
            else "recurrent layers with weights of that kind",
            got=f"a network of {kinds}",
            fix="choose another scope, or another model",
        )
    return found


def choose_masks(network: Network, config: PruneConfig, sparsity: float) -> dict[str, Mask]:
    """Masks for the weights as they are, of about this sparsity."""
    weights = matrices(network, config.scope)
    if config.pattern != NEURON:
        return magnitude_masks(weights, sparsity, config.pattern, together=config.together)
    layers: dict[str, dict[str, F32]] = {}
    units: dict[str, int] = {}
    for block in network.blocks:
        own = {key: value for key, value in block.params.items() if key in {"w", "u", "b"}}
        if any(f"{block.name}.{key}" in weights for key in own):
            layers[block.name] = own
            settings: Any = block.layer  # gates stand side by side in layers with units
            units[block.name] = getattr(settings, "units", None) or own["w"].shape[-1]
    return neuron_masks(layers, units, sparsity, together=config.together)


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
        How to learn; epochs and schedule are those of `config`.
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
    levels = sparsities(config.schedule, _sparsity(config), config.retrain)
    choose_masks(network, config, levels[-1])  # refused before anything is learned
    run = _Run(network.with_arrays(network.stored()), data, config, levels)
    before = run.accuracy()
    run.network = masked(run.network, choose_masks(run.network, config, levels[0]))
    after = run.accuracy()
    if config.retrain:
        run.learn(train, observer or Observer())
    return run.network, _report(run, before, after)


def _sparsity(config: PruneConfig) -> float:
    """The sparsity to reach: what is asked for, or what the pattern says."""
    groups = fine_grained(config.pattern)
    if groups is None and config.sparsity is not None:
        return config.sparsity
    if groups is None:
        raise OptionError(
            "option --sparsity",
            expected="the share of zeros",
            got="none",
            fix="write e.g. --sparsity 0.9, or --pattern 2:4",
        )
    own = 1 - groups[0] / groups[1]
    if config.sparsity not in (None, own) or config.schedule != "oneshot":
        raise OptionError(
            f"pattern {config.pattern!r}",
            expected=f"schedule 'oneshot' and a sparsity of {own:g}, or none",
            got=f"schedule {config.schedule!r}, sparsity {config.sparsity}",
            fix="leave out --sparsity and --schedule",
        )
    return own


@dataclass(slots=True)
class _Run:
    """One run: the network as it is by now, and the sparsity of each epoch."""

    network: Network
    data: Dataset
    config: PruneConfig
    levels: list[float]
    epochs: list[PrunedEpoch] = field(default_factory=list)

    def accuracy(self) -> float:
        return evaluate(self.network, self.data.x_test, self.data.y_test).accuracy

    def learn(self, train: TrainConfig, observer: Observer) -> None:
        """All layers at once, so that every epoch has an accuracy."""
        config = msgspec.structs.replace(train, epochs=len(self.levels), schedule="simultaneous")

        def on_epoch(report: EpochReport) -> None:
            observer.on_epoch(report)
            level = self.levels[report.epoch - 1]
            self.epochs.append(PrunedEpoch(level, report.loss, self.accuracy()))
            if report.epoch < len(self.levels) and self.levels[report.epoch] != level:
                self._tighten(self.levels[report.epoch])

        watched = replace(observer, on_epoch=on_epoch)
        fit(self.network, self.data.x_train, self.data.y_train, config, observer=watched)

    def _tighten(self, sparsity: float) -> None:
        """Larger masks in place: what learns holds the arrays."""
        masks = choose_masks(self.network, self.config, sparsity)
        for block in self.network.blocks:
            for key, mask in block.masks.items():
                mask[:] = masks[f"{block.name}.{key}"]
            block.hold_masks()


def _report(run: _Run, before: float, after: float) -> PruneReport:
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
