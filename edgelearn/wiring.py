"""Which blocks a block reads, and how several activations become its one input.

Blocks come in order; each reads the one before it, or any earlier ones that it names. Since every
block learns by itself, a shortcut carries an activation forward and nothing back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edgelearn.arrays import F32, Shape
from edgelearn.config import Recipe
from edgelearn.errors import ConfigError, unknown
from edgelearn.ir.builder import Builder
from edgelearn.ir.ops import Concat, Slice

INPUT = "input"
"""What recipes call the sample itself."""
SAMPLE = -1
"""The number of the sample among the sources of a block."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """Where one block reads.

    Attributes
    ----------
    name : str
        Of the block.
    sources : tuple of int
        Numbers of earlier blocks; `SAMPLE` is the input of the network.
    join : {"concat", "add"}
        One after the other along the last axis, or their sum.
    masked : bool
        Whether the last channel of every source, and of the result, is the mask.
    """

    name: str
    sources: tuple[int, ...]
    join: Literal["concat", "add"] = "concat"
    masked: bool = False

    @property
    def joins(self) -> bool:
        """Whether the input must be made from several activations."""
        return len(self.sources) > 1

    def shape(self, shapes: Sequence[Shape]) -> Shape:
        """Shape of the input, from those of the sources.

        Raises
        ------
        ConfigError
            If they do not fit together.
        """
        first = shapes[0]
        same = [shape[:-1] if self.join == "concat" else shape for shape in shapes]
        if len(set(same)) > 1 or len({len(shape) for shape in shapes}) > 1:
            alike = "all axes but the last" if self.join == "concat" else "all axes"
            raise ConfigError(
                f"layer {self.name!r}, inputs",
                expected=f"shapes that agree in {alike}, for join = {self.join!r}",
                got=" and ".join(str(list(shape)) for shape in shapes),
                fix="read layers of fitting shapes",
            )
        if self.join == "add":
            return first
        return *first[:-1], sum(shape[-1] - self.masked for shape in shapes) + self.masked

    def write(self, parts: Sequence[F32], out: F32) -> None:
        """Join `parts`, each (batch, *shape), in `out`."""
        if self.join == "add":
            np.add(parts[0], parts[1], out=out)
            for part in parts[2:]:
                out += part
        else:
            self._concatenate(parts, out)
        if self.masked:
            out[..., -1] = parts[-1][..., -1]

    def _concatenate(self, parts: Sequence[F32], out: F32) -> None:
        start = 0
        for part in parts:
            size = part.shape[-1] - self.masked
            out[..., start : start + size] = part[..., :size]
            start += size

    def emit(self, b: Builder, parts: Sequence[str]) -> str:
        """`write` as nodes of a Graph; nothing where there is one part."""
        if not self.joins:
            return parts[0]
        axis = len(b.specs[parts[0]].shape) - 1
        mask = None
        if self.masked:
            size = b.specs[parts[-1]].shape[axis]
            mask = b.apply(Slice(axis, size - 1, size), parts[-1])
            parts = [b.apply(Slice(axis, 0, b.specs[p].shape[axis] - 1), p) for p in parts]
        if self.join == "add":
            joined = parts[0]
            for part in parts[1:]:
                joined = b.binary("add", joined, part)
        else:
            joined = b.apply(Concat(axis, len(parts)), *parts)
        return joined if mask is None else b.apply(Concat(axis), joined, mask)


def wire(recipe: Recipe) -> tuple[Wiring, ...]:
    """The wiring of every layer of `recipe`.

    Raises
    ------
    ConfigError, UnknownName
        If two layers have one name, or a layer reads what does not come before it.
    """
    found: list[Wiring] = []
    numbers = {INPUT: SAMPLE}
    for index, config in enumerate(recipe.layers):
        name = config.wiring.name or f"{config.layer.kind}{index + 1}"
        sources: list[int] = []
        for source in config.wiring.inputs:
            if source not in numbers:
                raise unknown(f"layer {name!r}, input", source, numbers)
            sources.append(numbers[source])
        if name in numbers:
            raise ConfigError(
                f"recipe {recipe.name!r}, [[layers]] {index + 1}",
                expected="a name of its own for every layer, and none called 'input'",
                got=repr(name),
                fix="give it another name",
            )
        numbers[name] = index
        masked = bool(getattr(config.layer, "masked", False))
        found.append(Wiring(name, tuple(sources) or (index - 1,), config.wiring.join, masked))
    _require_readers(found, recipe.name)
    return tuple(found)


def _require_readers(wirings: Sequence[Wiring], recipe: str) -> None:
    """Raise `ConfigError` if the activation of a layer leads nowhere."""
    read = {source for wiring in wirings for source in wiring.sources}
    for index, wiring in enumerate(wirings[:-1]):
        if index not in read:
            raise ConfigError(
                f"recipe {recipe!r}, layer {wiring.name!r}",
                expected="a later layer that reads it",
                got="none",
                fix="name it in the inputs of a later layer, or leave it out",
            )
