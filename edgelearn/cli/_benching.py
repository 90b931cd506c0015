"""The parts of `edgelearn bench`: what is measured, and the tables."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from edgelearn import datasets, workflow
from edgelearn.bench import accuracy as by_accuracy
from edgelearn.bench import memory as by_memory
from edgelearn.bench import peer
from edgelearn.bench import speed as by_speed
from edgelearn.bench.accuracy import AccuracyRow, FitRow
from edgelearn.cli._output import MARKS, emit, human_bytes, human_seconds, share, shown, table
from edgelearn.cli._training import load
from edgelearn.errors import unknown
from edgelearn.network import Network
from edgelearn.planning import blank_network
from edgelearn.reporting import TrainReport
from edgelearn.shipped import find_recipe


def _say(line: str) -> None:
    click.echo(line, err=True)


def _say_why_none(network: Network) -> None:
    reason = peer.why_none(network)
    if reason:
        _say(f"note: no row of PyTorch: {reason}")


def accuracy(
    path: Path | None, seeds: int, only: Sequence[str], overrides: Sequence[str], as_json: bool
) -> None:
    """Accuracy by every method."""
    recipe = find_recipe(path, overrides)
    known = by_accuracy.contestants(recipe)
    for name in only:
        if name not in known:
            raise unknown("row", name, known)
    dataset = load(recipe.dataset)
    chosen = by_accuracy.contestants(recipe, only)
    rows = [by_accuracy.measure(n, r, dataset, seeds, _say_run) for n, r in chosen.items()]
    what = "errors" if recipe.regresses else "accuracy"
    over = "1 seed" if seeds == 1 else f"{seeds} seeds"
    title = f"{recipe.name}: {what} on {len(dataset.x_test):,} test samples, {over}"
    lines = [
        {"method": row.name, **_marks(row), "a run": human_seconds(row.seconds)} for row in rows
    ]
    emit(msgspec.to_builtins(rows), as_json, lambda: table(title, lines))


def _say_run(name: str, seed: int, report: TrainReport) -> None:
    marks = ((key, getattr(report, key)) for key in MARKS)
    reached = ", ".join(f"{MARKS[k]} {shown(k, v)}" for k, v in marks if v is not None)
    _say(f"{name}, seed {seed}: {reached} in {human_seconds(report.seconds)}")


def _marks(row: AccuracyRow | FitRow) -> dict[str, str]:
    """Mean and spread over the seeds, as a table has them."""
    if isinstance(row, AccuracyRow):
        return {"mean": share(row.mean), "spread": share(row.spread)}
    fits = [value for value in row.r2 if value is not None]
    return {
        "RMSE": shown("rmse", row.mean),
        "spread": shown("rmse", row.spread),
        "R2": shown("r2", statistics.mean(fits) if fits else None),
    }


def memory(
    path: Path | None, batches: Sequence[int], overrides: Sequence[str], as_json: bool
) -> None:
    """Memory by every method and batch size."""
    recipe = find_recipe(path, overrides)
    network = blank_network(recipe, datasets.describe(recipe.dataset))
    _say_why_none(network)
    rows = list(by_memory.rows(network, recipe, batches))
    parameters = by_memory.parameter_bytes(network)
    title = f"{recipe.name}: arrays besides {human_bytes(parameters)} of parameters"
    lines = [
        {
            "batch": row.batch,
            "method": row.name,
            "besides parameters": human_bytes(row.beyond_bytes),
            "in all": human_bytes(row.beyond_bytes + parameters),
            "kind": row.kind,
        }
        for row in rows
    ]
    emit(msgspec.to_builtins(rows), as_json, lambda: table(title, lines))


def speed(
    path: Path | None, batches: Sequence[int], overrides: Sequence[str], as_json: bool
) -> None:
    """Speed by every method and batch size."""
    recipe = find_recipe(path, overrides)
    dataset = load(recipe.dataset)
    _say_why_none(workflow.new_model(recipe, dataset).network)
    rows = list(by_speed.rows(recipe, dataset, batches))
    lines = [
        {
            "batch": row.batch,
            "method": row.name,
            "a step": human_seconds(row.seconds),
            "least - most": f"{human_seconds(row.least)} - {human_seconds(row.most)}",
            "times tpSGD": f"{row.times_first:.2f}",
        }
        for row in rows
    ]
    title = f"{recipe.name}: time of a training step, one thread"
    emit(msgspec.to_builtins(rows), as_json, lambda: table(title, lines))
