"""Matrices of which most weights are 0 are stored, and computed with, without their zeros."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from edgelearn.ir.graph import Graph, Node
from edgelearn.ir.ops import AddOuter, ApplyMask, MatMul, SparseAddOuter, SparseMatMul
from edgelearn.ir.structure import BLOCKS, Structure, fits, stored_bytes
from edgelearn.ir.tensor import TensorSpec
from edgelearn.passes._families import Family, families

ALWAYS: Mapping[int, float] = {1: 1.0, 4: 1.0}
LEAST_BYTES = 1024
"""What a matrix must save: about as much as a file needs to say that it is sparse."""


def sparsify(
    graph: Graph, densest: Mapping[int, float] = ALWAYS, least_bytes: int = LEAST_BYTES
) -> Graph:
    """`graph` with every matrix in the form that takes the fewest bytes, if that is a sparse one.

    A matrix (fan_in, units) of float32 takes ``4 fan_in units`` bytes; with K stored blocks of B
    weights it takes ``K (4 B + I) + 4 (units + 1)``, where I is 1 byte if a unit has up to 256
    blocks and else 2. Sparse is smaller from about 20 % zeros on in single weights with I = 1,
    from 34 % with I = 2, and from 6 or 12 % on in blocks of 4.

    Parameters
    ----------
    graph : Graph
        Inference or a training step.
    densest : mapping of int to float
        By size of block the largest share of stored weights. By default bytes alone decide. Who
        wants time to fall too says from where on it does: `edgelearn.sparsity.matrix.DENSEST` is
        what was measured with our kernels.
    least_bytes : int
        What a matrix must save at least.

    Returns
    -------
    Graph
        A matrix ``w`` that became sparse is a vector ``w`` of stored weights, beside constants
        ``w.starts`` and ``w.index``; `MatMul` with it is `SparseMatMul`. In a training step that is
        so of a parameter that has a mask, with all that leads to its next value: what the
        optimiser remembers of it is a vector of the same places, `AddOuter` onto it is
        `SparseAddOuter`, and the mask is gone. What it remembers of places that stay 0 is lost.

    Notes
    -----
    A matrix stays dense if anything reads it but products ``x @ w``: rows that are gathered,
    filters of convolutions, products with its transpose, traces of its own shape.

    Examples
    --------
    >>> from edgelearn.ir import Builder
    >>> b = Builder("pruned")
    >>> w = b.constant("w", np.eye(64, dtype=np.float32))
    >>> found = sparsify(b.graph([b.matmul(b.input("x", (-1, 64)), w)]))
    >>> found.nodes[0].op, sum(a.nbytes for a in found.constants.values())
    (SparseMatMul(fan_in=64, units=64, block=1), 580)
    """
    for family in families(graph):
        structure = _smallest(family, densest, least_bytes)
        if structure is not None:
            graph = _rewritten(graph, family, structure)
    return graph


def _smallest(family: Family, densest: Mapping[int, float], least_bytes: int) -> Structure | None:
    """The structure of fewest bytes, if that saves enough.

    Where places learn, blocks hold no place that the mask does not keep: it would move.
    """
    mask, found = family.mask, None
    most = 4 * mask.size - least_bytes
    for block in BLOCKS:
        if not fits(mask.shape, block):
            continue
        structure = Structure.of(mask, block)
        need = stored_bytes(structure.index.size, structure.shape, block)
        if structure.size > densest[block] * mask.size or need > most:
            continue
        if family.masks and not np.array_equal(structure.mask() != 0, mask != 0):
            continue
        found, most = structure, need - 1
    return found


def _rewritten(graph: Graph, family: Family, s: Structure) -> Graph:
    """`graph` with the members of `family` as vectors."""
    names = (f"{family.name}.starts", f"{family.name}.index")
    same = _renamed(graph, family)
    nodes = [
        _swapped(node, family, s, names, same) for node in graph.nodes if not _masks(node, family)
    ]
    gone = family.masks.union(same)
    starts, index = names
    specs = {
        name: TensorSpec((s.size,)) if name in family.members else spec
        for name, spec in graph.specs.items()
        if name not in gone
    }
    specs[starts] = TensorSpec(s.starts.shape, "int32")
    specs[index] = TensorSpec(s.index.shape, s.index_dtype)
    constants = {
        name: s.take(value) if name in family.members else value
        for name, value in graph.constants.items()
        if name not in gone
    }
    states = tuple(
        replace(
            state,
            output=same.get(state.output, state.output),
            init=s.take(state.init) if state.input in family.members else state.init,
        )
        for state in graph.states
    )
    return replace(
        graph,
        nodes=tuple(nodes),
        specs=specs,
        constants={**constants, starts: s.starts, index: s.index},
        states=states,
    )


def _masks(node: Node, family: Family) -> bool:
    return isinstance(node.op, ApplyMask) and node.output in family.members


def _renamed(graph: Graph, family: Family) -> dict[str, str]:
    """What values are called that are the same when nothing is masked: as the mask's output was.

    Unless no node makes the value: then as it is.
    """
    made = {node.output for node in graph.nodes if not _masks(node, family)}
    same: dict[str, str] = {}
    for node in graph.nodes:
        if _masks(node, family):
            value = same.get(node.inputs[0], node.inputs[0])
            old, new = (value, node.output) if value in made else (node.output, value)
            same = {key: new if name == old else name for key, name in same.items()} | {old: new}
    return same


def _swapped(
    node: Node, family: Family, s: Structure, names: tuple[str, str], same: Mapping[str, str]
) -> Node:
    """`node` under new names, by an op on stored weights if it reads or makes a member."""
    sizes = (*s.shape, s.block)
    inputs = tuple(same.get(name, name) for name in node.inputs)
    output = same.get(node.output, node.output)
    if isinstance(node.op, MatMul) and node.inputs[1] in family.members:
        return Node(SparseMatMul(*sizes), (*inputs, *names), output)
    if isinstance(node.op, AddOuter) and node.output in family.members:
        return Node(SparseAddOuter(*sizes), (*inputs, *names), output)
    return Node(node.op, inputs, output)
