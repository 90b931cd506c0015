"""Masks of sequences through a recipe: who makes one, who must say that there is one."""

from __future__ import annotations

from edgelearn.config import Recipe
from edgelearn.errors import ConfigError
from edgelearn.layers import Layer
from edgelearn.wiring import SAMPLE, wire


def check_masks(recipe: Recipe, masked: bool, data: str) -> None:
    """Raise `ConfigError` unless every layer with a setting `masked` reads what it says.

    Parameters
    ----------
    recipe : Recipe
    masked : bool
        Whether the last channel of a sample is a mask.
    data : str
        What errors call the data.
    """
    has, names = {SAMPLE: masked}, {SAMPLE: f"data {data!r}"}
    for index, (config, wiring) in enumerate(zip(recipe.layers, wire(recipe), strict=True)):
        said = getattr(config.layer, "masked", None)
        for source in wiring.sources if said is not None else ():
            if has[source] != said:
                raise _misread(wiring.name, names[source], has[source], join=wiring.joins)
        has[index], names[index] = _makes_mask(config.layer), f"layer {wiring.name!r}"


def _makes_mask(layer: Layer) -> bool:
    """Whether the last channel of what `layer` returns is a mask."""
    returns = getattr(layer, "returns", "sequence")
    return bool(getattr(layer, "masked", False)) and returns == "sequence"


def _misread(name: str, source: str, has: bool, *, join: bool) -> ConfigError:
    fix = "set masked = true there" if has else "leave masked out"
    if not has:
        fix += ", or store the lengths of samples beside them"
    if join:
        fix = "set masked = true in all layers that are joined, and where they are read, or in none"
    return ConfigError(
        f"layer {name!r}",
        expected=f"masked = {str(has).lower()}: {source} has {'a' if has else 'no'} mask",
        got=f"masked = {str(not has).lower()}",
        fix=fix,
    )
