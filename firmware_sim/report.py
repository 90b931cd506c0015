"""One Graph on one device: memory, least time, and the energy of that time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgelearn.errors import OptionError
from edgelearn.ir import Graph, plan_arena
from firmware_sim.devices import DeviceProfile
from firmware_sim.latency import NodeCost, roofline
from firmware_sim.memory import account


@dataclass(frozen=True, slots=True)
class SimReport:
    """What is known of a Graph on a device before it is flashed; SI base units.

    The memory is exact and is that of the Graph's own data: a Python process with Numba
    takes about 140 MB more. `latency_s` is the lower bound `latency_low_s` as long as no
    measurement calibrates it, and `latency_high_s` is None: not known. `energy_j` is the
    power of the whole device under full load times `latency_s`.
    """

    device: str
    phase: str
    method: Literal["analytic"]
    threads: int
    batch: int
    latency_s: float
    latency_low_s: float
    latency_high_s: float | None
    arena_bytes: int
    weights_bytes: int
    states_bytes: int
    peak_ram_bytes: int
    flash_bytes: int
    energy_j: float | None
    fits: bool
    calibrated: bool
    nodes: tuple[NodeCost, ...]


def simulate(
    graph: Graph, profile: DeviceProfile, *, phase: str = "infer", threads: int = 1, batch: int = 1
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
    seconds = sum(node.seconds for node in nodes)
    power = profile.power_load_w
    return SimReport(
        device=profile.id,
        phase=phase,
        method="analytic",
        threads=threads,
        batch=batch,
        latency_s=seconds,
        latency_low_s=seconds,
        latency_high_s=None,
        arena_bytes=memory.arena_bytes,
        weights_bytes=memory.weights_bytes,
        states_bytes=memory.states_bytes,
        peak_ram_bytes=memory.peak_ram_bytes,
        flash_bytes=memory.flash_bytes,
        energy_j=None if power is None else power.value * seconds,
        fits=memory.fits(profile),
        calibrated=False,
        nodes=nodes,
    )


def _require_count(what: str, count: int, most: int | None, profile: DeviceProfile) -> None:
    if count < 1 or (most is not None and count > most):
        raise OptionError(
            f"{what} on {profile.id}",
            expected="1 or more" if most is None else f"1 to {most}",
            got=str(count),
            fix=f"choose another --{what}",
        )
