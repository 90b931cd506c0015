"""One Graph on one device: memory, time, and the energy of that time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from edgelearn.errors import OptionError
from edgelearn.ir import Graph, plan_arena
from firmware_sim.budgets import Value
from firmware_sim.calibration import Basis
from firmware_sim.costs import Precision
from firmware_sim.devices import DeviceProfile
from firmware_sim.latency import NodeCost, roofline
from firmware_sim.memory import account
from firmware_sim.prediction import Prediction, predict
from firmware_sim.workload import is_quantised


@dataclass(frozen=True, slots=True)
class SimReport:
    """What is known of a Graph on a device before it is flashed; SI base units.

    The memory is exact and is that of the Graph's own data: a Python process with Numba
    takes about 140 MB more. Of the time, `basis` says what is known: 9 of 10 measurements lie
    within `latency_low_s` and `latency_high_s` where it is calibrated, transferred or zero-shot;
    else `latency_low_s` is `bound_s` and `latency_high_s` is None: not known. `bound_s` is the
    roofline's, of float32; 0 for int8, of which it knows none. `energy_j`
    is the power of the whole device times `latency_s`; its interval is known where power was
    measured in the same runs.
    """

    device: str
    phase: str
    method: Literal["analytic"]
    runtime: str | None
    precision: Precision
    basis: Basis
    threads: int
    batch: int
    latency_s: float
    latency_low_s: float
    latency_high_s: float | None
    bound_s: float
    arena_bytes: int
    weights_bytes: int
    states_bytes: int
    peak_ram_bytes: int
    flash_bytes: int
    energy_j: float | None
    energy_low_j: float | None
    energy_high_j: float | None
    fits: bool
    calibrated: bool
    source: str | None
    nodes: tuple[NodeCost, ...]


def simulate(
    graph: Graph,
    profile: DeviceProfile,
    *,
    phase: str = "infer",
    threads: int = 1,
    batch: int = 1,
    runtime: str | None = None,
    precision: Precision | None = None,
) -> SimReport:
    """`graph` on the device of `profile`.

    Parameters
    ----------
    graph : Graph
    profile : DeviceProfile
    phase : str
        Named in the report.
    threads : int
        1 to the cores of the device.
    batch : int
        Samples in one run.
    runtime : str, optional
        What runs it, such as ``ncnn`` or ``tflite-2.7.1``; if not said, the one that was
        measured best on the device.
    precision : {"float32", "int8"}, optional
        What the time is told for, if not for the Graph as it is; the memory always is.

    Raises
    ------
    OptionError
        If the device has fewer cores than `threads`, or a number is below 1.

    >>> from edgelearn.ir import Builder
    >>> from firmware_sim.devices import read_device
    >>> b = Builder("tanh")
    >>> graph = b.graph([b.unary("tanh", b.input("x", (-1, 8)))])
    >>> simulate(graph, read_device("rpi-4b"), batch=4).arena_bytes
    256
    """
    _require_count("threads", threads, int(profile.cores.value), profile)
    _require_count("batch", batch, None, profile)
    bound = graph.bind(batch)
    plan = plan_arena(bound)
    memory = account(bound, plan, profile.kind)
    nodes = roofline(bound, plan, profile, threads)
    if precision is None:
        precision = "int8" if is_quantised(bound) else "float32"
    found = predict(
        bound, profile, runtime=runtime, precision=precision, threads=threads, batch=batch
    )
    least = sum(node.seconds for node in nodes) if precision == "float32" else 0.0
    time = _time(found, least)
    energy = _energy(found, time, profile)
    return SimReport(
        device=profile.id,
        phase=phase,
        method="analytic",
        runtime=found.runtime if found else runtime,
        precision=precision,
        basis=found.basis if found else "bound",
        threads=threads,
        batch=batch,
        latency_s=time.value,
        latency_low_s=time.low,
        latency_high_s=_finite(time.high),
        bound_s=least,
        arena_bytes=memory.arena_bytes,
        weights_bytes=memory.weights_bytes,
        states_bytes=memory.states_bytes,
        peak_ram_bytes=memory.peak_ram_bytes,
        flash_bytes=memory.flash_bytes,
        energy_j=energy.value if energy else None,
        energy_low_j=energy.low if energy and math.isfinite(energy.high) else None,
        energy_high_j=_finite(energy.high) if energy else None,
        fits=memory.fits(profile),
        calibrated=found is not None and found.basis == "calibrated",
        source=found.source if found else None,
        nodes=_timed(nodes, found) if found else nodes,
    )


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _time(found: Prediction | None, least: float) -> Value:
    if found is None:
        return Value(least, "estimated", least, math.inf)
    if math.isinf(found.spread):
        return Value(max(found.seconds, least), "estimated", least, math.inf)
    return Value(found.seconds, "estimated", found.low_s, found.high_s)


def _energy(found: Prediction | None, time: Value, profile: DeviceProfile) -> Value | None:
    """Power of the measured runs, or else of the device under load, of which no error is known."""
    if found and found.power_w is not None:
        factor = math.exp(math.hypot(found.spread, found.power_spread))
        joules = found.power_w * time.value
        return Value(joules, "estimated", joules / factor, joules * factor)
    if profile.power_load_w is None:
        return None
    power = profile.power_load_w.value
    return Value(power * time.value, "estimated", 0.0, math.inf)


def _timed(nodes: Sequence[NodeCost], found: Prediction) -> tuple[NodeCost, ...]:
    """`nodes` with the predicted times; a kernel's time stands at its first node."""
    times = {kernel.name: kernel for kernel in found.kernels}
    return tuple(
        replace(
            node,
            seconds=times[node.name].seconds if node.name in times else 0.0,
            bound=times[node.name].bound if node.name in times else "none",
        )
        for node in nodes
    )


def _require_count(what: str, count: int, most: int | None, profile: DeviceProfile) -> None:
    if count < 1 or (most is not None and count > most):
        raise OptionError(
            f"{what} on {profile.id}",
            expected="1 or more" if most is None else f"1 to {most}",
            got=str(count),
            fix=f"choose another --{what}",
        )
