"""The time of a Graph on a device, from prices that were fitted to measurements."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edgelearn.arrays import Array
from edgelearn.ir import Graph
from firmware_sim.calibration import Basis, Fit, Pool, choose
from firmware_sim.costs import AMOUNTS, ARITHMETIC, Precision, amounts
from firmware_sim.devices import DeviceProfile
from firmware_sim.latency import Bound
from firmware_sim.workload import Kernel, kernels

_ARITHMETIC = np.array([amount in ARITHMETIC for amount in AMOUNTS])
_STARTS = np.array([amount == "start" for amount in AMOUNTS])


_UNMEASURED = ("AddOuter", "AddConvOuter", "ConvTranspose2d", "SparseMatMul", "SparseAddOuter")
"""What trains, and what skips weights that are 0."""
REACH = 4
"""A network this many times smaller or larger than all measured ones is like none of them."""


@dataclass(frozen=True, slots=True)
class KernelTime:
    """Seconds of the kernel that begins with the node making `name`, and what most of them are."""

    name: str
    seconds: float
    bound: Bound


@dataclass(frozen=True, slots=True)
class Prediction:
    """Seconds of a run, and how far off they may be.

    Attributes
    ----------
    basis : str
        ``calibrated``: this runtime was measured on this device. ``transferred``: it was, on
        other devices with such cores. ``zero-shot``: others were. ``extrapolated``: nothing
        that was measured is like this run.
    runtime : str
    seconds : float
    spread : float
        Of held-out measurements, 9 of 10 differ by less than this natural logarithm; infinite
        where no measurement can tell.
    source : str
    power_w, power_spread : float, optional
        As in `Fit`.
    kernels : tuple of KernelTime
    """

    basis: Basis
    runtime: str
    seconds: float
    spread: float
    source: str
    power_w: float | None
    power_spread: float
    kernels: tuple[KernelTime, ...]

    @property
    def low_s(self) -> float:
        """The lower end of the interval."""
        return self.seconds * math.exp(-self.spread)

    @property
    def high_s(self) -> float:
        """The upper end of the interval; infinite where no measurement can tell."""
        return self.seconds * math.exp(self.spread)


def predict(
    graph: Graph,
    profile: DeviceProfile,
    *,
    runtime: str | None = None,
    precision: Precision = "float32",
    threads: int = 1,
    batch: int = 1,
) -> Prediction | None:
    """A bound `graph` on the device of `profile`; None if nothing was measured on such cores.

    >>> import numpy as np
    >>> from edgelearn.ir import Builder
    >>> from edgelearn.ir.ops import Conv2d
    >>> from firmware_sim.devices import read_device
    >>> b = Builder("filters")
    >>> x, w = b.input("x", (1, 56, 56, 64)), b.constant("w", np.ones((3, 3, 64, 64), np.float32))
    >>> found = predict(b.graph([b.apply(Conv2d(), x, w)]), read_device("rpi-4b"), runtime="ncnn")
    >>> found.basis, 0.005 < found.low_s < found.seconds < found.high_s < 0.02
    ('calibrated', True)
    """
    prices = choose(profile, runtime, precision, threads)
    if prices is None:
        return None
    started = kernels(graph)
    shares = amounts(started, precision) * prices.seconds
    times = tuple(
        KernelTime(kernel.name, float(share.sum()), _bound(share))
        for kernel, share in zip(started, shares, strict=True)
    )
    alike = batch == 1 and _resembles(started, prices.fitted)
    power = prices.fitted if isinstance(prices.fitted, Fit) else None
    return Prediction(
        basis=prices.basis if alike else "extrapolated",
        runtime=prices.runtime,
        seconds=sum(time.seconds for time in times),
        spread=prices.fitted.spread if alike else math.inf,
        source=prices.source,
        power_w=power.power_w if power else None,
        power_spread=power.power_spread if power else 0.0,
        kernels=times,
    )


def _resembles(started: tuple[Kernel, ...], fitted: Fit | Pool) -> bool:
    macs = sum(kernel.macs for kernel in started)
    within = fitted.least_macs / REACH <= macs <= fitted.most_macs * REACH
    return within and not any(kernel.op in _UNMEASURED for kernel in started)


def _bound(share: Array) -> Bound:
    compute, start = float(share[_ARITHMETIC].sum()), float(share[_STARTS].sum())
    memory = float(share.sum()) - compute - start
    if start >= max(compute, memory):
        return "dispatch"
    return "compute" if compute >= memory else "memory"
