"""What the operations between numbers and integers are in ONNX, and where runtimes look for them.

A runtime computes with integers where it finds the pattern it knows: weights that are a
DequantizeLinear of a constant as it is stored, and a bias of int32 as an input of the product.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from edgelearn.arrays import Array
from edgelearn.ir.graph import Graph
from edgelearn.ir.ops import Binary, Conv2d, Dequantize, MatMul
from edgelearn.ir.ops_quant import QuantParams


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
