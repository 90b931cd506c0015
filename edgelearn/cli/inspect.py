"""`edgelearn inspect`: what a model file holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from edgelearn.cli._output import emit, human_bytes, json_option, share


@click.command(name="inspect")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def command(file: Path, as_json: bool) -> None:
    """Show inputs, outputs, operations and sizes of FILE, a .safetensors, .onnx or .tflite model.

    MACs and arena are for one sample, or for the batch that the file fixes.

    \b
    Example:
      edgelearn inspect model.safetensors
      edgelearn inspect model.onnx --json
    """
    from edgelearn.export.describe import describe

    found = describe(file)
    emit(found, as_json, lambda: _show(found))


def _show(found: dict[str, Any]) -> None:
    click.echo(f"{found['file']}: {found['format']}, {human_bytes(found['bytes'])}")
    for phase in found["phases"]:
        _show_phase(phase)
    for key in ("classes", "outputs", "recipe", "card"):
        if found[key]:
            click.echo(f"\n{key}: {json.dumps(found[key])}")


def _show_phase(phase: dict[str, Any]) -> None:
    click.echo(f"\n{phase['phase']} ({phase['name']})")
    for key in ("inputs", "outputs", "states"):
        for name, spec in phase[key].items():
            click.echo(f"  {key[:-1]:11} {name}: {spec}")
    ops = ", ".join(f"{count} {name}" for name, count in phase["ops"].items())
    click.echo(f"  {'ops':11} {ops}")
    click.echo(f"  {'parameters':11} {phase['parameters']:,}")
    click.echo(f"  {'weights':11} {human_bytes(phase['weights_bytes'])}")
    click.echo(f"  {'MACs':11} {phase['macs']:,}")
    click.echo(f"  {'arena':11} {human_bytes(phase['arena_bytes'])}")
    for name, part in phase["sparsity"].items():
        click.echo(f"  {'zeros':11} {name}: {share(part)}")
