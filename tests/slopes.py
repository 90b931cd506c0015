"""Graphs in float64, and their slopes by central differences: what judges reverse mode."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgelearn.arrays import Array
from edgelearn.ir import Graph
from edgelearn.ir.interp import evaluate

STEP = 1e-6
PRECISE = 1e-6
"""Of a float64 central difference, relative to the largest component."""


def wide(value: Array) -> Array:
    return value.astype(np.float64) if value.dtype == np.float32 else value


def run64(graph: Graph, given: Mapping[str, Array]) -> dict[str, Array]:
    """Every value of `graph`; `given` are inputs, states, and constants to be replaced."""
    states = {state.input: state.init for state in graph.states}
    found = {name: wide(value) for name, value in {**graph.constants, **states, **given}.items()}
    for node in graph.nodes:
        found[node.output] = wide(evaluate(node.op, *(found[name] for name in node.inputs)))
    return found


def slope(graph: Graph, given: Mapping[str, Array], loss: str, name: str, place: int) -> float:
    """The derivative of the scalar `loss` by element `place` of value `name`."""
    losses = []
    for sign in (1, -1):
        moved = given[name].astype(np.float64)
        moved.flat[place] += sign * STEP
        losses.append(float(run64(graph, {**given, name: moved})[loss]))
    return (losses[0] - losses[1]) / (2 * STEP)


def places(size: int, most: int = 12) -> list[int]:
    """Up to `most` places of an array, spread evenly."""
    return sorted({round(i) for i in np.linspace(0, size - 1, most)})
