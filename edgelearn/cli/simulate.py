"""`edgelearn simulate`: what a model needs on a device, before it is flashed."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgelearn.cli._output import emit, json_option
from edgelearn.errors import OptionError

if TYPE_CHECKING:
    from firmware_sim.costs import Precision

DEFAULT_DEVICES = ("rpi-zero-2w", "rpi-4b", "jetson-nano", "stm32h743")


@click.command(name="simulate")
@click.argument("file", type=click.Path(path_type=Path), default="model.safetensors")
@click.option(
    "--device",
    "devices",
    multiple=True,
    default=DEFAULT_DEVICES,
    metavar="ID",
    show_default=True,
    help="A device of 'edgelearn devices', or the path of a profile. May be repeated.",
)
@click.option(
    "--runtime",
    metavar="NAME",
    help="What runs it, e.g. ncnn or tflite-2.7.1. Default: what was measured best on the device; "
    "in training none, since no training was measured.",
)
@click.option(
    "--precision",
    type=click.Choice(["float32", "int8"]),
    help="What the time of inference is told for, if not for the file as it is; memory always is.",
)
@click.option("--phase", type=click.Choice(["infer", "train"]), help="Default: all in the file.")
@click.option(
    "--method",
    type=click.Choice(["analytic", "emulate"]),
    default="analytic",
    show_default=True,
    help="Estimates from measured runs of others, or the exported C on an emulated core.",
)
@click.option("--threads", type=int, default=1, show_default=True, help="CPU threads.")
@click.option(
    "--batch",
    type=int,
    help="Samples in one run. Default: 1, and in analytic training the recipe's.",
)
@click.option("--explain", is_flag=True, help="Also show where time and bytes go, by node.")
@json_option
def command(
    file: Path,
    devices: tuple[str, ...],
    runtime: str | None,
    precision: Precision | None,
    phase: str | None,
    method: str,
    threads: int,
    batch: int | None,
    explain: bool,
    as_json: bool,
) -> None:
    """Say what the model in FILE needs on each device: memory, time, energy.

    FILE is a model of 'edgelearn train', or an ONNX or TFLite file.

    \b
    Example:
      edgelearn simulate
      edgelearn simulate model.onnx --device rpi-4b --runtime tflite --threads 4
      edgelearn simulate model.onnx --device ./my-board.toml
      edgelearn simulate --method emulate --device stm32l4r5
    """
    if method == "emulate":
        _require_plain(runtime, precision, threads, explain)
        from edgelearn.cli import _emulation

        rows = _emulation.run(file, devices, phase, batch)
        emit([asdict(r) for r in rows], as_json, lambda: _emulation.show(str(file), rows))
        return
    from edgelearn.cli import _parts, _simulation

    how = _simulation.How(runtime, precision, threads, batch)
    reports = _simulation.run(file, devices, phase, how)

    def show() -> None:
        _simulation.show(str(file), reports, how)
        if explain:
            _parts.show(reports)

    emit([asdict(r) for r in reports], as_json, show)


def _require_plain(runtime: str | None, precision: str | None, threads: int, explain: bool) -> None:
    given = {
        "--runtime": runtime,
        "--precision": precision,
        "--threads": None if threads == 1 else threads,
        "--explain": explain or None,
    }
    for option, value in given.items():
        if value is not None:
            raise OptionError(
                "option --method emulate",
                expected=f"no {option}",
                got=f"{option} {value}",
                fix=f"leave out {option}: the exported C runs as it is, in one thread",
            )
