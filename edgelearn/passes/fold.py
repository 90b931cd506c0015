"""What constants alone decide is computed once, before a device ever runs the Graph."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from edgelearn.ir.graph import Graph, Node
from edgelearn.ir.interp import evaluate


def fold(graph: Graph, kept: Collection[str] = ()) -> Graph:
    """`graph` with constants in the place of nodes that read constants only.

    A value stays a node if it is larger than what it is made of, which would cost flash, if it
    leaves the Graph, or if it reads a constant that is to be `kept`.
    """
    constants, nodes = dict(graph.constants), []
    leaving = {*graph.outputs, *(state.output for state in graph.states)}
    for node in graph.nodes:
        known = constants.keys() - kept >= set(node.inputs)
        if known and node.output not in leaving and not _grows(graph, node):
            value = evaluate(node.op, *(constants[name] for name in node.inputs))
            constants[node.output] = np.require(value, requirements=["C"])
        else:
            nodes.append(node)
    used = leaving.union(*(node.inputs for node in nodes))
    idle = constants.keys() - used
    return replace(
        graph,
        nodes=tuple(nodes),
        constants={name: value for name, value in constants.items() if name not in idle},
        specs={name: spec for name, spec in graph.specs.items() if name not in idle},
    )


def _grows(graph: Graph, node: Node) -> bool:
    """Whether the output of `node` is larger than its inputs together."""
    read = sum(graph.specs[name].nbytes for name in set(node.inputs))
    return graph.specs[node.output].nbytes > read
