"""Rows by what was measured: one setting is a device, a runtime, a precision, a thread count."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property

import numpy as np

from edgelearn.arrays import Array
from firmware_sim.calibration import CpuClass, core, family, rates
from firmware_sim.costs import Precision, amounts
from firmware_sim.devices import device_ids, read_device
from firmware_sim.workload import Kernel, kernels
from fitting.measurements import Row
from fitting.regression import BOARDS, MICROCONTROLLERS, Prior, Sample
from reference_networks import network

LEAST_ROWS = 4


@dataclass(frozen=True)
class Networks:
    """The kernels of every reference network, and sums of their amounts."""

    kernels: dict[str, tuple[Kernel, ...]] = field(default_factory=dict)
    families: dict[str, str] = field(default_factory=dict)
    sums: dict[tuple[str, Precision], Array] = field(default_factory=dict)

    def reach(self, settings: Sequence[Setting]) -> dict[str, int]:
        """The least and most multiply-accumulates of the networks that were measured."""
        names = {row.network for s in settings for row in s.rows}
        macs = [sum(k.macs for k in self.kernels[name]) for name in names]
        return {"least_macs": min(macs), "most_macs": max(macs)}

    def learn(self, names: set[str]) -> None:
        for name in names:
            found = network(name)
            if found:
                self.families[name], graph = found
                self.kernels[name] = kernels(graph)
                for precision in ("float32", "int8"):
                    total = amounts(self.kernels[name], precision).sum(axis=0)
                    self.sums[name, precision] = total


@dataclass(frozen=True)
class Setting:
    """What was measured on one device with one runtime, precision and number of threads."""

    device: str
    runtime: str
    precision: Precision
    threads: int
    rows: tuple[Row, ...]

    @cached_property
    def core(self) -> tuple[CpuClass, str] | None:
        return core(self.rows[0].cpu)

    @property
    def cpu_class(self) -> CpuClass | None:
        return self.core[0] if self.core else None

    @cached_property
    def rates(self) -> Array:
        """From the device's profile, or from the clock and a profile with the same core."""
        if self.device in device_ids():
            flops = read_device(self.device).peak_flops(self.threads)
        else:
            flops = self.rows[0].clock_hz * flops_per_cycle()[self.core] * self.threads
        return rates(flops, self.threads)

    @cached_property
    def powers(self) -> list[float]:
        """Watts, of rows that tell energy."""
        return [row.power_w for row in self.rows if row.power_w is not None]

    @property
    def name(self) -> str:
        return f"{self.device} {self.runtime} {self.precision} x{self.threads}"

    @property
    def pool(self) -> tuple[str, CpuClass | None, Precision, bool]:
        """Settings that share a profile of prices; microcontrollers do over all runtimes."""
        runtime = "mcu" if self.cpu_class == "mcu" else family(self.runtime)
        return runtime, self.cpu_class, self.precision, self.threads > 1

    @property
    def prior(self) -> Prior:
        return MICROCONTROLLERS if self.cpu_class == "mcu" else BOARDS

    def sample(self, networks: Networks, rows: tuple[Row, ...] | None = None) -> Sample:
        """Amounts in `rates`, and seconds."""
        rows = self.rows if rows is None else rows
        table = np.array([networks.sums[row.network, self.precision] for row in rows])
        return Sample(table / self.rates, np.array([row.seconds for row in rows]))


@cache
def flops_per_cycle() -> dict[tuple[CpuClass, str] | None, float]:
    """By core, from the profiles."""
    profiles = [read_device(name) for name in device_ids()]
    return {core(profile.cpu): profile.flops_per_cycle.value for profile in profiles}


def settings(rows: list[Row], networks: Networks) -> list[Setting]:
    """Settings of rows whose network is known, on cores of a known class."""
    networks.learn({row.network for row in rows})
    groups: defaultdict[tuple[str, str, Precision, int], list[Row]] = defaultdict(list)
    for row in rows:
        if row.network in networks.kernels:
            groups[row.device, row.runtime, row.precision, row.threads].append(row)
    found = [Setting(*key, tuple(group)) for key, group in sorted(groups.items())]
    return [s for s in found if len(s.rows) >= LEAST_ROWS and s.core]
