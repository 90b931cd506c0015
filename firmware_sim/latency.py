"""The least time a Graph can take on a device: a roofline, summed over the nodes.

A node takes at least the time of its arithmetic at the peak rate, and at least the time of
the bytes that the caches cannot hold at the peak memory rate::

    seconds = max(2 MACs / peak_flops, dram_bytes / bandwidth)

It is a lower bound for float32 with one multiply and one add per MAC, in a loop of runs. It
is not a prediction: nothing is added for imperfect kernels, and nothing for starting an op.
A runtime that computes in float16, or convolves by Winograd's algorithm, can be faster.

Source: Williams, Waterman, Patterson, "Roofline", CACM 52(4), 2009, doi:10.1145/1498765.1498785.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgelearn.ir import ArenaPlan, Graph, Node
from edgelearn.ir.ops import Gather, Reshape, Slice
from firmware_sim.devices import DeviceProfile

Bound = Literal["compute", "memory", "dispatch", "none"]


@dataclass(frozen=True, slots=True)
class NodeCost:
    """The cost of one node.

    Attributes
    ----------
    name, op : str
        The value it makes, and its operation.
    macs : int
        Multiply-accumulates.
    bytes : int
        Read and written; 0 for a view.
    dram_bytes : int
        Those of them that no cache can hold from one run to the next.
    seconds : float
    bound : {"compute", "memory", "dispatch", "none"}
        What it waits for; "dispatch" is the start of its kernel, "none" if it costs no time:
        the roofline charges nothing, or the kernel of another node runs it along.
    """

    name: str
    op: str
    macs: int
    bytes: int
    dram_bytes: int
    seconds: float
    bound: Bound


class _Traffic:
    """Bytes that the nodes move, and those that must cross the memory bus.

    Constants and states are read in every run. Of P such bytes a cache of C bytes holds at
    most C from one run to the next, so at their first use in a run at least the share
    1 - C / P of them is fetched. Any other value can still be in the cache, up to C bytes.
    """

    def __init__(self, graph: Graph, plan: ArenaPlan, cache_bytes: float) -> None:
        self.graph, self.plan, self.cache_bytes = graph, plan, cache_bytes
        lasting = {*graph.constants, *(state.input for state in graph.states)}
        self.first: dict[str, Node] = {}
        for node in graph.nodes:
            for name in lasting.intersection(node.inputs):
                self.first.setdefault(name, node)
        total = sum(self.touched(node)[name] for name, node in self.first.items())
        self.share = max(0.0, 1 - cache_bytes / total) if total else 0.0

    def touched(self, node: Node) -> dict[str, int]:
        """Bytes that the node reads of each input, and writes; none if it is only a view."""
        specs, out = self.graph.specs, node.output
        if isinstance(node.op, Reshape):
            place = self.plan.offsets.get(node.inputs[0])
            if place is not None and place == self.plan.offsets.get(out):
                return {}
        sizes = {name: specs[name].nbytes for name in (*node.inputs, out)}
        if isinstance(node.op, Gather | Slice):
            source = node.inputs[0]
            sizes[source] = min(sizes[source], sizes[out])
        return sizes

    def from_memory(self, node: Node) -> int:
        """Bytes of the node that no cache can have spared it."""
        total = 0.0
        for name, size in self.touched(node).items():
            first = self.first.get(name) is node
            total += size * self.share if first else max(0.0, size - self.cache_bytes)
        return int(total)


def roofline(
    graph: Graph, plan: ArenaPlan, profile: DeviceProfile, threads: int = 1
) -> tuple[NodeCost, ...]:
    """The least cost of every node of a bound `graph`.

    A profile without a memory rate leaves the arithmetic alone to bound the time.

    >>> import numpy as np
    >>> from edgelearn.ir import Builder, plan_arena
    >>> from firmware_sim.devices import read_device
    >>> b = Builder("dense")
    >>> x, w = b.input("x", (1, 64)), b.constant("w", np.ones((64, 100), np.float32))
    >>> graph = b.graph([b.matmul(x, w)])
    >>> [cost] = roofline(graph, plan_arena(graph), read_device("stm32l4r5"))
    >>> cost.macs, cost.bound, round(cost.seconds * 120e6)
    (6400, 'compute', 12800)
    """
    flops, bandwidth = profile.peak_flops(threads), profile.bandwidth(threads)
    cache = profile.cache_bytes.value if profile.cache_bytes else 0.0
    traffic = _Traffic(graph, plan, cache)
    costs = []
    for node in graph.nodes:
        macs, dram_bytes = graph.macs(node), traffic.from_memory(node)
        compute_s = 2 * macs / flops
        memory_s = dram_bytes / bandwidth if bandwidth else 0.0
        seconds = max(compute_s, memory_s)
        bound: Bound = "compute" if compute_s >= memory_s else "memory"
        costs.append(
            NodeCost(
                name=node.output,
                op=type(node.op).__name__,
                macs=macs,
                bytes=sum(traffic.touched(node).values()),
                dram_bytes=dram_bytes,
                seconds=seconds,
                bound=bound if seconds else "none",
            )
        )
    return tuple(costs)
