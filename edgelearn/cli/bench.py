"""`edgelearn bench`: tpSGD beside its controls, measured here."""

from __future__ import annotations

from pathlib import Path

import click

from edgelearn.cli._output import json_option

recipe_argument = click.argument("recipe", required=False, type=click.Path(path_type=Path))
batch_option = click.option(
    "--batch",
    "batches",
    type=click.IntRange(1, 4096),
    multiple=True,
    default=(1, 8, 32, 128),
    show_default=True,
    help="Samples a step. May be repeated.",
)
set_option = click.option(
    "-s", "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change the recipe."
)


@click.group(name="bench")
def command() -> None:
    """Measure a recipe beside backpropagation and other controls, on this machine.

    RECIPE is a TOML file or the name of a shipped recipe; without it, digits-mlp.

    \b
    Example:
      edgelearn bench accuracy mnist-mlp --seeds 3
      edgelearn bench memory mnist-mlp
      edgelearn bench speed --batch 1
    """


@command.command(name="accuracy")
@recipe_argument
@click.option("--seeds", type=click.IntRange(1, 100), default=3, show_default=True)
@click.option("--only", multiple=True, metavar="NAME", help="This row alone. May be repeated.")
@set_option
@json_option
def accuracy(
    recipe: Path | None,
    seeds: int,
    only: tuple[str, ...],
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Train by tpSGD and by every one of the recipe's [[controls]], and test each.

    Of a regression: root mean squared errors, in the units of its outputs, and R2.

    \b
    Example:
      edgelearn bench accuracy mnist-mlp --seeds 1 -s train.epochs=2
    """
    from edgelearn.cli import _benching

    _benching.accuracy(recipe, seeds, only, overrides, as_json)


@command.command(name="memory")
@recipe_argument
@batch_option
@set_option
@json_option
def memory(
    recipe: Path | None, batches: tuple[int, ...], overrides: tuple[str, ...], as_json: bool
) -> None:
    """Print the arrays of a training step besides parameters, and what backpropagation needs.

    \b
    Example:
      edgelearn bench memory --batch 1 --batch 32
    """
    from edgelearn.cli import _benching

    _benching.memory(recipe, batches, overrides, as_json)


@command.command(name="speed")
@recipe_argument
@batch_option
@set_option
@json_option
def speed(
    recipe: Path | None, batches: tuple[int, ...], overrides: tuple[str, ...], as_json: bool
) -> None:
    """Time a training step on one thread, and one of backpropagation: ours, and PyTorch's.

    \b
    Example:
      edgelearn bench speed --batch 1
    """
    from edgelearn.cli import _benching

    _benching.speed(recipe, batches, overrides, as_json)
