"""Quantised Graphs in the form in which onnxruntime knows them; what they compute is the same.

Each rule stands here because a file without it was measured, on version 1.32 and x86-64.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgelearn.ir.graph import Graph, Node
from edgelearn.ir.ops import (
    Binary,
    Dequantize,
    MatMul,
    Pool2d,
    Quantize,
    Reshape,
    Slice,
    Transpose,
    Unary,
)
from edgelearn.ir.ops_quant import QuantParams
from edgelearn.ir.tensor import TensorSpec


def as_runtimes_want(graph: Graph) -> Graph:
    """`graph` with a Quantize right before each Dequantize, of bytes, and with `relu` kept apart.

    With a Reshape between the two, a product of 784 by 256 took 131 us and not 10. A convolution of
    int8 whose result is read twice stayed one of float32, and one of uint8 did not. A product with
    int8 weights was merged with a `relu` after it, into one that makes numbers of all weights in
    every run: 780 us and not 20.
    """
    return _unsigned(_moved_first(_without_relu(graph)))


def _without_relu(graph: Graph) -> Graph:
    """The larger of 0 in the place of a `relu` of products with weights that alone are integers."""
    meanings = {n.output for n in graph.nodes if isinstance(n.op, Dequantize)}
    halved, zero, nodes = set(), "zero", []
    while zero in graph.specs:
        zero += "_"
    for node in graph.nodes:
        product = isinstance(node.op, MatMul) and meanings.intersection(node.inputs)
        if product and not meanings.issuperset(node.inputs):
            halved.add(node.output)
        if node.op == Binary("add") and halved.intersection(node.inputs):
            halved.add(node.output)
        if node.op == Unary("relu") and node.inputs[0] in halved:
            node = Node(Binary("max"), (*node.inputs, zero), node.output)  # noqa: PLW2901
        nodes.append(node)
    if graph.nodes == tuple(nodes):
        return graph
    return replace(
        graph,
        nodes=tuple(nodes),
        specs={**graph.specs, zero: TensorSpec(())},
        constants={**graph.constants, zero: np.array(0, np.float32)},
    )


def _moved_first(graph: Graph) -> Graph:
    numbers: dict[str, tuple[str, Quantize]] = {}
    specs, nodes = dict(graph.specs), []
    for node in graph.nodes:
        op, source = node.op, node.inputs[0]
        if isinstance(op, Quantize) and op.params.axis is None:
            numbers[node.output] = source, op
        elif source in numbers and isinstance(op, Reshape | Transpose | Slice | Pool2d):
            before, rounding = numbers[source]
            name = f"{node.output}/numbers"
            while name in specs:
                name += "_"
            specs[name] = TensorSpec(specs[node.output].shape)
            nodes.append(Node(op, (before,), name))
            numbers[node.output] = name, rounding
            node = Node(rounding, (name,), node.output)  # noqa: PLW2901  in the place of the move
        nodes.append(node)
    kept = {*graph.outputs, *(state.output for state in graph.states)}
    idle = numbers.keys() - kept.union(*(node.inputs for node in nodes))
    return replace(
        graph,
        nodes=tuple(node for node in nodes if node.output not in idle),
        specs={name: spec for name, spec in specs.items() if name not in idle},
    )


def _unsigned(graph: Graph) -> Graph:
    others = {*graph.outputs, *(state.output for state in graph.states)}
    others.update(n for k in graph.nodes if not isinstance(k.op, Dequantize) for n in k.inputs)
    signed = {
        node.output
        for node in graph.nodes
        if isinstance(node.op, Quantize) and node.op.dtype == "int8" and node.output not in others
    }
    specs, nodes = dict(graph.specs), []
    for node in graph.nodes:
        op = node.op
        if isinstance(op, Quantize) and node.output in signed:
            op = Quantize(_raised(op.params), "uint8")
            specs[node.output] = replace(specs[node.output], dtype="uint8")
        elif isinstance(op, Dequantize) and node.inputs[0] in signed:
            op = Dequantize(_raised(op.params))
        nodes.append(replace(node, op=op))
    return replace(graph, nodes=tuple(nodes), specs=specs)


def _raised(params: QuantParams) -> QuantParams:
    return replace(params, zero_point=tuple(z + 128 for z in params.zero_point))
