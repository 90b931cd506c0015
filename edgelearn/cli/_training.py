"""The parts of `edgelearn train`: where a run begins, how it ends, what it prints."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import click
import msgspec

from edgelearn import datasets, modelfile, workflow
from edgelearn.cli._output import MARKS, human_bytes, human_seconds, shown, table
from edgelearn.cli._progress import Watch, downloads
from edgelearn.continuing import go_on
from edgelearn.datasets import Dataset
from edgelearn.errors import MissingFile, OptionError
from edgelearn.modelfile import Model
from edgelearn.progress import Observer
from edgelearn.shipped import find_recipe


def checkpoint_path(out: Path) -> Path:
    """Where an interrupted run leaves what it has, beside `out`."""
    return out.with_name(f"{out.stem}.ckpt.safetensors")


def begun(
    recipe: Path | None, data: Path | None, overrides: Sequence[str]
) -> tuple[Model, Dataset]:
    """A new model and its data."""
    chosen = find_recipe(recipe, overrides)
    if data is not None:
        chosen = msgspec.structs.replace(chosen, dataset=workflow.guess_source(data, chosen))
    dataset = load(chosen.dataset)
    model = workflow.new_model(chosen, dataset, _say_start)
    wanted, count = chosen.dataset.samples, len(dataset.x_train)
    if wanted is not None and wanted > count:
        click.echo(f"note: {wanted:,} samples are asked for, the data has {count:,}", err=True)
    unseen = set(range(len(dataset.classes))) - set(dataset.y_train.ravel().tolist())
    if unseen:
        names = ", ".join(repr(dataset.classes[label]) for label in sorted(unseen)[:5])
        more = ", ..." if len(unseen) > 5 else ""
        classes = "class" if len(unseen) == 1 else "classes"
        click.echo(f"note: no training sample of {len(unseen)} {classes}: {names}{more}", err=True)
    return model, dataset


def _say_start(layer: str) -> None:
    click.echo(f"{layer}: first parameters from the data", err=True)


def resumed(
    out: Path, recipe: Path | None, data: Path | None, overrides: Sequence[str]
) -> tuple[Model, Dataset]:
    """The model that an interrupted run left, and its data."""
    if recipe is not None or overrides:
        raise OptionError(
            "option --resume",
            expected="no recipe and no -s beside it: the checkpoint holds the recipe",
            got="-s" if recipe is None else f"recipe {str(recipe)!r}",
            fix="leave it out, or leave out --resume to begin anew",
        )
    path = checkpoint_path(out)
    if not path.is_file():
        raise MissingFile(
            f"checkpoint {str(path)!r}",
            expected="the checkpoint of an interrupted run",
            got="no such file",
            fix="leave out --resume to begin anew",
        )
    model = modelfile.load(path)
    source = model.recipe.dataset if data is None else workflow.guess_source(data, model.recipe)
    return model, load(source)


def model_file(recipe: Path | None, more: int, anneal: int) -> Path | None:
    """RECIPE if it is a model to go on with; only then may there be `more` epochs or `anneal`."""
    if recipe is not None and recipe.suffix == ".safetensors":
        return recipe
    if more or anneal:
        raise OptionError(
            f"option --{'more' if more else 'anneal'}",
            expected="a model in place of RECIPE, to go on with",
            got="none" if recipe is None else repr(str(recipe)),
            fix="write e.g. edgelearn train model.safetensors --anneal 5",
        )
    return None


def continued(
    path: Path, data: Path | None, overrides: Sequence[str], more: int, anneal: int
) -> tuple[Model, Dataset]:
    """The model at `path`, ready for `more` epochs and then `anneal` of annealing, and its data."""
    if overrides or not more + anneal:
        raise OptionError(
            f"model {str(path)!r}",
            expected="--more EPOCHS or --anneal EPOCHS, and no -s: the model holds its recipe",
            got="-s" if overrides else "neither",
            fix="add --anneal 5, or name a recipe to begin anew",
        )
    model = modelfile.load(path)
    if data is not None:
        source = workflow.guess_source(data, model.recipe)
        recipe = msgspec.structs.replace(model.recipe, dataset=source)
        model = replace(model, recipe=recipe)
    dataset = load(model.recipe.dataset)
    return go_on(model, dataset, more, anneal), dataset


def load(source: datasets.Source) -> Dataset:
    """The data of `source`, with a progress bar if it must be downloaded."""
    with downloads() as tell:
        return datasets.load(source, tell)


def require_budget(model: Model, dataset: Dataset, budget: str) -> None:
    """Refuse before anything runs if the working set is over `budget`."""
    from firmware_sim.quantities import parse_quantity

    limit = int(parse_quantity(budget, "bytes", "option --budget"))
    workflow.require_budget(model.recipe, dataset, limit)


def run(model: Model, dataset: Dataset, out: Path) -> tuple[dict[str, Any] | None, int]:
    """Train, and write the model or, if a signal came, a checkpoint; the exit code says which."""
    with _caught_signals() as caught:
        with Watch(model, dataset) as watch:
            observer = Observer(watch.on_step, watch.on_epoch, lambda: bool(caught))
            model, report = workflow.train(model, dataset, observer)
        if report is not None:
            if report.note:
                click.echo(f"note: {report.note}", err=True)
            modelfile.save(out, model)
            checkpoint_path(out).unlink(missing_ok=True)
            return msgspec.to_builtins(report), 0
        modelfile.save(checkpoint_path(out), model)
    again = f"edgelearn train --resume --out {shlex.quote(str(out))}"
    click.echo(f"stopped; go on with: {again}", err=True)
    return None, 128 + caught[0]


@contextmanager
def _caught_signals() -> Iterator[list[int]]:
    """Signals that came in this block: the first lets the step end, the second does not wait."""
    caught: list[int] = []

    def remember(number: int, _frame: FrameType | None) -> None:
        if caught:
            raise KeyboardInterrupt
        caught.append(number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    before: dict[int, Any] = {number: signal.signal(number, remember) for number in numbers}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def show(result: Mapping[str, Any]) -> None:
    """Print a training report for a person."""
    mark = "accuracy" if "accuracy" in result else "r2"
    rows = [
        {
            "layer": layer["name"],
            "kind": layer["kind"],
            "parameters": f"{layer['params']:,}",
            f"{MARKS[mark]} of its readout": shown(mark, layer[mark]),
        }
        for layer in result["layers"]
    ]
    reached = ", ".join(f"{MARKS[key]} {shown(key, result[key])}" for key in MARKS if key in result)
    table(f"{result['recipe']}: test {reached}", rows)
    speed = f"{result['samples_per_second']:,.0f} samples/s"
    click.echo(f"time         {human_seconds(result['seconds'])} ({speed})")
    click.echo(f"working set  {human_bytes(result['working_set_bytes'])} (arrays of training)")
    click.echo(f"peak RSS     {human_bytes(result['peak_rss_bytes'])} (this whole process)")
    click.echo(f"model        {result['model']}")
