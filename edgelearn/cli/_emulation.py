"""Emulate a model as C on the cores of devices, and print what a call takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from edgelearn.cli import _subject
from edgelearn.cli._output import human_bytes, table
from edgelearn.export.c_program import to_program
from edgelearn.export.c_target import parts
from edgelearn.export.c_trial import Trial
from edgelearn.export.verify import TOLERANCES
from firmware_sim.devices import read_device
from firmware_sim.emulate import Call, Core, Emulated, Source, core_of, emulate

CALLS = 4
NOTES = (
    f"Mean instructions of {CALLS} calls on an emulated core without an operating system; how many",
    "cycles they take depends on core and flash. Flash is code and constants, RAM static memory.",
    "On cores that run Linux no instructions are counted.",
    f"Results are the interpreter's within {TOLERANCES['c', 'float32']:g}.",
)


@dataclass(frozen=True, slots=True)
class Emulation:
    """What one function of a model takes on one device; instructions and stack of a board only.

    Flash and RAM are those of the whole program: of all its functions.
    """

    device: str
    core: str
    function: str
    batch: int
    instructions: int | None
    stack_bytes: int | None
    flash_bytes: int
    ram_bytes: int
    max_abs_error: float


def run(
    file: Path, devices: Sequence[str], phase: str | None, batch: int | None
) -> list[Emulation]:
    """One row for each device and function.

    No `phase` means training if the file has it, which predicts too.
    """
    cores = {name: core_of(read_device(name).cpu) for name in devices}
    subject = _subject.from_file(file)
    phase = phase or ("train" if "train" in subject.graphs else "infer")
    graphs, batches = parts(subject.graph(phase), batch)
    program = to_program("model", graphs, batches)
    extra = {} if subject.bundle is None else subject.bundle.extra
    trial = Trial(program, graphs, extra, CALLS)
    return [row for name, core in cores.items() for row in _rows(trial, name, core)]


def _rows(trial: Trial, device: str, core: Core) -> list[Emulation]:
    source = Source(trial.program.name, trial.files(on_board=core.is_board))
    done = emulate(core, source, trial.script())
    error = trial.require(done.output, f"emulating {device}", core.cpu)
    return [
        Emulation(
            device=device,
            core=core.cpu,
            function=function.name,
            batch=function.batch,
            instructions=_mean(calls),
            stack_bytes=max((call.stack_bytes for call in calls), default=None),
            flash_bytes=done.flash_bytes,
            ram_bytes=done.ram_bytes,
            max_abs_error=error,
        )
        for function in trial.program.functions
        for calls in [_calls(done, function.name)]
    ]


def _calls(done: Emulated, function: str) -> list[Call]:
    return [call for call in done.calls if call.command == function[0]]


def _mean(calls: Sequence[Call]) -> int | None:
    return sum(call.instructions for call in calls) // len(calls) if calls else None


def show(title: str, rows: Sequence[Emulation]) -> None:
    """Print `rows`; the notes go to stderr."""
    table(title, [_row(row) for row in rows])
    click.echo("\n".join(NOTES), err=True)


def _row(row: Emulation) -> dict[str, str]:
    return {
        "device": row.device,
        "core": row.core,
        "function": row.function,
        "batch": str(row.batch),
        "instructions": "-" if row.instructions is None else f"{row.instructions:,}",
        "stack": "-" if row.stack_bytes is None else human_bytes(row.stack_bytes),
        "flash": human_bytes(row.flash_bytes),
        "RAM": human_bytes(row.ram_bytes),
    }
