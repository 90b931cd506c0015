"""Simulate a model file on devices, and print the reports as a table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import click

from edgelearn.cli import _subject
from edgelearn.cli._output import human_bytes, human_seconds, table
from edgelearn.passes.reorder import reorder
from firmware_sim.devices import read_device
from firmware_sim.latency import NodeCost
from firmware_sim.report import SimReport, simulate

NOTES = (
    "RAM and flash are exact for the model's own data; program code is not in them, nor is an",
    "interpreter: a Python process with Numba takes about 140 MB more.",
    "Latency is a lower bound, not calibrated by measurements: float32 at the peak rates of the",
    "device ('edgelearn devices ID' shows them and their sources). Only float16 or Winograd's",
    "convolution can be faster. Energy is the power under full load for that time.",
)


def run(
    file: Path, devices: Sequence[str], phase: str | None, threads: int, batch: int | None
) -> list[SimReport]:
    """One report for each device and phase.

    No `phase` means all that the file has; no `batch` the one it is trained with, or 1 sample.
    """
    profiles = [read_device(name) for name in devices]
    subject = _subject.from_file(file)
    graphs = {phase: subject.graph(phase)} if phase else subject.graphs
    reports = []
    for profile in profiles:
        for name, graph in graphs.items():
            samples = subject.batch_of(name) if batch is None else batch
            suits = batch is None or batch < 1 or name != "train"
            ordered = graph if suits else reorder(graph, samples)
            reports.append(simulate(ordered, profile, phase=name, threads=threads, batch=samples))
    return reports


def show(title: str, reports: Sequence[SimReport]) -> None:
    """Print `reports`, one row each; the notes go to stderr."""
    table(title, [_row(report) for report in reports])
    click.echo("\n".join(NOTES), err=True)


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
    energy = report.energy_j
    return {
        "device": report.device,
        "phase": report.phase,
        "batch": str(report.batch),
        "arena": human_bytes(report.arena_bytes),
        "RAM": human_bytes(report.peak_ram_bytes),
        "flash": human_bytes(report.flash_bytes),
        "fits": "yes" if report.fits else "NO",
        "latency": f">= {human_seconds(report.latency_low_s)}",
        "energy": "unknown" if energy is None else _human_joules(energy),
        "slowest": _slowest(report),
    }


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
