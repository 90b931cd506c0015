"""What contributes most to a metric: the tensors and layers to look at first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgelearn.cli import _metrics
from edgelearn.cli._output import human_bytes, human_seconds
from edgelearn.cli._simulation import folded
from edgelearn.cli._subject import Subject
from edgelearn.ir import Graph, plan_arena
from firmware_sim.latency import NodeCost, roofline

if TYPE_CHECKING:
    from firmware_sim.budget_file import CheckPlan
    from firmware_sim.devices import DeviceProfile

SHOWN = 3


def of(
    subject: Subject, metric: str, profile: DeviceProfile | None, plan: CheckPlan
) -> tuple[str, ...]:
    """The largest contributors to `metric`, largest first; none where it has no parts."""
    phase, _, key = metric.partition(".")
    if phase not in subject.graphs:
        return ()
    graph = subject.graphs[phase].bind(subject.batch_of(phase))
    if key.startswith("latency") and profile is not None:
        costs = {
            name if len(nodes) == 1 else f"{name} x {len(nodes)}": sum(n.seconds for n in nodes)
            for name, nodes in folded(_times(subject, phase, profile, plan)).items()
        }
        return tuple(f"{name} {human_seconds(costs[name])}" for name in _largest(costs))
    in_flash = profile is not None and profile.kind == "mcu"
    sizes = _sizes(graph, key, in_flash=in_flash)
    return tuple(f"{name} {human_bytes(sizes[name])}" for name in _largest(sizes))


def _times(
    subject: Subject, phase: str, profile: DeviceProfile, plan: CheckPlan
) -> tuple[NodeCost, ...]:
    """Of the prediction if the runtime is named, else of the lower bound, as the value is."""
    if plan.runtime is not None:
        return _metrics.simulated(subject, phase, profile, plan).nodes
    graph = subject.graphs[phase].bind(subject.batch_of(phase))
    return roofline(graph, plan_arena(graph), profile, plan.threads)


def _largest(parts: dict[str, float]) -> list[str]:
    named = [name for name in parts if parts[name]]
    return sorted(named, key=lambda name: -parts[name])[:SHOWN]


def _sizes(graph: Graph, key: str, *, in_flash: bool) -> dict[str, float]:
    constants = set(graph.constants)
    states = {state.input for state in graph.states}
    names = {
        "weights": constants,
        "flash": constants | {state.input for state in graph.states if state.init.any()},
        "arena": _alive_at_peak(graph),
        "peak_ram": states | _alive_at_peak(graph) | (set() if in_flash else constants),
    }.get(key, set())
    return {name: graph.specs[name].nbytes for name in names}


def _alive_at_peak(graph: Graph) -> set[str]:
    """The values of the arena that are alive when most bytes of it are in use."""
    plan = plan_arena(graph)
    alive: list[dict[int, str]] = []
    for step in range(len(graph.nodes) + 2):
        here = (name for name, (first, last) in plan.lifetimes.items() if first <= step <= last)
        alive.append({plan.offsets[name]: name for name in here})
    peak = max(alive, key=lambda at: sum(graph.specs[name].nbytes for name in at.values()))
    return set(peak.values())
