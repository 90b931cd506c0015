"""`edgelearn predict`: classify files, or lines as they come."""

from __future__ import annotations

from pathlib import Path

import click

from edgelearn.cli._output import emit, json_option, model_option


@click.command(name="predict")
@model_option
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--exit-at",
    type=click.FloatRange(0, 1),
    help="Answer at the first layer that is this sure, e.g. 0.9.",
)
@json_option
def command(model: Path, files: tuple[Path, ...], exit_at: float | None, as_json: bool) -> None:
    """Classify samples, or predict values: .npy, .npz, .csv files, or lines from stdin (-).

    A line holds the numbers of one sample, separated by commas or blanks, not normalised: the
    model does that itself. Of an archive x is read, or x_test if there is no x; lengths (or
    lengths_test) beside it become the mask of a model that has one. Prints the class and its
    probability (of a linear head its score), or the values of a regression, one line a sample;
    with --exit-at also the layer that answered.

    \b
    Example:
      edgelearn predict samples.csv
      tail -f sensor.csv | edgelearn predict -
    """
    from edgelearn.cli import _predicting

    predict = _predicting.predictor(model, exit_at)
    found = []
    for guess in _predicting.guesses(predict, files):
        found.append(guess)
        if not as_json:
            click.echo("\t".join(_words(guess)))
    if as_json:
        emit(found, as_json, lambda: None)


def _words(guess: dict[str, str | float]) -> list[str]:
    return [f"{value:.4f}" if isinstance(value, float) else value for value in guess.values()]
