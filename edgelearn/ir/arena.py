"""Lifetimes and offsets: where each value of a bound Graph lies in one static block.

The planner is greedy by size: the largest buffer is placed first, at the lowest offset that
no buffer alive at the same time occupies (Pisarchyk & Lee 2020, arXiv:2001.03288, "greedy by
size for offset calculation"). A node may write onto an input (`Op.overwrites`) that nobody
reads afterwards. States keep storage of their own, outside the arena; the new value of a
state is written straight onto the old one where the op allows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgelearn.errors import GraphError
from edgelearn.ir.graph import Graph, Node

ALIGNMENT_BYTES = 16


@dataclass(frozen=True, slots=True)
class ArenaPlan:
    """Where every value lies.

    Attributes
    ----------
    offsets : mapping of str to int
        Byte offset of each value that lies in the arena.
    lifetimes : mapping of str to (int, int)
        First and last step at which a value of `offsets` must keep its bytes: step 0 is the
        call, step i + 1 is node i, the last step is the return.
    on_state : mapping of str to str
        Values written straight onto the storage of a state.
    copies : tuple of str
        States whose new value lies elsewhere and is copied to them at the return, one after
        the other in this order: a state that hands its old value on comes after the state
        that takes it. The caller has read the outputs by then.
    size_bytes : int
        Length of the arena.
    """

    offsets: Mapping[str, int]
    lifetimes: Mapping[str, tuple[int, int]]
    on_state: Mapping[str, str]
    copies: tuple[str, ...]
    size_bytes: int


@dataclass(slots=True)
class _Buffer:
    size_bytes: int
    first: int
    last: int
    offset: int = -1


class _Planner:
    def __init__(self, graph: Graph, nodes: Sequence[Node]) -> None:
        self.graph = graph
        self.nodes = nodes
        self.end = len(nodes) + 1
        self.sizes = {name: spec.nbytes for name, spec in graph.specs.items()}
        self.makers = {node.output: (step, node) for step, node in enumerate(nodes, 1)}
        self.fixed = {*graph.inputs, *graph.constants}
        self.last_use = self._last_uses()
        self.home: dict[str, _Buffer] = {}
        self.on_state: dict[str, str] = {}

    def _last_uses(self) -> dict[str, int]:
        uses = dict.fromkeys(self.graph.specs, 0)
        for step, node in enumerate(self.nodes, start=1):
            for name in node.inputs:
                uses[name] = step
        for name in (*self.graph.outputs, *(s.output for s in self.graph.states)):
            uses[name] = self.end
        return uses

    def _state_chains(self) -> dict[str, str]:
        """Values that may be written onto a state: those that lead to its new value in place."""
        chains: dict[str, str] = {}
        for state in self.graph.states:
            path: list[str] = []
            name: str | None = state.output
            while name in self.makers:
                path.append(name)
                name = self._overwritten(*self.makers[name])
            if name == state.input:
                chains.update(dict.fromkeys(path, state.input))
        return chains

    def _overwritten(self, step: int, node: Node) -> str | None:
        """The input onto which `node` can write: of the same size, and read here last.

        An input that the node reads a second time, where it must not change meanwhile, is none.
        """
        if not node.op.overwrites:
            return None
        size = self.sizes[node.output]
        pinned = {n for i, n in enumerate(node.inputs) if i not in node.op.overwrites}
        for position in node.op.overwrites:
            name = node.inputs[position]
            fits = self.sizes[name] == size
            free = name not in self.fixed and name not in pinned and self.last_use[name] == step
            if fits and free:
                return name
        return None

    def _place(self, name: str, step: int, onto: _Buffer | None) -> None:
        buffer = onto or _Buffer(self.sizes[name], step, step)
        buffer.last = max(self.last_use[name], step)
        self.home[name] = buffer

    def buffers(self) -> list[_Buffer]:
        """What is to lie in the arena, each once; to be asked for once."""
        chains = self._state_chains()
        for name in self.graph.inputs:
            self._place(name, 0, None)
        for step, node in self.makers.values():
            if node.output in chains:
                self.on_state[node.output] = chains[node.output]
                continue
            source = self._overwritten(step, node)
            self._place(node.output, step, self.home.get(source) if source else None)
        return list({id(b): b for b in self.home.values()}.values())

    def plan(self) -> ArenaPlan:
        buffers = self.buffers()
        offsets, size_bytes = _assigned(buffers)
        for buffer, offset in zip(buffers, offsets, strict=True):
            buffer.offset = offset
        return ArenaPlan(
            offsets={name: buffer.offset for name, buffer in self.home.items()},
            lifetimes={name: (b.first, b.last) for name, b in self.home.items()},
            on_state=self.on_state,
            copies=self.copies(),
            size_bytes=size_bytes,
        )

    def copies(self) -> tuple[str, ...]:
        """States to copy to, each before the state whose storage it reads is written."""
        home_of = {s.input: s.input for s in self.graph.states} | self.on_state
        left = {s.input: home_of.get(s.output) for s in self.graph.states}
        left = {state: source for state, source in left.items() if source != state}
        ordered: list[str] = []
        while left:
            read = set(left.values())
            ready = [state for state in left if state not in read]
            if not ready:
                raise GraphError(
                    f"graph {self.graph.name!r}, states {sorted(left)}",
                    expected="states that take the values of others in a line",
                    got="a ring, which has no place for the first value",
                    fix="let one of them pass through a Reshape to its own shape",
                )
            ordered.extend(ready)
            for state in ready:
                del left[state]
        return tuple(ordered)


def _aligned(size_bytes: int) -> int:
    return -(-size_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def assign_offsets(
    sizes_bytes: Sequence[int], spans: Sequence[tuple[int, int]]
) -> tuple[list[int], int]:
    """Where buffers lie that are alive from the first to the last step of their spans; the length.

    >>> assign_offsets([64, 32, 64], [(0, 1), (1, 2), (2, 3)])
    ([0, 64, 0], 96)
    """
    offsets = [0] * len(sizes_bytes)
    table = np.zeros((4, len(sizes_bytes)), np.int64)
    for placed, index in enumerate(sorted(range(len(sizes_bytes)), key=lambda i: -sizes_bytes[i])):
        size, (begins, ends) = sizes_bytes[index], spans[index]
        first, last, start, end = table[:, :placed]
        alive = np.flatnonzero((first <= ends) & (begins <= last))
        alive = alive[np.argsort(start[alive], kind="stable")]
        # Each gap begins where all before it have ended.
        gaps = np.maximum.accumulate(np.append(0, end[alive]))
        fits = gaps[:-1] + size <= start[alive]
        offsets[index] = int(gaps[fits.argmax() if fits.any() else -1])
        table[:, placed] = begins, ends, offsets[index], _aligned(offsets[index] + size)
    return offsets, int(table[3].max(initial=0))


def _assigned(buffers: Sequence[_Buffer]) -> tuple[list[int], int]:
    return assign_offsets([b.size_bytes for b in buffers], [(b.first, b.last) for b in buffers])


def _peak_bytes(buffers: Sequence[_Buffer], steps: int) -> int:
    """The most that is alive at one step: no arena is smaller."""
    change = np.zeros(steps + 2, np.int64)
    for buffer in buffers:
        change[buffer.first] += _aligned(buffer.size_bytes)
        change[buffer.last + 1] -= _aligned(buffer.size_bytes)
    return int(change.cumsum().max())


def smallest(graph: Graph, orders: Sequence[Sequence[Node]]) -> int:
    """Which of these `orders` of the nodes of a bound `graph` has the smallest arena: its place.

    The first of them if several have. An order is planned only if what is alive at once in it does
    not rule it out already.

    Raises
    ------
    GraphError
        If in one of them states swap their values with no node between.
    """
    planners = [_Planner(graph, nodes) for nodes in orders]
    found = [planner.buffers() for planner in planners]
    for planner in planners:
        planner.copies()
    peaks = [_peak_bytes(buffers, len(graph.nodes) + 1) for buffers in found]
    best: tuple[int, int] | None = None
    for peak, place in sorted(zip(peaks, range(len(orders)), strict=True)):
        if best is None or (peak, place) < best:
            needed = (_assigned(found[place])[1], place)
            best = needed if best is None else min(best, needed)
    return best[1] if best else 0


def plan_arena(graph: Graph) -> ArenaPlan:
    """Plan one static block for all values of a bound `graph`.

    Raises
    ------
    GraphError
        If the batch is still open, or states swap their values with no node between.

    >>> from edgelearn.ir import Builder
    >>> b = Builder("tanh")
    >>> graph = b.graph([b.unary("tanh", b.input("x", (-1, 8)))])
    >>> plan_arena(graph.bind(1)).size_bytes
    64
    """
    if graph.has_batch:
        raise GraphError(
            f"graph {graph.name!r}", expected="a bound batch", got="an open one", fix="bind(batch)"
        )
    return _Planner(graph, graph.nodes).plan()
