"""Simulate a model file on devices, and print the reports as a table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from edgelearn.cli import _subject
from edgelearn.cli._output import human_bytes, human_seconds, table
from edgelearn.errors import OptionError
from edgelearn.ir import Graph
from edgelearn.passes.reorder import reorder
from firmware_sim.calibration import Basis, require_runtime
from firmware_sim.costs import Precision
from firmware_sim.devices import DeviceProfile, read_device
from firmware_sim.latency import NodeCost
from firmware_sim.report import SimReport, simulate

MEMORY_NOTES: Final = (
    "RAM and flash are exact for the model's own data; program code is not in them, nor is an",
    "interpreter: a Python process with Numba takes about 140 MB more.",
)
BASIS_NOTES: Final[dict[Basis, str]] = {
    "calibrated": "this runtime was measured on this device; 9 of 10 measurements of networks\n"
    "  that the fit had not seen lie within the interval.",
    "transferred": "this runtime was measured on other devices with such cores; the interval\n"
    "  holds 9 of 10 measurements on devices that the fit had not seen.",
    "zero-shot": "this runtime was not measured, others were on such cores; the interval holds\n"
    "  9 of 10 measurements of runtimes that the fit had not seen.",
    "extrapolated": "no measured network is like this run, for its size, its batch or because it\n"
    "  trains: how far off the estimate is nobody knows. >= is a lower bound, as below.",
    "bound": "a lower bound, not a prediction: float32 at the peak rates of the device (see\n"
    "  'edgelearn devices ID' for sources). Only float16 or Winograd's convolution can be faster.",
}
PRECISION_NOTE: Final = (
    "--precision changes the time only: arena, RAM and flash are those of the file as it is. For\n"
    "  the memory of integers, simulate what 'edgelearn export --int8 full' wrote."
)
ENERGY_NOTE: Final = (
    "Energy is the power of the whole device times the time: of the measured runs where it was\n"
    "measured, else of the device under full load."
)
UNMEASURED: Final = "edgelearn"
"""What runs a training step: our engine, our C, or our step in a stock runtime."""


@dataclass(frozen=True, slots=True)
class How:
    """What the time is told for; no `batch` is the one it is trained with, or 1 sample."""

    runtime: str | None = None
    precision: Precision | None = None
    threads: int = 1
    batch: int | None = None


def run(file: Path, devices: Sequence[str], phase: str | None, how: How) -> list[SimReport]:
    """One report for each device and phase; no `phase` means all that the file has."""
    profiles = [read_device(name) for name in devices]
    if how.runtime is not None:
        require_runtime(how.runtime)
    subject = _subject.from_file(file)
    graphs = {phase: subject.graph(phase)} if phase else subject.graphs
    if how.precision == "int8":
        graphs = _without_training(graphs)
    return [
        _report(subject, name, graph, profile, how)
        for profile in profiles
        for name, graph in graphs.items()
    ]


def _without_training(graphs: Mapping[str, Graph]) -> dict[str, Graph]:
    """What there are integers for: a training step is not quantised."""
    kept = {name: graph for name, graph in graphs.items() if name != "train"}
    if not kept:
        raise OptionError(
            "option --precision",
            expected="float32: a training step is not quantised",
            got="int8",
            fix="leave --precision out, or simulate inference",
        )
    return kept


def _report(
    subject: _subject.Subject, phase: str, graph: Graph, profile: DeviceProfile, how: How
) -> SimReport:
    batch = subject.batch_of(phase) if how.batch is None else how.batch
    suits = how.batch is None or how.batch < 1 or phase != "train"
    return simulate(
        graph if suits else reorder(graph, batch),
        profile,
        phase=phase,
        threads=how.threads,
        batch=batch,
        runtime=how.runtime or (UNMEASURED if phase == "train" else None),
        precision=how.precision,
    )


def show(title: str, reports: Sequence[SimReport], how: How) -> None:
    """Print `reports`, one row each; the notes go to stderr."""
    table(title, [_row(report) for report in reports])
    found = {report.basis for report in reports}
    notes = [f"{basis}: {note}" for basis, note in BASIS_NOTES.items() if basis in found]
    if "extrapolated" in found and "bound" not in found:
        notes.append(f"bound: {BASIS_NOTES['bound']}")
    if how.precision is not None:
        notes.append(PRECISION_NOTE)
    click.echo("\n".join((*MEMORY_NOTES, *notes, ENERGY_NOTE)), err=True)


def folded(nodes: Sequence[NodeCost]) -> dict[str, list[NodeCost]]:
    """Nodes by what they are called without the number that tells repeated steps apart.

    An unrolled layer has ``gru1/t0/matmul``, ``gru1/t1/matmul`` and so on, one a time step, or
    ``gru1/matmul``, ``gru1/matmul_2``.
    """
    found: dict[str, list[NodeCost]] = {}
    for node in nodes:
        name = re.sub(r"/t\d+(?=/)|(?<=[a-z])_\d+$", "", node.name)
        found.setdefault(name, []).append(node)
    return found


def _row(report: SimReport) -> dict[str, str]:
    return {
        "device": report.device,
        "phase": report.phase,
        "batch": str(report.batch),
        "arena": human_bytes(report.arena_bytes),
        "RAM": human_bytes(report.peak_ram_bytes),
        "flash": human_bytes(report.flash_bytes),
        "fits": "yes" if report.fits else "NO",
        "latency": _latency(report),
        "basis": report.basis,
        "runtime": report.runtime or "-",
        "energy": _energy(report),
        "slowest": _slowest(report),
    }


def _latency(report: SimReport) -> str:
    middle, low = human_seconds(report.latency_s), human_seconds(report.latency_low_s)
    if report.basis == "bound":
        return f">= {low}" if report.bound_s else "unknown"
    if report.latency_high_s is None:
        return f"~{middle}, >= {low}" if report.latency_low_s else f"~{middle}"
    return f"{middle} ({low} to {human_seconds(report.latency_high_s)})"


def _energy(report: SimReport) -> str:
    if not report.energy_j:
        return "unknown"
    middle = _human_joules(report.energy_j)
    if report.energy_low_j is None or report.energy_high_j is None:
        return f">= {middle}" if report.basis == "bound" else f"~{middle}"
    low, high = _human_joules(report.energy_low_j), _human_joules(report.energy_high_j)
    return f"{middle} ({low} to {high})"


def _slowest(report: SimReport) -> str:
    if not report.latency_s:
        return "-"
    name, nodes = max(folded(report.nodes).items(), key=lambda part: _seconds(part[1]))
    times = f" x {len(nodes)}" if len(nodes) > 1 else ""
    bound = max(nodes, key=lambda node: node.seconds).bound
    return f"{name}{times} {_seconds(nodes) / report.latency_s:.0%} ({bound})"


def _seconds(nodes: Sequence[NodeCost]) -> float:
    return sum(node.seconds for node in nodes)


def _human_joules(joules: float) -> str:
    for factor, unit in ((1, "J"), (1e3, "mJ"), (1e6, "uJ")):
        if joules * factor >= 1:
            return f"{joules * factor:.3g} {unit}"
    return f"{joules * 1e9:.3g} nJ"
