"""A training run from recipe to model: load, normalise, build, fit, evaluate."""

from __future__ import annotations

import contextlib
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
from threadpoolctl import threadpool_limits

from edgelearn.adapting import AdaptConfig, AdaptReport
from edgelearn.adapting import adapt as adapt_network
from edgelearn.building import build
from edgelearn.config import Recipe
from edgelearn.datasets import Dataset, Source, numbered_outputs
from edgelearn.errors import DataShapeError, MissingFile, OverBudget, UnknownName
from edgelearn.evaluation import evaluate
from edgelearn.exits import EarlyEvaluation, EarlyExits
from edgelearn.holdout import held_out, split
from edgelearn.mask_rules import check_masks
from edgelearn.masking import PruneConfig, ready
from edgelearn.modelfile import Model, golden_samples
from edgelearn.normalize import Normalizer, Outputs
from edgelearn.planning import blank_network
from edgelearn.progress import EpochReport, Observer, Position, Standing
from edgelearn.pruning import PruneReport
from edgelearn.pruning import prune as prune_network
from edgelearn.reporting import TrainReport, model_card, train_report
from edgelearn.results import Result
from edgelearn.shipped import DEFAULT, shipped_recipe
from edgelearn.stages import run_bytes
from edgelearn.starting import start_bytes, start_from_data
from edgelearn.trainer import fit


def embedded_recipe(overrides: tuple[str, ...] = ()) -> Recipe:
    """The default: real handwritten digits, shipped with the package.

    >>> embedded_recipe().name
    'digits-mlp'
    """
    return shipped_recipe(DEFAULT, overrides)


def guess_source(path: Path, recipe: Recipe) -> Source:
    """The format of the data at `path`, judged by its name; its labels are as `recipe` wants them.

    Raises
    ------
    MissingFile, UnknownName
    """
    if path.is_dir():
        return Source(format="idx", path=str(path))
    if path.suffix == ".npz":
        return Source(format="npz", path=str(path), target="value" if recipe.regresses else "class")
    if not path.exists():
        raise MissingFile(
            f"data {str(path)!r}", expected="a file or folder", got="none", fix="check the path"
        )
    raise UnknownName(
        f"data {str(path)!r}",
        expected="an .npz archive or a folder of IDX files",
        got=f"a file ending in {path.suffix!r}",
        fix="save the arrays x_train, y_train, x_test, y_test with numpy.savez",
    )


def require_budget(recipe: Recipe, dataset: Dataset, budget_bytes: int) -> None:
    """Raise `OverBudget` if the working set of training would not fit, before anything runs."""
    network, config = blank_network(recipe, dataset.spec), recipe.train
    samples = len(dataset.x_train) - held_out(len(dataset.x_train), config.validation)

    def needed(**changes: int) -> int:
        return run_bytes(network, msgspec.structs.replace(config, **changes), samples)

    if needed() <= budget_bytes:
        return
    fix = "use fewer units"
    if start_bytes(network) > budget_bytes:
        fix = 'write init = "oja" for convolutions that start by "pca", or use fewer filters'
    fitting = bisect_right(range(1, config.batch), budget_bytes, key=lambda n: needed(batch=n))
    if needed(cache_bytes=0) <= budget_bytes:
        fix = "-s train.cache_bytes=0 fits"
    elif fitting:
        fix = f"-s train.batch={fitting} fits"
    raise OverBudget(
        f"recipe {recipe.name!r}",
        expected=f"a working set of at most {budget_bytes} bytes",
        got=f"{needed()} bytes at batch {config.batch}",
        fix=fix,
    )


def new_model(recipe: Recipe, dataset: Dataset, tell: Callable[[str], None] | None = None) -> Model:
    """The untrained model of `recipe`, its scales fitted on the samples to learn from.

    `tell` is told the name of each layer that is about to start from the data.
    """
    x, y, config = dataset.x_train, dataset.y_train, recipe.train
    if config.validation:
        taught, _ = split(y, config.validation, config.seed)
        x, y = x[taught], y[taught]
    normalizer = Normalizer.fit(recipe.input, x, dataset.masked)
    spec = dataset.spec
    outputs = Outputs.fit(spec.outputs, y) if spec.outputs else None
    check_masks(recipe, dataset.masked, dataset.name)
    network = build(recipe, spec.in_shape, spec.classes, normalizer, outputs)
    with one_thread():
        start_from_data(network, x, tell=tell)
    network = ready(network, config)
    return Model(network, recipe, Standing(), golden_samples(dataset, config.lr), {})


