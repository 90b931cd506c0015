"""Budget files: ``edgelearn.toml``, read strictly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from edgelearn.errors import ConfigError
from edgelearn.strict import convert, misspelt, parse_toml
from firmware_sim.budgets import METRICS, Budget, Level
from firmware_sim.costs import Precision
from firmware_sim.quantities import parse_quantity

Phase = Literal["infer", "train"]


@dataclass(frozen=True, slots=True)
class ModelBudget:
    """A model and its budgets; exactly one of `recipe` and `file` is given."""

    name: str
    recipe: Path | None
    file: Path | None
    budgets: tuple[Budget, ...]


@dataclass(frozen=True, slots=True)
class CheckPlan:
    """What a budget file asks for; latencies are those of `runtime`, with so many `threads`."""

    targets: tuple[str, ...]
    models: tuple[ModelBudget, ...]
    runtime: str | None = None
    precision: Precision | None = None
    threads: int = 1


class _ModelTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    budget: dict[str, Any]
    recipe: str | None = None
    file: str | None = None
    phases: list[Phase] = msgspec.field(default_factory=lambda: ["infer", "train"])


class _CheckTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    model: list[_ModelTable]
    targets: list[str] = msgspec.field(default_factory=list)
    runtime: str | None = None
    precision: Precision | None = None
    threads: Annotated[int, msgspec.Meta(ge=1)] = 1


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    check: _CheckTable


def parse_plan(content: bytes, path: Path) -> CheckPlan:
    """The plan in the budget file `path`; files in it are relative to its folder.

    Raises
    ------
    ConfigError
        If a key, metric, unit or value is unknown or misspelt, or nothing would be checked.

    >>> text = b'''
    ... [[check.model]]
    ... name = "wake"
    ... file = "wake.onnx"
    ... budget.infer.arena = "96 KiB"
    ... '''
    >>> parse_plan(text, Path("edgelearn.toml")).models[0].budgets
    (Budget(metric='infer.arena', limit=98304.0, level='error'),)
    """
    where = f"budget file {str(path)!r}"
    tables = parse_toml(content, where)
    _refuse_regressions(tables, where)
    check = convert(tables, _File, where).check
    if not check.model:
        raise _nothing(where, "no [[check.model]]")
    models = [_model(table, path.parent, where) for table in check.model]
    if not check.targets:
        for model in models:
            _require_no_target(model, where)
    return CheckPlan(
        tuple(check.targets), tuple(models), check.runtime, check.precision, check.threads
    )


def _require_no_target(model: ModelBudget, where: str) -> None:
    for budget in model.budgets:
        if METRICS[budget.metric].per_target:
            raise ConfigError(
                f"{where}, model {model.name!r}, {budget.metric}",
                expected="[check] targets, because it depends on the device",
                got="none",
                fix='add e.g. targets = ["rpi-zero-2w"] under [check]',
            )


def _refuse_regressions(tables: Mapping[str, Any], where: str) -> None:
    check = tables.get("check")
    if isinstance(check, dict) and "baseline" in check:
        raise _unsupported(f"{where}, check.baseline")


def _unsupported(where: str) -> ConfigError:
    return ConfigError(
        where,
        expected="absolute budgets",
        got="a comparison with a baseline, which this version cannot make",
        fix="remove it and give each metric its own budget",
    )


def _nothing(where: str, got: str) -> ConfigError:
    return ConfigError(
        where,
        expected="something to check",
        got=got,
        fix='give a model a budget, e.g. infer.arena = "96 KiB"',
    )


def _model(table: _ModelTable, folder: Path, where: str) -> ModelBudget:
    where = f"{where}, model {table.name!r}"
    if (table.recipe is None) == (table.file is None):
        got = "neither" if table.file is None else "both"
        raise ConfigError(where, expected="either recipe or file", got=got, fix="name one of them")
    budgets = [_budget(m, value, where) for m, value in _flatten(table.budget).items()]
    if not budgets:
        raise _nothing(where, "an empty budget")
    for budget in budgets:
        phase = budget.metric.partition(".")[0]
        if phase in ("infer", "train") and phase not in table.phases:
            raise ConfigError(
                f"{where}, {budget.metric}",
                expected=f"budgets of the phases {', '.join(table.phases) or 'listed'}",
                got=f"one of {phase}",
                fix=f"add {phase!r} to phases, or remove the budget",
            )
    return ModelBudget(
        name=table.name,
        recipe=folder / table.recipe if table.recipe else None,
        file=folder / table.file if table.file else None,
        budgets=tuple(budgets),
    )


def _flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and name != "regress":
            flat |= _flatten(value, f"{name}.")
        else:
            flat[name] = value
    return flat


def _budget(metric: str, value: object, where: str) -> Budget:
    where = f"{where}, {metric}"
    if metric == "regress":
        raise _unsupported(where)
    if metric not in METRICS:
        raise misspelt(where, "metric", metric, METRICS)
    level, limit = _level(value, where)
    return Budget(metric, parse_quantity(limit, METRICS[metric].dimension, where), level)


def _level(value: object, where: str) -> tuple[Level, object]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return "error", value
    if len(value) == 2 and value[0] in ("warn", "error"):
        return ("warn" if value[0] == "warn" else "error"), value[1]
    raise ConfigError(
        where,
        expected='a value, or ["warn", value]',
        got=repr(value),
        fix='write e.g. ["warn", "40 ms"]',
    )
