"""What a recipe or a model file will need, known before anything runs and without Numba."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgelearn.building import build
from edgelearn.config import Recipe, read_recipe
from edgelearn.controls import to_control_graph
from edgelearn.datasets import DataSpec, describe
from edgelearn.ir import Graph
from edgelearn.ir.store import Bundle
from edgelearn.lowering import to_graph, to_train_graph
from edgelearn.mask_rules import check_masks
from edgelearn.masking import ready
from edgelearn.modelfile import from_bundle
from edgelearn.network import Network
from edgelearn.normalize import Normalizer, Outputs
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
    outputs = Outputs.blank(spec.outputs) if spec.outputs else None
    check_masks(recipe, spec.masked, recipe.dataset.name or recipe.dataset.path or "")
    network = build(recipe, spec.in_shape, spec.classes, normalizer, outputs)
    return ready(network, recipe.train)


def plan_recipe(path: Path) -> Planned:
    """What the recipe at `path` will need."""
    recipe = read_recipe(path)
    network = blank_network(recipe, describe(recipe.dataset))
    return _plan(network, recipe, {"infer": to_graph(network), "train": _step(network, recipe)})


def plan_bundle(bundle: Bundle, where: str = "model") -> Planned:
    """What the model in `bundle` needs."""
    model = from_bundle(bundle, where)
    samples = model.card.get("train_samples")
    samples = samples if isinstance(samples, int) else None
    return _plan(model.network, model.recipe, bundle.graphs, samples)


def _plan(
    network: Network, recipe: Recipe, graphs: Mapping[str, Graph], samples: int | None = None
) -> Planned:
    needed = run_bytes(network, recipe.train, samples)
    return Planned(recipe.name, graphs, recipe.train.batch, needed)


def _step(network: Network, recipe: Recipe) -> Graph:
    """One step by the method of the recipe."""
    method = recipe.train.method
    if method in ("tpsgd", "shallow"):
        return to_train_graph(network, recipe.train.batch)
    return to_control_graph(network, method, recipe.train.seed, recipe.train.batch)
