"""`edgelearn export`: a model file for a runtime, verified before it is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgelearn.cli import _int8
from edgelearn.cli._output import emit, human_bytes, json_option, model_option
from edgelearn.errors import OptionError


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
@click.option(
    "--form",
    type=click.Choice(["whole", "stream"]),
    default="whole",
    show_default=True,
    help="Whole samples, or of a recurrent model one time step a run, with its memory in and out.",
)
@click.option("--opset", type=int, help="ONNX operator set. Default: 17.")
@click.option("--dense", is_flag=True, help="Store the zeros of a pruned model too.")
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    help="Samples in one run of a .tflite or .c file, whose shapes are fixed. Default: 1.",
)
@_int8.int8_options
@json_option
def command(
    out: Path,
    model: Path,
    phase: str,
    form: str,
    opset: int | None,
    batch: int | None,
    dense: bool,
    int8: str | None,
    as_json: bool,
    **quantiser: Any,
) -> None:
    """Write the model to OUT, in the format its suffix says, and verify the file by running it.

    OUT ends in .onnx, .tflite or .c; of C there is a header beside it.

    With --phase train the file holds one step of learning: weights in, weights out, so that
    a stock runtime trains the model without edgelearn. With --form stream it holds one time step of
    inference: feed back what it gives as NAME.next to the input NAME.

    Of a matrix that was pruned the file holds the weights that are left, and their places: after
    --phase train, what goes in and out is a vector of these. With --dense it holds the zeros too.

    With --int8 the model is tested before and after, and what is left in float32 is listed.

    \b
    Example:
      edgelearn export model.onnx
      edgelearn export --phase train step.onnx
      edgelearn export --phase train --batch 16 step.tflite
      edgelearn export --phase train firmware.c
      edgelearn export --form stream stream.onnx
      edgelearn export --int8 full small.onnx
    """
    from dataclasses import asdict

    from edgelearn.export.exporter import export, target_of
    from edgelearn.export.target import Options
    from edgelearn.ir import store

    _int8.require_int8(int8, **quantiser)
    options = Options(opset=opset, batch=batch, dense=dense or None)
    target_of(out, options)
    bundle = store.read(model)
    if form == "stream":
        from edgelearn.modelfile import with_stream

        _require_inference(phase)
        bundle, phase = with_stream(bundle, f"model {str(model)!r}"), "stream"
    plain, report = bundle.graphs.get(phase), None
    if int8 is not None:
        bundle, report = _int8.quantised(bundle, phase, model, mode=int8, **quantiser)
    done = export(bundle, phase, out, options, plain)

    def show() -> None:
        click.echo(f"{done.path}: {human_bytes(done.bytes)}, {done.format}, {phase}")
        if report is None and done.bytes < done.dense_bytes:
            click.echo(f"sparse: {done.dense_bytes / done.bytes:.1f} times smaller than dense")
        for runtime, error in zip(done.runtimes, done.max_abs_error.values(), strict=True):
            click.echo(f"verified on {runtime}: largest error {error:.2g}")
        if report is not None:
            _int8.show(report, done.dense_bytes, done.bytes)

    emit(asdict(done) | ({} if report is None else {"int8": asdict(report)}), as_json, show)


def _require_inference(phase: str) -> None:
    if phase != "infer":
        raise OptionError(
            "option --form stream",
            expected="--phase infer",
            got=f"--phase {phase}",
            fix="a training step reads whole sequences: leave out --form",
        )
