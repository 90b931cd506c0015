"""Nodes in an order that lets values die early, so that a training step needs a smaller arena.

A layer can move as soon as its error is known, and by a step of a sequence as soon as that is
judged. What is emitted forward pass first holds more than it must.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from edgelearn.ir.arena import ALIGNMENT_BYTES, smallest
from edgelearn.ir.graph import Graph, Node


def reorder(graph: Graph, batch: int) -> Graph:
    """`graph` in the order that needs the smaller arena for `batch` samples: its own, or one found.

    The nodes are the same, and so is every result to the bit.

    Raises
    ------
    GraphError
        As `edgelearn.ir.plan_arena` does.

    >>> from edgelearn.ir import Builder, plan_arena
    >>> b = Builder("sums")
    >>> y = b.unary("tanh", b.input("x", (-1, 8)))
    >>> parts = [b.binary("mul", y, b.scalar(factor)) for factor in range(4)]
    >>> total = b.binary("add", parts[0], parts[1])
    >>> total = b.binary("add", total, parts[2])
    >>> graph = b.graph([b.binary("add", total, parts[3])])
    >>> plan_arena(graph.bind(1)).size_bytes, plan_arena(reorder(graph, 1).bind(1)).size_bytes
    (128, 96)
    """
    bound = graph.bind(batch)
    walks = [_Walk(bound, patient=patient).order() for patient in (False, True)]
    orders = [graph.nodes, *(tuple(nodes) for nodes in walks)]
    best = smallest(bound, orders)
    return replace(graph, nodes=orders[best]) if best else graph


class _Walk:
    """A walk, depth first, from the new values of states and the outputs to what they need.

    Whenever a node has run, so do all that now free as much as they make. If it is `patient`, the
    outputs come first and no state moves before all that reads it has run; if not, states come
    first, and what moves early is a copy.
    """

    def __init__(self, graph: Graph, *, patient: bool) -> None:
        self._graph = graph
        self._sizes = {name: spec.nbytes for name, spec in graph.specs.items()}
        self._makers = {node.output: node for node in graph.nodes}
        self._readers: dict[str, list[Node]] = {name: [] for name in graph.specs}
        for node in graph.nodes:
            for name in set(node.inputs):
                self._readers[name].append(node)
        states = [state.output for state in graph.states]
        self._ends = [*graph.outputs, *states] if patient else [*states, *graph.outputs]
        self._unread = Counter({name: len(nodes) for name, nodes in self._readers.items()})
        self._unread.update(self._ends)  # the caller reads them, after the last node
        self._missing = {
            node.output: len(set(node.inputs) & self._makers.keys()) for node in graph.nodes
        }
        self._states = {state.input for state in graph.states}
        self._updates = set(self._update_chains())
        self._patient, self._asked = patient, set[str]()
        self._done: dict[str, Node] = {}

    def _update_chains(self) -> Iterator[str]:
        """Values that lead to the new value of a state, each written onto the one before."""
        for state in self._graph.states:
            node = self._makers.get(state.output)
            while node is not None:
                yield node.output
                onto = node.op.overwrites
                node = self._makers.get(node.inputs[onto[0]]) if onto else None

    def order(self) -> Iterator[Node]:
        """The nodes, in the order found."""
        for node in self._graph.nodes:
            if self._is_ready(node) and self._pays(node):
                self._run(node)
        stack = [self._makers[name] for name in reversed(self._ends) if name in self._makers]
        while stack:
            node = stack[-1]
            missing = [i for i in node.inputs if i in self._makers and i not in self._done]
            needed = [self._makers[name] for name in missing] or self._first_readers(node)
            if needed:
                stack.extend(reversed(needed))
                continue
            for ready in (*self._in_the_way(node), stack.pop()):
                self._run(ready)
        return iter(self._done.values())

    def _first_readers(self, node: Node) -> list[Node]:
        """Who reads the state that `node` moves and shall run first; asked for once.

        Some may need the new value too, and come after all.
        """
        if not self._patient or node.output not in self._updates or node.output in self._asked:
            return []
        self._asked.add(node.output)
        moved = self._states.intersection(node.inputs[place] for place in node.op.overwrites[:1])
        readers = [n for name in moved for n in self._readers[name] if n is not node]
        return [n for n in readers if n.output not in self._done]

    def _run(self, node: Node) -> None:
        waiting = [node]
        while waiting:
            node = waiting.pop()
            if node.output in self._done:
                continue
            self._done[node.output] = node
            found = list(self._readers[node.output])
            for reader in found:
                self._missing[reader.output] -= 1
            for name in set(node.inputs):
                self._unread[name] -= 1
                if self._unread[name] == 1:
                    found += self._readers[name]
            waiting += [n for n in found if self._is_ready(n) and self._pays(n)]

    def _is_ready(self, node: Node) -> bool:
        return node.output not in self._done and not self._missing[node.output]

    def _pays(self, node: Node) -> bool:
        """Whether `node` frees what it makes, or makes a few bytes only."""
        cost = self._cost_bytes(node)
        if node.output in self._updates and not self._patient:
            return cost < 0
        return cost <= 0 or self._sizes[node.output] <= ALIGNMENT_BYTES

    def _cost_bytes(self, node: Node) -> int:
        """What `node` makes less what it frees.

        A state that moves early does so in a copy that will be needed anyway.
        """
        last = [name for name in set(node.inputs) if self._unread[name] == 1]
        freed = sum(self._sizes[n] for n in last if n in self._makers or n in self._graph.inputs)
        free = node.output in self._updates and not self._patient
        return (0 if free else self._sizes[node.output]) - freed

    def _in_the_way(self, node: Node) -> list[Node]:
        """The other readers of what `node` could write onto, if that is worth to run them now."""
        for place in node.op.overwrites:
            name, size = node.inputs[place], self._sizes[node.output]
            if name in self._makers and name not in self._ends and self._sizes[name] == size:
                others = [n for n in self._readers[name] if n is not node]
                others = [n for n in others if n.output not in self._done]
                cost = sum(self._cost_bytes(n) for n in others)
                if cost < size and all(self._is_ready(n) for n in others):
                    return others
        return []
