"""What a recipe or a model file will need, known before anything runs and without Numba."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgelearn.config import Recipe, read_recipe
from edgelearn.datasets import DataSpec, describe
from edgelearn.ir import Graph
from edgelearn.ir.store import Bundle
from edgelearn.lowering import to_graph, to_train_graph
from edgelearn.modelfile import from_bundle
from edgelearn.network import Network, build
from edgelearn.normalize import Normalizer
from edgelearn.stages import run_bytes


@dataclass(frozen=True, slots=True, eq=False)
class Planned:
    """Graphs by phase (``infer``, ``train``), the training batch, and its working set in bytes."""

    name: str
    graphs: Mapping[str, Graph]
    batch: int
    working_set_bytes: int


def blank_network(recipe: Recipe, spec: DataSpec) -> Network:
    """The network of `recipe` before any data was seen."""
    normalizer = Normalizer.blank(recipe.input, spec.in_shape, spec.masked)
    return build(recipe, spec.in_shape, spec.classes, normalizer)


def plan_recipe(path: Path) -> Planned:
    """What the recipe at `path` will need."""
    recipe = read_recipe(path)
    return _plan(blank_network(recipe, describe(recipe.dataset)), recipe)


def plan_bundle(bundle: Bundle, where: str = "model") -> Planned:
    """What the model in `bundle` needs."""
    model = from_bundle(bundle, where)
    samples = model.card.get("train_samples")
    return _plan(model.network, model.recipe, samples if isinstance(samples, int) else None)


def _plan(network: Network, recipe: Recipe, samples: int | None = None) -> Planned:
    batch = recipe.train.batch
    graphs = {"infer": to_graph(network), "train": to_train_graph(network)}
    return Planned(recipe.name, graphs, batch, run_bytes(network, recipe.train, samples))
