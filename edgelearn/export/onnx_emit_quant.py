"""What the operations between numbers and integers are in ONNX, and where runtimes look for them.

A runtime computes with integers where it finds the pattern it knows: weights that are a
DequantizeLinear of a constant as it is stored, and a bias of int32 as an input of the product.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

from edgelearn.arrays import Array
from edgelearn.ir.graph import Graph, Node
from edgelearn.ir.ops import (
    Binary,
    Conv2d,
    Dequantize,
    MatMul,
    Pool2d,
    Quantize,
    Reshape,
    Slice,
    Transpose,
)
from edgelearn.ir.ops_quant import QuantParams
from edgelearn.ir.tensor import TensorSpec


def dequantized(graph: Graph) -> dict[str, tuple[str, QuantParams]]:
    """Values that only say what an integer constant means: that constant, and its scale."""
    return {
        node.output: (node.inputs[0], node.op.params)
        for node in graph.nodes
        if isinstance(node.op, Dequantize) and node.inputs[0] in graph.constants
    }


def biases(graph: Graph) -> dict[str, tuple[str, str]]:
    """Products that only an int32 bias is added to: by product the sum and the bias.

    A float bias is not among them: it is added by a node of its own, as the Graph says.
    """
    reads = Counter(name for node in graph.nodes for name in node.inputs)
    reads.update(graph.outputs)
    reads.update(state.output for state in graph.states)
    products = {n.output for n in graph.nodes if isinstance(n.op, Conv2d | MatMul)}
    integers = {n for n, (c, _) in dequantized(graph).items() if graph.specs[c].dtype == "int32"}
    found = {}
    for node in graph.nodes:
        if isinstance(node.op, Binary) and node.op.kind == "add":
            for product, bias in (node.inputs, node.inputs[::-1]):
                columns = graph.specs[product].shape[-1:]
                fits = bias in integers and graph.specs[bias].shape == columns
                if fits and product in products and reads[product] == 1:
                    found[product] = node.output, bias
    return found


def as_runtimes_want(graph: Graph) -> Graph:
    """`graph`, which computes the same, with its activations in the form that onnxruntime knows.

    It looks for a Quantize and its Dequantize as neighbours, of bytes without sign: with a Reshape
    between them a product of 784 by 256 took 131 us and not 10, and a convolution of int8 whose
    result is read twice stayed one of float32 (version 1.32, x86-64). So numbers are moved and not
    integers, which is the same, and zero points lie 128 higher.
    """
    return _unsigned(_moved_first(graph))


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


def linear(params: QuantParams, dtype: str) -> tuple[Array, Array | None, dict[str, Any]]:
    """Scale, zero point and attributes of a QuantizeLinear or DequantizeLinear.

    Integers of 32 bits have no zero point.

    >>> linear(QuantParams((0.5,), (3,)), "int8")
    (array(0.5, dtype=float32), array(3, dtype=int8), {})
    """
    scale, zero_point = np.array(params.scale, np.float32), np.array(params.zero_point, dtype)
    if params.axis is None:
        scale, zero_point = scale[0, ...], zero_point[0, ...]
    attributes = {} if params.axis is None else {"axis": params.axis}
    return scale, None if dtype == "int32" else zero_point, attributes
