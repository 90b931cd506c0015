"""Choose settings of a recipe, or of one of its controls, on held-out training samples.

The last samples of the training part take the place of the test part, which is not looked at. Every
combination of the values given is tried with one seed; the best come first.

    python tools/search.py models/fashion-cnn.toml --control backprop \
        --try train.lr=0.001,0.003 --try head.lr_scale=1,4 --samples 15000 -s train.epochs=8
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import msgspec

from edgelearn import datasets
from edgelearn.config import ControlConfig, Recipe, read_recipe
from edgelearn.datasets import Dataset
from edgelearn.errors import ConfigError, Diverged
from edgelearn.progress import Observer
from edgelearn.strict import parse_toml
from edgelearn.workflow import new_model, train


def candidates(grids: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Every combination of ``table.key=value,value``, by ``table.key``."""
    keys, values = [], []
    for grid in grids:
        key, _, words = grid.partition("=")
        keys.append(key)
        values.append([value_of(word) for word in words.split(",")])
    for chosen in itertools.product(*values):
        yield dict(zip(keys, chosen, strict=True))


def value_of(word: str) -> Any:
    """A number or a truth value, as TOML writes it, or else the word itself."""
    try:
        return parse_toml(f"value = {word}".encode(), word)["value"]
    except ConfigError:
        return word


def variant(recipe: Recipe, control: ControlConfig, settings: dict[str, Any]) -> Recipe:
    """The recipe of `control` with these settings instead."""
    tables: dict[str, dict[str, Any]] = {
        "train": dict(control.train),
        "hidden": dict(control.hidden),
        "head": dict(control.head),
    }
    for key, value in settings.items():
        table, _, name = key.partition(".")
        tables[table][name] = value
    return recipe.control(msgspec.structs.replace(control, **tables))


def held_out(data: Dataset, samples: int, validation: int) -> Dataset:
    """The first `samples` of training to learn from, its last `validation` to judge by."""
    x, y = data.x_train, data.y_train
    samples = min(samples, len(x) - validation)
    return replace(
        data,
        x_train=x[:samples],
        y_train=y[:samples],
        x_test=x[-validation:],
        y_test=y[-validation:],
    )


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--control", help="The control whose settings are searched; else tpSGD's.")
@click.option("--try", "grids", multiple=True, help="train|hidden|head.KEY=VALUE,VALUE")
@click.option("--samples", default=10_000, show_default=True, help="To learn from.")
@click.option("--validation", default=5_000, show_default=True, help="To judge by.")
@click.option("-s", "--set", "overrides", multiple=True)
def main(
    path: Path,
    control: str | None,
    grids: tuple[str, ...],
    samples: int,
    validation: int,
    overrides: tuple[str, ...],
) -> None:
    """Print what each combination reaches."""
    recipe = read_recipe(path, overrides)
    known = {found.name: found for found in recipe.controls}
    chosen = known[control] if control else ControlConfig("tpsgd", recipe.train.method)
    data = held_out(datasets.load(recipe.dataset), samples, validation)
    found = []
    for settings in candidates(grids):
        try:
            _, report = train(new_model(variant(recipe, chosen, settings), data), data, Observer())
        except Diverged:
            continue
        assert report is not None  # noqa: S101  nobody stops the run
        found.append((report.accuracy, settings))
        print(f"{report.accuracy:.2%}  {settings}  {report.seconds:.0f} s", flush=True)
    print("\nbest first:")
    for accuracy, settings in sorted(found, key=lambda pair: -pair[0])[:5]:
        print(f"{accuracy:.2%}  {settings}")


if __name__ == "__main__":
    main()
