"""What of a network is pruned, and the masks that its blocks hold.

What is pruned are the matrices of the layers before the head: ``w``, what a layer reads, and
``u``, what a recurrent layer reads of itself. Biases stay, unless whole neurons go. The head stays
as it is: it is small, and every class needs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from edgelearn.arrays import F32, Mask
from edgelearn.errors import OptionError
from edgelearn.layers import SequenceLearner
from edgelearn.network import Network
from edgelearn.sparsity.masks import BLOCKS, NEURON, fine_grained, magnitude_masks, neuron_masks
from edgelearn.sparsity.schedules import Schedule
from edgelearn.trainconfig import TrainConfig

Scope: TypeAlias = Literal["all", "ih", "hh", "both"]
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
    schedule : {"oneshot", "gradual", "iterative", "dynamic"}
        See `edgelearn.sparsity.schedules`.
    retrain : int
        Epochs of learning with what is left.
    """

    sparsity: float | None = None
    pattern: str = "unstructured"
    scope: Scope = "all"
    together: bool = False
    schedule: Schedule = "oneshot"
    retrain: Annotated[int, msgspec.Meta(ge=0)] = 0


def masked(network: Network, masks: Mapping[str, Mask]) -> Network:
    """`network`, its arrays shared, with these masks and no others; what they say becomes 0."""
    blocks = []
    for block in network.whole().blocks:
        named = {key: f"{block.name}.{key}" for key in block.params}
        own = {key: masks[name] for key, name in named.items() if name in masks}
        blocks.append(block.with_masks(own))
    return replace(network, blocks=tuple(blocks))


def ready(network: Network, train: TrainConfig) -> Network:
    """`network` as `train` teaches it: of pruned matrices what is left, unless by a control."""
    local = train.method in ("tpsgd", "shallow")
    return network.compact() if local else network.whole()


def matrices(network: Network, scope: Scope) -> dict[str, F32]:
    """What `scope` means in this network, by names such as ``gru1.w``.

    Raises
    ------
    OptionError
        If it has none of that.
    """
    found = {
        f"{block.name}.{key}": block.params[key]
        for block in network.whole().blocks[:-1]
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
    for block in network.whole().blocks:
        own = {key: value for key, value in block.params.items() if key in {"w", "u", "b"}}
        if any(f"{block.name}.{key}" in weights for key in own):
            layers[block.name] = own
            settings: Any = block.layer  # gates stand side by side in layers with units
            units[block.name] = getattr(settings, "units", None) or own["w"].shape[-1]
    return neuron_masks(layers, units, sparsity, together=config.together)


def wanted_sparsity(config: PruneConfig) -> float:
    """The sparsity to reach: what is asked for, or what the pattern says.

    Raises
    ------
    OptionError
        If nothing is asked for, or something else than the pattern says.
    """
    groups = fine_grained(config.pattern)
    if config.schedule == "dynamic" and config.pattern not in BLOCKS:
        raise OptionError(
            "schedule 'dynamic'",
            expected=f"a pattern of blocks: {', '.join(BLOCKS)}",
            got=repr(config.pattern),
            fix="choose one of these, or another schedule",
        )
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
