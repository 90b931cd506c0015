"""`edgelearn prune`: set small weights to 0, and learn on with the others."""

from __future__ import annotations

from pathlib import Path

import click

from edgelearn.cli._output import emit, json_option, model_option


@click.command(name="prune")
@model_option
@click.option("--data", type=click.Path(path_type=Path), help="Learn and test on this data.")
@click.option("--sparsity", type=float, help="The share of zeros, e.g. 0.9.")
@click.option(
    "--pattern",
    default="unstructured",
    show_default=True,
    help="unstructured, 1x4, 1x16, 64x1, neuron, or N:M such as 2:4.",
)
@click.option(
    "--scope",
    type=click.Choice(["all", "ih", "hh", "both"]),
    default="all",
    show_default=True,
    help="All layers, or recurrent ones: what they read, what they feed back, or both.",
)
@click.option("--global", "together", is_flag=True, help="Compare weights across matrices.")
@click.option(
    "--retrain",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Epochs of learning with what is left.",
)
@click.option(
    "--schedule",
    type=click.Choice(["oneshot", "gradual", "iterative", "dynamic"]),
    default="oneshot",
    show_default=True,
    help="All at once, more and more, or at once and then in other places.",
)
@click.option(
    "--lr",
    type=click.FloatRange(0, 1e38, min_open=True),
    help="First learning rate, if not the recipe's.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="pruned.safetensors",
    show_default=True,
    help="Where the pruned model goes.",
)
@json_option
def command(model: Path, data: Path | None, out: Path, as_json: bool, **settings: object) -> None:
    """Set the smallest weights of a trained model to 0, and teach the others again.

    The zeros stay through all later learning, on the device too. The last layer is not pruned.
    Much at once and in blocks costs accuracy: --global, --schedule dynamic, as many epochs as the
    model was trained for and a wider model cost least (models/sparse-study.md). With train.patience
    in the recipe, the best epoch by held-out samples is kept.

    \b
    Example:
      edgelearn prune --sparsity 0.8 --retrain 10
      edgelearn prune --sparsity 0.9 --pattern 1x4 --global --retrain 20 \\
        --schedule dynamic
    """
    from edgelearn.cli import _pruning
    from edgelearn.files import require_writable

    require_writable(out)
    result, mark = _pruning.run(model, data, out, settings)
    emit(result, as_json, lambda: _pruning.show(result, mark))
