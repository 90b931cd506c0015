"""A network as a model file and back: Graphs for every consumer, the recipe to learn on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgelearn import __version__
from edgelearn.arrays import F32, Array, Shape, as_f32
from edgelearn.building import build
from edgelearn.config import Recipe, parse_recipe, to_tables
from edgelearn.datasets import Dataset
from edgelearn.errors import Diverged, EdgelearnError, GraphError, ModelFileError, UsageError
from edgelearn.ir import BATCH, Builder, Graph, store
from edgelearn.ir.store import Bundle
from edgelearn.lowering import MASK_SUFFIX, to_graph, to_stream_graph, to_train_graph
from edgelearn.masking import masked, ready
from edgelearn.network import Network
from edgelearn.normalize import Normalizer, Outputs
from edgelearn.progress import EpochReport, Progress, Standing
from edgelearn.rng import Stream, permutation
from edgelearn.strict import plain
from edgelearn.wiring import SAMPLE, wire

GOLDEN_SAMPLES = 8
GOLDEN_LR = 0.05
"""The largest rate at which exports are compared: what diverges tells nothing of a file."""
BEST = "best/"
"""What the names of the best parameters of a stage begin with."""


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """What a model file holds, ready to learn on.

    `standing` is where training stopped, None when it was finished; `golden` is a few real
    samples and labels with which an export is checked; `card` says how the model was made, and
    `history` what each epoch reached.
    """

    network: Network
    recipe: Recipe
    standing: Standing | None
    golden: Mapping[str, Array]
    card: Mapping[str, Any]
    history: tuple[EpochReport, ...] = ()


def golden_samples(dataset: Dataset, lr: float) -> dict[str, Array]:
    """A few test samples, chosen once and for all, and a rate `lr` that training can bear."""
    rows = permutation(0, Stream.GOLDEN, 0, len(dataset.x_test))[:GOLDEN_SAMPLES]
    return {
        "golden/x": as_f32(dataset.x_test[rows]),
        "golden/y": dataset.y_test[rows],
        "golden/lr": as_f32(min(lr, GOLDEN_LR)),
    }


def to_bundle(model: Model) -> Bundle:
    """`model` as Graphs of both phases, metadata and golden samples."""
    network, standing = model.network, model.standing
    meta = {
        "edgelearn": __version__,
        "recipe": to_tables(model.recipe),
        "classes": list(network.classes),
        "outputs": [] if network.outputs is None else list(network.outputs.names),
        "card": dict(model.card),
        "history": plain(model.history),
        "position": None if standing is None else plain(standing.progress),
    }
    training = to_train_graph(network, model.recipe.train.batch)
    graphs = {"infer": to_graph(network), "train": training}
    best = {} if standing is None else standing.best
    kept = {f"{BEST}{name}": value for name, value in best.items()}
    return Bundle(graphs, meta, {**model.golden, **kept})


def with_stream(bundle: Bundle, where: str) -> Bundle:
    """`bundle` with a Graph ``stream`` of one time step too; `where` is named in errors."""
    stream = to_stream_graph(from_bundle(bundle, where).network)
    return replace(bundle, graphs={**bundle.graphs, "stream": stream})


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
        progress = msgspec.convert(meta["position"], Progress | None)
        history = msgspec.convert(meta.get("history", []), tuple[EpochReport, ...])
        classes = msgspec.convert(meta["classes"], tuple[str, ...])
        names = msgspec.convert(meta.get("outputs", []), tuple[str, ...])
        card = msgspec.convert(meta["card"], dict[str, Any])
        graph = bundle.graphs["train"]
        in_shape = graph.specs["x"].shape[1:]
        arrays = dict(graph.constants) | {state.input: state.init for state in graph.states}
        _check_fit(recipe, in_shape, arrays, where)
        normalizer = _normalizer(graph, in_shape, where)
        outputs = _outputs(names, arrays, where)
        network = build(recipe, in_shape, classes, normalizer, outputs).with_arrays(arrays)
        network = ready(masked(network, _masks(graph, network, where)), recipe.train)
    except (LookupError, TypeError, ValueError, MemoryError, UsageError, GraphError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        if isinstance(error, EdgelearnError):
            reason = f"{error.where}: {error.got} instead of {error.expected}"
        raise _bad(
            where, "a model written by 'edgelearn train'", f"metadata with {reason}"
        ) from None
    for name, value in network.stored().items():
        if value.dtype != np.float32 or not np.isfinite(value).all():
            raise _bad(f"{where}, parameter {name}", "finite float32 numbers", "others")
    golden = {name: value for name, value in bundle.extra.items() if not name.startswith(BEST)}
    standing = None
    if progress is not None:
        standing = Standing(progress, _best(bundle, network, where))
    return Model(network, recipe, standing, golden, card, history)


def _best(bundle: Bundle, network: Network, where: str) -> dict[str, F32]:
    """The best parameters of the stage that training stopped in."""
    kept = {k.removeprefix(BEST): v for k, v in bundle.extra.items() if k.startswith(BEST)}
    for name, value in kept.items():
        shape = network.changing(network.learning()).get(name, np.empty(())).shape
        if value.dtype != np.float32 or value.shape != shape or not np.isfinite(value).all():
            expected = f"finite float32 numbers of shape {list(shape)}"
            raise _bad(f"{where}, best {name}", expected, "others")
    return kept


def _check_fit(recipe: Recipe, in_shape: Shape, arrays: Mapping[str, Array], where: str) -> None:
    """Raise unless the layers of `recipe` make of the stored arrays what they say they make.

    Seen before any memory is taken for them: a wrong recipe could ask for any amount.
    """
    b = Builder("check")
    made = {SAMPLE: b.input("x", (BATCH, *in_shape))}
    for index, (config, wiring) in enumerate(zip(recipe.layers, wire(recipe), strict=True)):
        x = wiring.emit(b, [made[source] for source in wiring.sources])
        name = f"{wiring.name}."
        own = {k.removeprefix(name): v for k, v in arrays.items() if k.startswith(name)}
        params = {key: b.constant(name + key, value) for key, value in own.items()}
        wanted = (BATCH, *config.layer.out_shape(b.specs[x].shape[1:]))
        made[index] = config.layer.emit(b, params, x).a
        if b.specs[made[index]].shape != wanted:
            got = f"arrays that make {b.specs[made[index]]}"
            raise _bad(f"{where}, layer {name[:-1]!r}", f"an output of shape {list(wanted)}", got)


def _masks(graph: Graph, network: Network, where: str) -> dict[str, Array]:
    """The masks of a training Graph, by the names of their parameters."""
    found, values = {}, network.stored()
    for name, mask in graph.constants.items():
        if name.endswith(MASK_SUFFIX):
            own = name.removesuffix(MASK_SUFFIX)
            shape = list(values[own].shape)
            if mask.dtype != np.uint8 or list(mask.shape) != shape:
                got = f"{mask.dtype}{list(mask.shape)}"
                raise _bad(f"{where}, {name}", f"a mask of uint8{shape}", got)
            found[own] = mask
    return found


def _normalizer(graph: Graph, in_shape: Shape, where: str) -> Normalizer | None:
    if "input.mean" not in graph.constants:
        return None
    mean, scale = graph.constants["input.mean"], graph.constants["input.scale"]
    if mean.shape not in ((), in_shape, in_shape[-1:]) or scale.shape != mean.shape:
        expected = f"shape [], {list(in_shape[-1:])} or {list(in_shape)}"
        raise _bad(f"{where}, input.mean", expected, f"{list(mean.shape)}")
    return Normalizer(mean, scale)


def _outputs(names: tuple[str, ...], arrays: Mapping[str, Array], where: str) -> Outputs | None:
    if not names:
        return None
    mean, spread = arrays["output.mean"], arrays["output.spread"]
    if not mean.shape == spread.shape == (len(names),):
        got = f"{list(mean.shape)} and {list(spread.shape)}"
        raise _bad(f"{where}, output.mean and output.spread", f"shape [{len(names)}]", got)
    return Outputs(names, mean, spread)


def _bad(where: str, expected: str, got: str) -> ModelFileError:
    return ModelFileError(where, expected=expected, got=got, fix="train the model again")


def load(path: Path) -> Model:
    """The model in the file at `path`."""
    return from_bundle(store.read(path), f"model {str(path)!r}")


def save(path: Path, model: Model) -> None:
    """Write `model` to `path`, all of it or nothing; NaN and infinity are never written."""
    for name, value in model.network.stored().items():
        if not np.isfinite(value).all():
            raise Diverged(
                f"parameter {name!r}",
                expected="finite numbers",
                got="NaN or infinity",
                fix="lower train.lr, or normalise the input",
            )
    store.write(path, to_bundle(model))
