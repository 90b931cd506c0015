"""Run the checks of a budget file and print them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from edgelearn.cli import _contributors, _metrics, _subject
from edgelearn.cli._output import human_bytes, human_seconds, table
from edgelearn.errors import ModelFileError
from edgelearn.strict import read_bytes
from firmware_sim.budget_file import CheckPlan, ModelBudget, parse_plan
from firmware_sim.budgets import METRICS, Budget, Value, Verdict, judge
from firmware_sim.calibration import require_runtime
from firmware_sim.devices import DeviceProfile, read_device

UNPROVEN: Final = (
    "unproven: the budget lies between what is known least and what is known most, if that is\n"
    "known; of a latency it is where [check] names a runtime that was measured on such cores,\n"
    "with networks as large ('edgelearn simulate' calls others extrapolated)"
)


@dataclass(frozen=True, slots=True)
class Check:
    """One budget of one model, on one device if it depends on the device."""

    model: str
    target: str | None
    budget: Budget
    value: Value
    verdict: Verdict
    why: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The keys that scripts may rely on; null is an end of `bound` that is not known."""
        value = self.value
        return {
            "name": self.model,
            "target": self.target,
            "metric": self.budget.metric,
            "value": value.value,
            "budget": self.budget.limit,
            "verdict": self.verdict,
            "kind": value.kind,
            "bound": [value.low, value.high if math.isfinite(value.high) else None],
        }


def run(config: Path, *, why: bool) -> list[Check]:
    """Every check of the budget file `config`; `why` adds what contributes most."""
    fix = "write one, or let 'edgelearn check --init' write one for your model"
    plan = parse_plan(read_bytes(config, "budget file", fix), config)
    places = [str(config.parent / t) if t.endswith(".toml") else t for t in plan.targets]
    profiles = [read_device(place) for place in places]
    if plan.runtime is not None:
        require_runtime(plan.runtime)
    return [
        check
        for model in plan.models
        for check in _check_model(_read(model, config), model, plan, profiles, why=why)
    ]


def exit_code(checks: Sequence[Check]) -> int:
    """1 if a budget is broken, 3 if nothing was proven, else 0."""
    verdicts = {check.verdict for check in checks}
    return 1 if "fail" in verdicts else 3 if verdicts <= {"unproven"} else 0


def show(checks: Sequence[Check]) -> None:
    """Print `checks` as a table and count the verdicts."""
    table("budgets", [_row(check) for check in checks])
    counts = Counter(check.verdict for check in checks)
    click.echo(", ".join(f"{counts[v]} {v}" for v in ("pass", "warn", "fail", "unproven")))
    if counts["unproven"]:
        click.echo(UNPROVEN, err=True)
    for check in checks:
        if check.why:
            place = f" on {check.target}" if check.target else ""
            click.echo(f"{check.model} {check.budget.metric}{place}: {', '.join(check.why)}")


def _check_model(
    subject: _subject.Subject,
    model: ModelBudget,
    plan: CheckPlan,
    profiles: list[DeviceProfile],
    *,
    why: bool,
) -> list[Check]:
    checks = []
    for budget in model.budgets:
        targets = profiles if METRICS[budget.metric].per_target else [None]
        for profile in targets:
            value = _metrics.measure(subject, budget.metric, profile, plan)
            parts = _contributors.of(subject, budget.metric, profile, plan) if why else ()
            target = profile.id if profile else None
            checks.append(Check(model.name, target, budget, value, judge(value, budget), parts))
    return checks


def _read(model: ModelBudget, config: Path) -> _subject.Subject:
    if model.recipe is not None:
        return _subject.from_recipe(model.recipe)
    if model.file is None or not model.file.is_file():
        raise ModelFileError(
            f"budget file {str(config)!r}, model {model.name!r}",
            expected=f"the file {str(model.file)!r}",
            got="no such file",
            fix="make it with 'edgelearn train' or 'edgelearn export', or mend its path",
        )
    return _subject.from_file(model.file)


def _row(check: Check) -> dict[str, str]:
    metric, value = METRICS[check.budget.metric], check.value
    limit = _human(check.budget.limit, metric.dimension)
    return {
        "verdict": check.verdict,
        "model": check.model,
        "metric": check.budget.metric,
        "device": check.target or "any",
        "value": _span(value, metric.dimension),
        "budget": f"{'>=' if metric.at_least else '<='} {limit}",
        "kind": value.kind,
    }


def _span(value: Value, dimension: str) -> str:
    middle = _human(value.value, dimension)
    if math.isinf(value.high):
        return f">= {middle}"
    if value.low == value.high:
        return middle
    return f"{middle} ({_human(value.low, dimension)} to {_human(value.high, dimension)})"


def _human(value: float, dimension: str) -> str:
    if dimension == "bytes":
        return human_bytes(value)
    return human_seconds(value) if dimension == "seconds" else f"{value:.1%}"
