"""A first budget file for the model at hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

from edgelearn.cli import _metrics, _subject
from edgelearn.errors import OutputError
from edgelearn.files import write_atomic
from firmware_sim.budget_file import CheckPlan

MODEL = "model.safetensors"
METRICS = (
    "infer.arena",
    "infer.weights",
    "train.working_set",
    "train.peak_rss",
    "export.onnx.size",
)
MARKS = ("accuracy.min", "r2.min")
"""Of a classifier, of a regression."""
HEADROOM = 1.25
SLACK = 0.02


def write(config: Path) -> int:
    """Write `config` for the model beside it, and return how many budgets it has.

    Raises
    ------
    OutputError
        If there is such a file already.
    """
    if config.exists():
        raise OutputError(
            f"budget file {str(config)!r}",
            expected="no such file yet",
            got="one",
            fix="edit it, or name another with --config",
        )
    subject = _subject.from_file(config.parent / MODEL)
    regression = subject.bundle is not None and bool(subject.bundle.meta.get("outputs"))
    metrics = (*METRICS, MARKS[regression])
    lines = [f"  {metric} = {_budget(subject, metric)}" for metric in metrics]
    name = json.dumps(subject.graph("infer").name)
    head = [
        "# Budgets of 'edgelearn check': what the model needed at first, and 25 % more.",
        "[[check.model]]",
        f"name = {name}",
        f'file = "{MODEL}"',
        "  [check.model.budget]",
    ]
    write_atomic(config, ("\n".join([*head, *lines]) + "\n").encode())
    return len(lines)


def _budget(subject: _subject.Subject, metric: str) -> str:
    value = _metrics.measure(subject, metric, None, CheckPlan((), ())).value
    if metric in MARKS:
        return f"{max(math.floor((value - SLACK) * 100) / 100, 0):.2f}"
    unit, size = ("MiB", 2**20) if value >= 10 * 2**20 else ("KiB", 2**10)
    return f'"{math.ceil(value * HEADROOM / size)} {unit}"'
