"""The report on how far off the predictions are, as a page of Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fitting.evaluation import Residual, runtime_family
from fitting.settings import Setting

HEAD = """# How far off the simulator's latencies are

Written by `python tools/fit_profiles.py MEASUREMENTS`; no figure in it is typed by hand. {rows}
published latencies of {networks} networks on {devices} devices were fitted. Every error is of rows
that the fit did not see: a network is held out in all precisions, versions and devices at once.

Errors are |predicted / measured - 1| in per cent: the median, and in brackets what 9 of 10 rows do
not exceed. *Family* is the same with all networks of a family held out (MobileNet v2, the ResNets).
Beside them two models fitted to the same rows and tested in the same way: time in proportion to
the multiply-accumulates, and a roofline of three prices (arithmetic, bytes, starts). *Interval* is
half the width of what `simulate` prints, as a factor: 9 of 10 measurements should lie within.
"""
TABLE = """
## Calibrated: device and runtime were measured

| device | runtime | precision | threads | rows | error | family | MACs only | roofline | interval |
|---|---|---|---|---|---|---|---|---|---|
"""
COVERAGE = """
## Do intervals hold what they promise?

An interval's width is taken from errors on other networks. Of the held-out rows it contained
{network:.1%} (a network held out) and {family:.1%} (its family held out). Where fewer than ten
networks were measured, as on microcontrollers (mcu), it takes in the largest error there was.

| measured | a network held out | its family held out |
|---|---|---|
"""
TRANSFER = """
## Transferred: the runtime was measured, on other devices with such cores

All rows of a device held out; only its peak rate is known.

| runtime | cores | precision | threads | devices | error |
|---|---|---|---|---|---|
"""
ZERO = """
## Zero-shot: the runtime was measured nowhere

All rows of a runtime held out, predicted from all others on the same class of cores. Where one
runtime alone was measured on a class, `simulate` takes the width of its interval from the others.

| cores | precision | threads | runtimes | error |
|---|---|---|---|---|
"""
TAIL = """
## What stands out

Settings with a median error above {limit:.0%}, by device:

{poor}
Measured data are not free of error either: on one AGX Xavier, ArmNN 21.11 in float32, the larger
EfficientNet-Lite2 is published as faster than Lite1; on the Raspberry Pi 5 ncnn's MobileNet is
slower with four threads than with one. A network of a kind that no measured one resembles (a
transformer, a recurrent network, a training step) lies outside of what this page can vouch for.
"""
POOR = 0.12


@dataclass(frozen=True)
class Findings:
    """Held-out residuals by what was held out, baselines, and whether intervals held."""

    settings: Sequence[Setting]
    networks: Sequence[Residual]
    families: Sequence[Residual]
    macs: Sequence[Residual]
    roofline: Sequence[Residual]
    devices: Sequence[Residual]
    runtimes: Sequence[Residual]
    covered_networks: Sequence[tuple[Residual, bool]]
    covered_families: Sequence[tuple[Residual, bool]]
    widths: dict[str, float]


def page(found: Findings, profiled: Callable[[str], bool]) -> str:
    """The report; devices without a profile count, but have no row of their own."""
    shown = [s for s in found.settings if profiled(s.device)]
    head = HEAD.format(
        rows=sum(len(s.rows) for s in found.settings),
        networks=len({row.network for s in found.settings for row in s.rows}),
        devices=len({s.device for s in found.settings}),
    )
    tables = TABLE + "".join(_setting_row(s, found) for s in shown)
    poor: dict[str, list[str]] = {}
    for s in shown:
        if float(np.median(_errors(found.networks, s))) > POOR:
            poor.setdefault(s.device, []).append(f"{s.runtime} {s.precision} x{s.threads}")
    lines = "".join(f"- `{device}`: {', '.join(names)}\n" for device, names in poor.items())
    return "".join(
        (head, tables, _coverage(found), _transfer(found), _zero(found),
         TAIL.format(limit=POOR, poor=lines or "none\n"))
    )  # fmt: skip


def _errors(residuals: Sequence[Residual], setting: Setting) -> list[float]:
    return [abs(float(np.expm1(r.log))) for r in residuals if r.setting == setting]


def _figure(errors: Sequence[float]) -> str:
    if not errors:
        return "-"
    return f"{100 * np.median(errors):.1f} ({100 * np.quantile(errors, 0.9):.0f})"


def _setting_row(s: Setting, found: Findings) -> str:
    kinds = (found.networks, found.families, found.macs, found.roofline)
    figures = " | ".join(_figure(_errors(kind, s)) for kind in kinds)
    factor = float(np.exp(found.widths[s.name]))
    return (
        f"| `{s.device}` | {s.runtime} | {s.precision} | {s.threads} | {len(s.rows)} | {figures} "
        f"| {factor:.2f} |\n"
    )


def _grouped(
    residuals: Sequence[Residual], key: Callable[[Residual], tuple[object, ...]]
) -> list[tuple[tuple[object, ...], list[Residual]]]:
    groups: dict[tuple[object, ...], list[Residual]] = {}
    for residual in residuals:
        groups.setdefault(key(residual), []).append(residual)
    return sorted(groups.items(), key=str)


def _threads(setting: Setting) -> str:
    return "several" if setting.threads > 1 else "1"


def _coverage(found: Findings) -> str:
    kinds = (found.covered_networks, found.covered_families)
    network, family = (float(np.mean([ok for _, ok in rows])) for rows in kinds)
    text = COVERAGE.format(network=network, family=family)
    for name in sorted({s.pool[0] for s in found.settings}):
        shares = ([ok for r, ok in rows if r.setting.pool[0] == name] for rows in kinds)
        text += f"| {name} | " + " | ".join(f"{np.mean(held):.1%}" for held in shares) + " |\n"
    return text


def _transfer(found: Findings) -> str:
    text = TRANSFER
    for key, rows in _grouped(
        found.devices,
        lambda r: (
            runtime_family(r.setting),
            r.setting.cpu_class,
            r.setting.precision,
            _threads(r.setting),
        ),
    ):
        devices = ", ".join(sorted({r.setting.device for r in rows}))
        figure = _figure([abs(float(np.expm1(r.log))) for r in rows])
        text += f"| {' | '.join(map(str, key))} | {devices} | {figure} |\n"
    return text


def _zero(found: Findings) -> str:
    text = ZERO
    for key, rows in _grouped(
        found.runtimes,
        lambda r: (r.setting.cpu_class, r.setting.precision, _threads(r.setting)),
    ):
        runtimes = ", ".join(sorted({runtime_family(r.setting) for r in rows}))
        figure = _figure([abs(float(np.expm1(r.log))) for r in rows])
        text += f"| {' | '.join(map(str, key))} | {runtimes} | {figure} |\n"
    return text
