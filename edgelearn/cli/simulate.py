"""`edgelearn simulate`: what a model needs on a device, before it is flashed."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from edgelearn.cli._output import emit, json_option
from edgelearn.errors import OptionError

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
@click.option("--phase", type=click.Choice(["infer", "train"]), help="Default: all in the file.")
@click.option(
    "--method",
    type=click.Choice(["analytic", "emulate"]),
    default="analytic",
    show_default=True,
    help="Bounds from the device's data, or a run of the exported C on its emulated core.",
)
@click.option("--threads", type=int, default=1, show_default=True, help="CPU threads.")
@click.option(
    "--batch",
    type=int,
    help="Samples in one run. Default: 1, and in analytic training the recipe's.",
)
@json_option
def command(
    file: Path,
    devices: tuple[str, ...],
    phase: str | None,
    method: str,
    threads: int,
    batch: int | None,
    as_json: bool,
) -> None:
    """Say what the model in FILE needs on each device: memory, least time, energy.

    FILE is a model of 'edgelearn train' or an ONNX file.

    \b
    Example:
      edgelearn simulate
      edgelearn simulate model.onnx --device rpi-4b --device ./my-board.toml
      edgelearn simulate --method emulate --device stm32l4r5
    """
    if method == "emulate":
        _require_one_thread(threads)
        from edgelearn.cli import _emulation

        rows = _emulation.run(file, devices, phase, batch)
        emit([asdict(r) for r in rows], as_json, lambda: _emulation.show(str(file), rows))
        return
    from edgelearn.cli import _simulation

    reports = _simulation.run(file, devices, phase, threads, batch)
    emit([asdict(r) for r in reports], as_json, lambda: _simulation.show(str(file), reports))


def _require_one_thread(threads: int) -> None:
    if threads != 1:
        raise OptionError(
            "option --method emulate",
            expected="--threads 1",
            got=f"--threads {threads}",
            fix="leave out --threads: the exported C has one",
        )
