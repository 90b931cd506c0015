"""Fitted prices as the files that the simulator reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import numpy as np

from edgelearn.arrays import Array
from firmware_sim.calibration import ANY_RUNTIME
from firmware_sim.costs import AMOUNTS
from fitting.evaluation import (
    Residual,
    by_pool,
    leave_devices_out,
    leave_runtimes_out,
    portable,
    runtime_family,
)
from fitting.intervals import upper
from fitting.regression import PoolFit, fit_pool
from fitting.settings import Networks, Setting

LEAST_POWERS = 3
HEADER = "# Written by tools/fit_profiles.py from published measurements; see ACCURACY.md.\n"


def device_file(
    settings: Iterable[Setting],
    networks: Networks,
    pool: dict[object, PoolFit],
    widths: dict[str, float],
) -> str:
    """The fits of one device."""
    tables = []
    for setting in settings:
        prices = np.exp(pool[setting.pool].prices[setting.name]) / setting.rates
        facts = {
            "runtime": setting.runtime,
            "precision": setting.precision,
            "threads": setting.threads,
            "rows": len(setting.rows),
            "spread": _rounded(widths[setting.name]),
            **networks.reach([setting]),
            "source": ", ".join(sorted({row.source for row in setting.rows})),
            **_power(setting),
        }
        tables.append(_table("fits", facts, prices))
    return HEADER + "\n".join(tables)


def _power(setting: Setting) -> dict[str, object]:
    if len(setting.powers) < LEAST_POWERS:
        return {}
    middle = float(np.median(setting.powers))
    errors = np.abs(np.log(np.array(setting.powers) / middle))
    return {"power_w": _rounded(middle), "power_spread": _rounded(upper(errors))}


def transfer_file(pools: Sequence[tuple[dict[str, object], Array]]) -> str:
    """All pools, as `transfers` and `unknown_runtimes` give them."""
    return HEADER + "\n".join(_table("pools", facts, np.exp(prices)) for facts, prices in pools)


def transfers(
    settings: Sequence[Setting], networks: Networks, pools: dict[object, PoolFit]
) -> tuple[list[tuple[dict[str, object], Array]], list[Residual]]:
    """Pools of a runtime on a class of cores, where a held-out device could test them."""
    found, tested = [], []
    for key, members in by_pool(settings).items():
        residuals = leave_devices_out(members, networks)
        tested += residuals
        for runtime in sorted({runtime_family(r.setting) for r in residuals}):
            own = [s for s in members if runtime_family(s) == runtime]
            errors = [abs(r.log) for r in residuals if runtime_family(r.setting) == runtime]
            devices = len({s.device for s in own})
            facts = _facts(runtime, own, networks, upper(np.array(errors), devices))
            found.append((facts, portable(own, pools[key])))
    return found, tested


def unknown_runtimes(
    settings: Sequence[Setting], networks: Networks
) -> tuple[list[tuple[dict[str, object], Array]], list[Residual]]:
    """Pools of all runtimes, and errors on held-out ones.

    On a class of cores where one runtime alone was measured none can be held out: its pool has
    the errors of the other classes.
    """
    groups: dict[tuple[object, ...], list[Setting]] = {}
    for s in settings:
        groups.setdefault((s.cpu_class, s.precision, s.threads > 1), []).append(s)
    tested = [r for group in groups.values() for r in leave_runtimes_out(group, networks)]
    found = []
    for (cpu_class, _, _), group in groups.items():
        on_mcu = cpu_class == "mcu"
        errors = [abs(r.log) for r in tested if (r.setting.cpu_class == "mcu") == on_mcu]
        if not errors:
            continue
        fitted = fit_pool({s.name: s.sample(networks) for s in group}, group[0].prior)
        facts = _facts(ANY_RUNTIME, group, networks, upper(np.array(errors)))
        found.append((facts, portable(group, fitted)))
    return found, tested


def _facts(
    runtime: str, members: Sequence[Setting], networks: Networks, spread: float
) -> dict[str, object]:
    first = members[0]
    return {
        "runtime": runtime,
        "cpu_class": first.cpu_class,
        "precision": first.precision,
        "many": first.threads > 1,
        "devices": sorted({s.device for s in members}),
        "rows": sum(len(s.rows) for s in members),
        "spread": _rounded(spread),
        **networks.reach(members),
    }


def _table(name: str, facts: dict[str, object], prices: Array) -> str:
    lines = [f"[[{name}]]", *(f"{key} = {json.dumps(value)}" for key, value in facts.items())]
    lines.append(f"[{name}.prices]")
    lines += [f"{a} = {_rounded(float(p))!r}" for a, p in zip(AMOUNTS, prices, strict=True)]
    return "\n".join(lines) + "\n"


def _rounded(number: float) -> float:
    return float(f"{number:.4g}")
