"""Where the time and the bytes of a simulated run go, node by node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from edgelearn.cli._output import human_bytes, human_seconds, table

if TYPE_CHECKING:
    from firmware_sim.latency import NodeCost
    from firmware_sim.report import SimReport

SHOWN: Final = 15


def show(reports: Sequence[SimReport]) -> None:
    """One table for each report: the nodes that take most time, and all others together.

    Where a kernel runs several nodes its time stands at the first.
    """
    for report in reports:
        nodes = sorted(report.nodes, key=lambda node: -node.seconds)
        rows = [_row(node, report.latency_s) for node in nodes[:SHOWN] if node.seconds]
        rest = nodes[len(rows) :]
        if rest:
            rows.append(_rest(rest, report.latency_s))
        table(f"{report.device}, {report.phase}: where the time goes", rows)


def _row(node: NodeCost, whole_s: float) -> dict[str, str]:
    return {
        "node": node.name,
        "op": node.op,
        "MACs": f"{node.macs:,}",
        "bytes": human_bytes(node.bytes),
        "time": human_seconds(node.seconds),
        "share": f"{node.seconds / whole_s:.1%}",
        "waits for": node.bound,
    }


def _rest(nodes: Sequence[NodeCost], whole_s: float) -> dict[str, str]:
    seconds = sum(node.seconds for node in nodes)
    return {
        "node": f"{len(nodes)} others",
        "op": "",
        "MACs": f"{sum(node.macs for node in nodes):,}",
        "bytes": human_bytes(sum(node.bytes for node in nodes)),
        "time": human_seconds(seconds),
        "share": f"{seconds / whole_s:.1%}" if whole_s else "-",
        "waits for": "",
    }
