"""`edgelearn predict`: classify files, or lines as they come."""

from __future__ import annotations

from pathlib import Path

import click

from edgelearn.cli._output import emit, json_option, model_option


@click.command(name="predict")
@model_option
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True))
@json_option
def command(model: Path, files: tuple[Path, ...], as_json: bool) -> None:
    """Classify samples: .npy arrays, .csv files, or lines from stdin (-) as they come.

    A line holds the numbers of one sample, separated by commas or blanks, not normalised: the
    model does that itself. Prints the class and its probability, one line a sample.

    \b
    Example:
      edgelearn predict samples.csv
      tail -f sensor.csv | edgelearn predict -
    """
    from edgelearn.cli import _predicting

    classify = _predicting.classifier(model)
    found = []
    for guess in _predicting.guesses(classify, files):
        found.append(guess)
        if not as_json:
            click.echo(f"{guess['class']}\t{guess['probability']:.4f}")
    if as_json:
        emit(found, as_json, lambda: None)
