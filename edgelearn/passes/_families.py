"""Which values of a Graph share the zeros of a matrix, so that they can be sparse together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgelearn.arrays import Mask
from edgelearn.ir.graph import Graph, Node, State
from edgelearn.ir.ops import AddOuter, ApplyMask, Binary, MatMul, Unary

Makers = Mapping[str, Node]
Readers = Mapping[str, list[Node]]


@dataclass(frozen=True, slots=True)
class Family:
    """A matrix and all values that share its zeros; `masks` are constants that hold them there."""

    name: str
    members: frozenset[str]
    masks: frozenset[str]
    mask: Mask


def families(graph: Graph) -> list[Family]:
    """Matrices that can be sparse: constants, and parameters that learn under a mask."""
    found = []
    readers = _readers(graph)
    makers = {node.output: node for node in graph.nodes}
    for name, value in graph.constants.items():
        if value.dtype == np.float32 and value.ndim == 2 and name not in graph.outputs:
            family = Family(name, frozenset({name}), frozenset(), (value != 0).astype(np.uint8))
            if readers[name] and all(_may_read(node, family) for node in readers[name]):
                found.append(family)
    for state in graph.states:
        maker = makers.get(state.output)
        if maker is not None and isinstance(maker.op, ApplyMask) and state.init.ndim == 2:
            found += _learning(graph, state, maker, makers, readers)
    return found


def _learning(
    graph: Graph, state: State, masking: Node, makers: Makers, readers: Readers
) -> list[Family]:
    """The family of a parameter, if all that touches it can be sparse."""
    mask_name = masking.inputs[1]
    if mask_name not in graph.constants:
        return []
    mask = graph.constants[mask_name]
    members = _relatives(graph, state.input, makers, readers) - {mask_name}
    family = Family(state.input, frozenset(members), frozenset({mask_name}), mask)
    if state.init[mask == 0].any() or not _closed(graph, family, makers, readers):
        return []
    return [family]


def _relatives(graph: Graph, first: str, makers: Makers, readers: Readers) -> set[str]:
    """All values of the same shape that `first` leads to, or follows from, place by place."""
    pairs = {s.input: s.output for s in graph.states} | {s.output: s.input for s in graph.states}
    found: set[str] = set()
    left = [first]
    while left:
        name = left.pop()
        if name in found or graph.specs[name].shape != graph.specs[first].shape:
            continue
        found.add(name)
        left += [pairs[name]] if name in pairs else []
        left += _alike(makers[name]) if name in makers else ()
        for node in readers[name]:
            alike = _alike(node)
            left += [node.output, *alike] if name in alike else []
    return found


def _alike(node: Node) -> tuple[str, ...]:
    """The inputs of `node` that its output has the zeros of, place by place."""
    if isinstance(node.op, Binary | Unary):
        return node.inputs
    return node.inputs[:1] if isinstance(node.op, AddOuter | ApplyMask) else ()


def _closed(
    graph: Graph,
    family: Family,
    makers: Makers,
    readers: Readers,
) -> bool:
    """Whether every member can be a vector of the places that are kept."""
    for name in family.members:
        if name in graph.outputs or name in graph.inputs:
            return False
        if name in makers and not _may_make(graph, makers[name], family):
            return False
        if not all(_may_read(node, family) for node in readers[name]):
            return False
    return all(node.output in family.members for mask in family.masks for node in readers[mask])


def _may_make(graph: Graph, node: Node, family: Family) -> bool:
    """Whether a member follows, place by place, from members and numbers."""
    if isinstance(node.op, ApplyMask) and node.inputs[1] not in family.masks:
        return False
    if isinstance(node.op, AddOuter | ApplyMask):
        return node.inputs[0] in family.members
    return isinstance(node.op, Binary | Unary) and all(
        name in family.members or graph.specs[name].shape in ((), (1,)) for name in node.inputs
    )


def _may_read(node: Node, family: Family) -> bool:
    """Whether `node` can read vectors instead of the members of `family`."""
    if isinstance(node.op, MatMul):
        x, w = node.inputs
        plain = not (node.op.transpose_a or node.op.transpose_b)
        return plain and w in family.members and x not in family.members
    if isinstance(node.op, AddOuter) and not family.members.isdisjoint(node.inputs[1:]):
        return False
    return node.output in family.members


def _readers(graph: Graph) -> defaultdict[str, list[Node]]:
    readers: defaultdict[str, list[Node]] = defaultdict(list)
    for node in graph.nodes:
        for name in set(node.inputs):
            readers[name].append(node)
    return readers
