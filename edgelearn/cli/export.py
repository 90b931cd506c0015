"""`edgelearn export`: a model file for a runtime, verified before it is kept."""

from __future__ import annotations

from pathlib import Path

import click

from edgelearn.cli._output import emit, human_bytes, json_option, model_option


@click.command(name="export")
@click.argument("out", type=click.Path(path_type=Path))
@model_option
@click.option(
    "--phase",
    type=click.Choice(["infer", "train"]),
    default="infer",
    show_default=True,
    help="What the file computes: class probabilities, or one step of learning.",
)
@click.option("--opset", type=int, default=17, show_default=True, help="ONNX operator set.")
@json_option
def command(out: Path, model: Path, phase: str, opset: int, as_json: bool) -> None:
    """Write the model to OUT, which ends in .onnx, and verify the file by running it.

    With --phase train the file holds one step of learning: weights in, weights out, so that
    a stock runtime trains the model without edgelearn.

    \b
    Example:
      edgelearn export model.onnx
      edgelearn export --phase train step.onnx
    """
    from dataclasses import asdict

    from edgelearn.export.exporter import check_format, export_onnx
    from edgelearn.ir import store

    check_format(out)
    done = export_onnx(store.read(model), phase, out, opset)

    def show() -> None:
        click.echo(f"{done.path}: {human_bytes(done.bytes)}, ONNX, {phase}")
        for runtime in done.runtimes:
            error = done.max_abs_error[runtime.split()[0]]
            click.echo(f"verified on {runtime}: largest error {error:.2g}")

    emit(asdict(done), as_json, show)