def train(model: Model, dataset: Dataset, observer: Observer) -> tuple[Model, TrainReport | None]:
    """Train `model` from where it stands, and evaluate it when it is done.

    Returns the model and, unless it was stopped, the report.
    """
    if (*dataset.classes, *dataset.outputs) != model.network.names:
        fix = "go on with the data that training was begun with"
        raise _other_labels(dataset, model.network.names, fix)
    config = model.recipe.train
    steps = 0
    history = list(model.history)

    def on_step(position: Position, loss: float) -> None:
        nonlocal steps
        steps += 1
        observer.on_step(position, loss)

    def on_epoch(report: EpochReport) -> None:
        history.append(report)
        observer.on_epoch(report)

    started = time.perf_counter()
    with one_thread():
        stopped = fit(
            model.network,
            dataset.x_train,
            dataset.y_train,
            config,
            start=model.standing,
            observer=Observer(on_step, on_epoch, observer.should_stop),
        )
        seconds = time.perf_counter() - started
        model = replace(model, standing=stopped, history=tuple(history))
        if stopped is not None:
            return model, None
        result = evaluate(model.network, dataset.x_test, dataset.y_test)
    report = train_report(model, dataset, seconds, steps, result)
    return replace(model, card=model_card(model, dataset, report)), report


def _other_labels(dataset: Dataset, known: tuple[str, ...], fix: str) -> DataShapeError:
    kind = "outputs" if dataset.outputs else "classes"
    return DataShapeError(
        f"data {dataset.name!r}",
        expected=f"the {kind} of the model, {', '.join(known)}",
        got=", ".join(dataset.outputs or dataset.classes),
        fix=fix,
    )


def adapt(model: Model, dataset: Dataset, config: AdaptConfig) -> tuple[Model, AdaptReport]:
    """`model` adapted to the training part of `dataset`, tested on its test part.

    Raises
    ------
    DataShapeError
        If the data has other classes or features than the model.
    """
    _require_known_classes(dataset, model, "adapt to data with the classes of the model")
    x, y = dataset.x_test, dataset.y_test
    with one_thread():
        network, report = adapt_network(model.network, dataset.x_train, dataset.y_train, config)
        report = msgspec.structs.replace(
            report,
            test_before=evaluate(model.network, x, y).mark,
            test_after=evaluate(network, x, y).mark,
        )
    card = {**model.card, "adapted": {"dataset": dataset.name, **msgspec.to_builtins(report)}}
    return replace(model, network=network, card=card), report


def prune(
    model: Model, dataset: Dataset, config: PruneConfig, observer: Observer
) -> tuple[Model, PruneReport]:
    """`model` pruned, taught again by its own recipe and judged by the test part of `dataset`.

    Raises
    ------
    OptionError, UnknownName
        As `edgelearn.pruning.prune` says.
    DataShapeError
        If the data has other classes or features than the model.
    """
    _require_known_classes(dataset, model, "prune with the data that the model learned from")
    with one_thread():
        network, report = prune_network(
            model.network, dataset, model.recipe.train, config, observer
        )
    card = {**model.card, "pruned": {"dataset": dataset.name, **msgspec.to_builtins(report)}}
    return replace(model, network=network, card=card), report


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Keep BLAS to one thread: at these sizes more are slower, and results depend on how many."""
    with threadpool_limits(1, user_api="blas"):
        yield


def score(model: Model, dataset: Dataset) -> Result:
    """How well `model` does on the test part of `dataset`.

    The data may lack the last classes of the model, or name classes by their numbers.
    """
    _require_known_classes(dataset, model, "test on data with the classes of the model")
    with one_thread():
        return evaluate(model.network, dataset.x_test, dataset.y_test)


def score_early(model: Model, dataset: Dataset, threshold: float) -> EarlyEvaluation:
    """As `score`, answering at the first layer whose largest probability reaches `threshold`."""
    _require_known_classes(dataset, model, "test on data with the classes of the model")
    model.network.check_input(dataset.x_test)
    return EarlyExits(model.network, threshold).evaluate(dataset.x_test, dataset.y_test)


def _require_known_classes(dataset: Dataset, model: Model, fix: str) -> None:
    """Raise unless the classes are the model's first ones, by name or by number.

    Outputs of a regression may lack names, but none may be missing.
    """
    known, classes = model.network.names, dataset.classes
    if model.network.outputs is not None or dataset.outputs:
        if dataset.outputs not in (known, numbered_outputs(len(known))):
            raise _other_labels(dataset, known, fix)
        return
    count = len(classes)
    numbers = tuple(str(c) for c in range(count))
    if count > len(known) or classes not in (known[:count], numbers):
        raise _other_labels(dataset, known, fix)
