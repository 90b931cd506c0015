"""How far off predictions are of what the fit has not seen: networks, families, devices, runtimes.

Whatever is held out is held out everywhere: a network in both precisions, on all devices, in all
versions of a runtime. So no row of it has a part in the prediction it is compared with.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edgelearn.arrays import Array
from firmware_sim.calibration import family
from fitting.measurements import Row
from fitting.regression import PoolFit, Sample, fit_one, fit_pool
from fitting.settings import Networks, Setting

LEAST_DEVICES = 3
"""A pool of fewer devices cannot tell how well it would do on another."""


@dataclass(frozen=True, slots=True)
class Residual:
    """The logarithm of predicted over measured time of one held-out row."""

    setting: Setting
    row: Row
    log: float


def whole_pools(settings: Sequence[Setting], networks: Networks) -> dict[object, PoolFit]:
    """The fit of every pool to all of its rows."""
    return {
        key: fit_pool({s.name: s.sample(networks) for s in members}, members[0].prior)
        for key, members in by_pool(settings).items()
    }


def by_pool(settings: Sequence[Setting]) -> dict[object, list[Setting]]:
    pools: defaultdict[object, list[Setting]] = defaultdict(list)
    for setting in settings:
        pools[setting.pool].append(setting)
    return pools


def leave_out(
    settings: Sequence[Setting],
    networks: Networks,
    unit: Callable[[str], str],
) -> list[Residual]:
    """Predictions of rows whose `unit` (the network itself, or its family) the fit has not seen."""
    found = []
    for members in by_pool(settings).values():
        for held in sorted({unit(row.network) for s in members for row in s.rows}):
            kept = {s.name: tuple(r for r in s.rows if unit(r.network) != held) for s in members}
            samples = {s.name: s.sample(networks, kept[s.name]) for s in members if kept[s.name]}
            if not samples:
                continue
            fitted = fit_pool(samples, members[0].prior)
            for setting in members:
                if setting.name in samples:
                    rows = tuple(r for r in setting.rows if unit(r.network) == held)
                    found += _compare(setting, networks, rows, fitted.prices[setting.name])
    return found


def _compare(
    setting: Setting, networks: Networks, rows: tuple[Row, ...], prices: Array
) -> Iterator[Residual]:
    if rows:
        sample = setting.sample(networks, rows)
        errors = np.log(sample.amounts @ np.exp(prices)) - np.log(sample.seconds)
        for row, error in zip(rows, errors, strict=True):
            yield Residual(setting, row, float(error))


def portable(members: list[Setting], fitted: PoolFit) -> Array:
    """Log prices for a device without measurements: the profile at the middle of the scales."""
    return np.asarray(fitted.profile + np.median([fitted.scales[s.name] for s in members]))


def leave_devices_out(members: list[Setting], networks: Networks) -> list[Residual]:
    """Predictions on a device that no fit has seen, from the same runtime on others of its class.

    None of a runtime that was measured on fewer than `LEAST_DEVICES`.
    """
    found = []
    for held in sorted({s.device for s in members}):
        kept = [s for s in members if s.device != held]
        if not kept:
            continue
        fitted = fit_pool({s.name: s.sample(networks) for s in kept}, kept[0].prior)
        for setting in members:
            same = [s for s in kept if runtime_family(s) == runtime_family(setting)]
            if setting.device == held and len({s.device for s in same}) >= LEAST_DEVICES - 1:
                found += _compare(setting, networks, setting.rows, portable(same, fitted))
    return found


def leave_runtimes_out(members: list[Setting], networks: Networks) -> list[Residual]:
    """Predictions of a runtime that no fit has seen, from all others."""
    found = []
    for held in sorted({runtime_family(s) for s in members}):
        kept = [s for s in members if runtime_family(s) != held]
        if kept:
            fitted = fit_pool({s.name: s.sample(networks) for s in kept}, kept[0].prior)
            prices = portable(kept, fitted)
            for setting in members:
                if runtime_family(setting) == held:
                    found += _compare(setting, networks, setting.rows, prices)
    return found


def baseline(settings: Sequence[Setting], networks: Networks, *, roofline: bool) -> list[Residual]:
    """Leave-one-network-out of a model of one price, or of three: arithmetic, bytes, starts."""
    found = []
    for setting in settings:
        whole = _plain(setting, networks, setting.rows, roofline=roofline)
        for i, row in enumerate(setting.rows):
            rest = np.arange(len(setting.rows)) != i
            sample = Sample(whole.amounts[rest], whole.seconds[rest])
            prices = _fit_plain(sample)
            seconds = float(whole.amounts[i] @ np.exp(prices))
            found.append(Residual(setting, row, float(np.log(seconds / row.seconds))))
    return found


def _plain(
    setting: Setting, networks: Networks, rows: tuple[Row, ...], *, roofline: bool
) -> Sample:
    itemsize = 4 if setting.precision == "float32" else 1
    table = []
    for row in rows:
        started = networks.kernels[row.network]
        macs = sum(k.macs for k in started)
        moved = itemsize * sum(k.inputs + k.weights + k.outputs for k in started)
        table.append([macs, moved, len(started)] if roofline else [macs])
    return Sample(np.array(table, float), np.array([row.seconds for row in rows]))


def _fit_plain(sample: Sample) -> Array:
    typical = np.median(sample.seconds[:, None] / sample.amounts, axis=0)
    return fit_one(sample, np.log(typical / sample.amounts.shape[1]), 3.0)


def runtime_family(setting: Setting) -> str:
    return family(setting.runtime)
