"""Budgets: what a model may need, and the verdict on what it does need.

A value that is known is over its budget or not. A lower bound above the budget proves it
broken; one below proves nothing, and the verdict says so: ``unproven`` is never a pass.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from firmware_sim.quantities import Dimension, parse_quantity

Level = Literal["error", "warn"]
ValueKind = Literal["exact", "estimated", "measured"]
Verdict = Literal["pass", "warn", "fail", "unproven"]


@dataclass(frozen=True, slots=True)
class Metric:
    """Something that can have a budget.

    `per_target`: whether it depends on the device. `at_least`: whether the budget is a floor.
    """

    dimension: Dimension
    per_target: bool = False
    at_least: bool = False


_OF_A_PHASE: Final = {
    "arena": Metric("bytes"),
    "weights": Metric("bytes"),
    "flash": Metric("bytes"),
    "peak_ram": Metric("bytes", per_target=True),
    "latency": Metric("seconds", per_target=True),
    "latency_p90": Metric("seconds", per_target=True),
}
METRICS: Final[Mapping[str, Metric]] = {
    **{f"{phase}.{key}": m for phase in ("infer", "train") for key, m in _OF_A_PHASE.items()},
    "train.working_set": Metric("bytes"),
    "train.peak_rss": Metric("bytes"),
    "export.onnx.size": Metric("bytes"),
    "accuracy.min": Metric("fraction", at_least=True),
    "r2.min": Metric("fraction", at_least=True),
}
"""Every metric by the name it has in a budget file."""


@dataclass(frozen=True, slots=True)
class Budget:
    """One line of a budget table: `limit` is in bytes, in seconds or from 0 to 1."""

    metric: str
    limit: float
    level: Level


@dataclass(frozen=True, slots=True)
class Value:
    """What a metric is: `low` and `high` enclose it, infinity where nothing is known."""

    value: float
    kind: ValueKind
    low: float
    high: float


def parse_bytes(text: str, where: str) -> int:
    """`text`, such as ``"24MB"``, in bytes; errors name `where`.

    Raises
    ------
    ConfigError
        If it is no size.

    >>> parse_bytes("24MB", "option --budget")
    24000000
    """
    return int(parse_quantity(text, "bytes", where))


def exactly(value: float, kind: ValueKind = "exact") -> Value:
    """A value that is what it says."""
    return Value(value, kind, value, value)


def at_least(value: float) -> Value:
    """An estimate of which only the lower bound `value` is known."""
    return Value(value, "estimated", value, math.inf)


def judge(value: Value, budget: Budget) -> Verdict:
    """Whether `value` keeps `budget`.

    >>> judge(at_least(0.05), Budget("infer.latency", 0.04, "error"))
    'fail'
    >>> judge(at_least(0.03), Budget("infer.latency", 0.04, "error"))
    'unproven'
    """
    if METRICS[budget.metric].at_least:
        proven, broken = value.low >= budget.limit, value.high < budget.limit
    else:
        proven, broken = value.high <= budget.limit, value.low > budget.limit
    if proven:
        return "pass"
    if broken:
        return "warn" if budget.level == "warn" else "fail"
    return "unproven"
