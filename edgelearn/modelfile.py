"""A network as a model file and back: Graphs for every consumer, the recipe to learn on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgelearn import __version__
from edgelearn.arrays import Array, as_f32
from edgelearn.config import Recipe, parse_recipe, to_tables
from edgelearn.datasets import Dataset
from edgelearn.errors import ModelFileError
from edgelearn.ir import store
from edgelearn.ir.store import Bundle
from edgelearn.lowering import to_graph, to_train_graph
from edgelearn.network import Network, build
from edgelearn.normalize import Normalizer
from edgelearn.rng import Stream, permutation
from edgelearn.trainer import Position

GOLDEN_SAMPLES = 8


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """What a model file holds, ready to learn on.

    `position` is where training stopped, None when it was finished; `golden` is a few real
    samples and labels with which an export is checked; `card` says how the model was made.
    """

    network: Network
    recipe: Recipe
    position: Position | None
    golden: Mapping[str, Array]
    card: Mapping[str, Any]


def golden_samples(dataset: Dataset) -> dict[str, Array]:
    """A few test samples, chosen once and for all."""
    rows = permutation(0, Stream.GOLDEN, 0, len(dataset.x_test))[:GOLDEN_SAMPLES]
    return {"golden/x": as_f32(dataset.x_test[rows]), "golden/y": dataset.y_test[rows]}


def to_bundle(model: Model) -> Bundle:
    """`model` as Graphs of both phases, metadata and golden samples."""
    network = model.network
    meta = {
        "edgelearn": __version__,
        "recipe": to_tables(model.recipe),
        "classes": list(network.classes),
        "card": dict(model.card),
        "position": None if model.position is None else msgspec.to_builtins(model.position),
    }
    graphs = {"infer": to_graph(network), "train": to_train_graph(network)}
    return Bundle(graphs, meta, dict(model.golden))


def from_bundle(bundle: Bundle, where: str) -> Model:
    """The model in `bundle`; `where` is named in errors.

    Raises
    ------
    ModelFileError
        If the metadata is missing or does not fit the arrays.
    """
    try:
        meta = bundle.meta
        recipe = parse_recipe(meta["recipe"], where)
        position = msgspec.convert(meta["position"], Position | None)
        classes = msgspec.convert(meta["classes"], tuple[str, ...])
        graph = bundle.graphs["train"]
        in_shape = graph.specs["x"].shape[1:]
    except (KeyError, TypeError, msgspec.ValidationError) as error:
        raise ModelFileError(
            where,
            expected="a model written by 'edgelearn train'",
            got=f"metadata without or with a wrong {error}",
            fix="train the model again",
        ) from None
    normalizer = None
    if "input.mean" in graph.constants:
        constants = graph.constants
        normalizer = Normalizer(constants["input.mean"], constants["input.scale"])
    network = build(recipe, in_shape, classes, normalizer)
    network = network.with_parameters({s.input: s.init for s in graph.states})
    return Model(network, recipe, position, bundle.extra, meta["card"])


def load(path: Path) -> Model:
    """The model in the file at `path`."""
    return from_bundle(store.read(path), f"model {str(path)!r}")


def save(path: Path, model: Model) -> None:
    """Write `model` to `path`, all of it or nothing; NaN and infinity are never written."""
    for name, value in model.network.parameters().items():
        if not np.isfinite(value).all():
            raise ValueError(f"parameter {name} is not finite")
    store.write(path, to_bundle(model))
