"""A run of a Graph that computes only what is asked for: how a network can stop early."""

from __future__ import annotations

from collections.abc import Mapping

from edgelearn.arrays import Array
from edgelearn.ir.graph import Graph, Node
from edgelearn.ir.interp import evaluate, given


class LazyRun:
    """Values of one run in NumPy, each computed when it is first asked for, and kept.

    Parameters
    ----------
    graph : Graph
        Bound to a batch.
    feeds : mapping of str to array
        One array for every input.

    Raises
    ------
    DataShapeError
        If an input is missing or has another shape or dtype than its spec.

    >>> import numpy as np
    >>> from edgelearn.ir import Builder
    >>> b = Builder("two")
    >>> x = b.input("x", (1, 3))
    >>> graph = b.graph([b.unary("relu", x, name="y"), b.unary("exp", x, name="z")])
    >>> LazyRun(graph, {"x": np.zeros((1, 3), np.float32)})["y"].tolist()
    [[0.0, 0.0, 0.0]]
    """

    def __init__(self, graph: Graph, feeds: Mapping[str, Array]) -> None:
        self.graph = graph
        self.macs = 0
        """Multiply-accumulates of what was computed so far."""
        self._values = given(graph, feeds, {})

    def __getitem__(self, name: str) -> Array:
        for node in _needed(self.graph, name, self._values):
            self._values[node.output] = evaluate(node.op, *(self._values[i] for i in node.inputs))
            self.macs += node.op.macs(*(self.graph.specs[i] for i in node.inputs))
        return self._values[name]


def _needed(graph: Graph, name: str, known: Mapping[str, Array]) -> list[Node]:
    """The nodes that make `name` from what is `known`, in order."""
    wanted, found = {name}, []
    for node in reversed(graph.nodes):
        if node.output in wanted and node.output not in known:
            found.append(node)
            wanted.update(node.inputs)
    return found[::-1]
