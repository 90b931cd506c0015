"""Recipes: what to train, on what, and how. The only reader of recipe TOML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from edgelearn.datasets import Source
from edgelearn.errors import ConfigError, unknown
from edgelearn.layers import Layer, kinds
from edgelearn.overrides import apply
from edgelearn.sparsity.structure import Structure
from edgelearn.strict import convert, misspelt, parse_toml, plain, read_bytes
from edgelearn.targets import ProjectionKind
from edgelearn.trainconfig import LARGEST, train_config
from edgelearn.trainconfig import Method as Method  # noqa: PLC0414  of recipes too
from edgelearn.trainconfig import TrainConfig as TrainConfig  # noqa: PLC0414

LossKind: TypeAlias = Literal[
    "cross_entropy",
    "hinge",
    "squared_hinge",
    "l2",
    "l1",
    "similarity",
    "predsim",
    "mse",
    "huber",
]


TABLES = frozenset({"name", "dataset", "input", "train", "layers", "controls"})
"""Top-level keys of a recipe."""


class InputConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How inputs are normalised.

    `normalize`: "standard" (mean 0, deviation 1), "minmax" (0 to 1) or "none"; `over`: each
    "feature" on its own, each "channel" (the last axis of a sample, for colours and series), or
    "all" of them together (which keeps zeros of images at one value).
    """

    normalize: Literal["none", "standard", "minmax"] = "standard"
    over: Literal["feature", "channel", "all"] = "feature"


class LocalConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one layer learns: its local loss, label projection and share of the learning rate.

    A linear head has a loss too: hinge, squared_hinge, or, of a regression, mse or huber. `beta` is
    the share of similarity in predsim. `chunk`: of a projection of signs, make the rows of so many
    classes at a time and hold no more, for many classes.
    `learn` = false leaves the layer as it was drawn: a frozen feature of chance, or of the data.
    `structure` lets units of a recurrent layer read some others only.
    """

    loss: LossKind = "cross_entropy"
    beta: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.99
    projection: ProjectionKind = "orthonormal"
    learn_projection: bool = False
    chunk: Annotated[int, msgspec.Meta(ge=1, le=1 << 16)] | None = None
    gain: Annotated[float, msgspec.Meta(gt=0, le=LARGEST)] | None = None
    lr_scale: Annotated[float, msgspec.Meta(ge=0, le=LARGEST)] = 1.0
    learn: bool = True
    structure: Structure | None = None


class WiringConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where one layer reads: the layer before it, or `inputs`, earlier ones by name.

    "input" is the sample itself. Of several `join` makes one: "concat" along the last axis (a mask
    is kept once), or "add". `name` is the kind and the place by default, such as ``dense1``.
    """

    name: Annotated[str, msgspec.Meta(pattern="^[A-Za-z][A-Za-z0-9_-]*$")] | None = None
    inputs: tuple[str, ...] = ()
    join: Literal["concat", "add"] = "concat"


class BlockConfig(msgspec.Struct, frozen=True):
    """One table of ``[[layers]]``: a layer, how it learns, and where it reads."""

    layer: Layer
    local: LocalConfig
    wiring: WiringConfig = WiringConfig()


class ControlConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of ``[[controls]]``: another way to train the same layers, to compare with.

    It has settings of its own at which it does best: `train` changes that table, `hidden` every
    layer before the last that has the key, `head` the last layer.
    """

    name: str
    method: Method
    train: dict[str, Any] = {}
    hidden: dict[str, Any] = {}
    head: dict[str, Any] = {}


class Recipe(msgspec.Struct, frozen=True):
    """Everything that decides what a training run gives, and `controls` to compare it with."""

    name: str
    dataset: Source
    layers: tuple[BlockConfig, ...]
    input: InputConfig = InputConfig()
    train: TrainConfig = TrainConfig()
    controls: tuple[ControlConfig, ...] = ()

    def control(self, chosen: ControlConfig) -> Recipe:
        """The recipe of one control: the same data and layers, trained as it says.

        Raises
        ------
        ConfigError
            If a changed setting cannot be.
        """
        tables = to_tables(self)
        *hidden, head = tables["layers"]
        for layer in hidden:
            layer.update((key, v) for key, v in chosen.hidden.items() if key in layer)
        head.update(chosen.head)
        tables["train"].update(chosen.train, method=chosen.method)
        tables["controls"] = []
        return parse_recipe(tables, f"recipe {self.name!r}, control {chosen.name!r}")

    @property
    def regresses(self) -> bool:
        """Whether its head predicts values, no class."""
        return self.layers[-1].local.loss in ("mse", "huber")


def read_recipe(path: Path, overrides: Sequence[str] = (), where: str = "") -> Recipe:
    """The recipe in the TOML file at `path`, with ``key=value`` overrides; errors name `where`.

    Raises
    ------
    MissingFile, ConfigError, OptionError, UnknownName
    """
    where = where or f"recipe {str(path)!r}"
    content = read_bytes(path, "recipe", "write a path to a recipe, or the name of a shipped one")
    tables = parse_toml(content, where)
    for override in overrides:
        apply(override, tables, _settings())
    return parse_recipe(tables, where)


def _settings() -> list[str]:
    """What ``key=value`` may set: every setting of a table, and what stands beside them."""
    tables = {"dataset": Source, "input": InputConfig, "train": TrainConfig}
    known = [f"{name}.{key}" for name, kind in tables.items() for key in kind.__struct_fields__]
    return [*known, "name", "layers", "controls"]


def parse_recipe(tables: Mapping[str, Any], where: str) -> Recipe:
    """The recipe in `tables`, as TOML or JSON gives them; errors name `where`."""
    parts = dict(tables)
    layers = parts.pop("layers", None)
    if not isinstance(layers, list) or not layers:
        raise ConfigError(
            where,
            expected="one or more [[layers]]",
            got="none" if layers is None else f"{layers!r}",
            fix='add [[layers]] with kind = "dense", units = 10, activation = "softmax"',
        )
    blocks = [_block(t, f"{where}, [[layers]] {i}") for i, t in enumerate(layers, start=1)]
    for key in parts.keys() - TABLES:
        raise misspelt(where, "key", key, TABLES)
    return Recipe(
        name=convert(parts.get("name", "model"), str, f"{where}, name"),
        dataset=convert(parts.get("dataset"), Source, f"{where}, [dataset]"),
        layers=tuple(blocks),
        input=convert(parts.get("input", {}), InputConfig, f"{where}, [input]"),
        train=train_config(parts.get("train", {}), f"{where}, [train]"),
        controls=convert(
            parts.get("controls", []), tuple[ControlConfig, ...], f"{where}, [[controls]]"
        ),
    )


def to_tables(recipe: Recipe) -> dict[str, Any]:
    """`recipe` as plain tables that `parse_recipe` reads back."""
    layers = [
        {
            "kind": block.layer.kind,
            **plain(block.layer),
            **plain(block.local),
            **plain(block.wiring),
        }
        for block in recipe.layers
    ]
    parts = ("dataset", "input", "train", "controls")
    tables = {key: plain(getattr(recipe, key)) for key in parts}
    return {"name": recipe.name, **tables, "layers": layers}


def _block(table: object, where: str) -> BlockConfig:
    settings = dict(convert(table, dict[str, Any], where))
    kind = settings.pop("kind", None)
    if not isinstance(kind, str):
        got = "none" if kind is None else repr(kind)
        raise ConfigError(where, expected="a kind of layer", got=got, fix='add kind = "dense"')
    if kind not in kinds():
        raise unknown(f"{where}, layer kind", kind, kinds())
    parts: list[dict[str, Any]] = []
    known = {"kind"}
    for struct in (LocalConfig, WiringConfig):
        names = struct.__struct_fields__
        parts.append({key: settings.pop(key) for key in names if key in settings})
        known.update(names)
    layer_kind: Any = kinds()[kind]
    for key in settings.keys() - set(layer_kind.__struct_encode_fields__):
        raise misspelt(where, "key", key, {*layer_kind.__struct_encode_fields__, *known})
    local, wiring = parts
    return BlockConfig(
        convert(settings, layer_kind, where),
        convert(local, LocalConfig, where),
        convert(wiring, WiringConfig, where),
    )
