"""What integers stand for: said once in a Graph, but of every tensor in a TFLite file."""

from __future__ import annotations

from edgelearn.ir.graph import Graph
from edgelearn.ir.ops import Concat, Dequantize, Gather, Pool2d, Quantize, Reshape, Slice, Transpose
from edgelearn.ir.ops_quant import QuantParams

INTEGERS = ("int8", "uint8")
MOVES = (Concat, Gather, Pool2d, Reshape, Slice, Transpose)


def scales_of(graph: Graph) -> dict[str, QuantParams]:
    """Scale and zero point of values that are integers, carried along where they only move.

    Values of which nothing says it, or several nodes say different things, are left out.

    >>> import numpy as np
    >>> from edgelearn.ir import Builder
    >>> b = Builder("moved")
    >>> x = b.input("x", (1, 4), "int8")
    >>> y = b.apply(Reshape((4,)), x)
    >>> z = b.apply(Dequantize(QuantParams((0.5,), (3,))), y)
    >>> scales_of(b.graph([z]))["x"].scale
    (0.5,)
    """
    heads = {name: name for name, spec in graph.specs.items() if spec.dtype in INTEGERS}

    def head(name: str) -> str:
        while heads[name] != name:
            heads[name] = heads[heads[name]]
            name = heads[name]
        return name

    pairs = [(s.input, s.output) for s in graph.states]
    for node in graph.nodes:
        if isinstance(node.op, MOVES):
            pairs += [(name, node.output) for name in node.inputs]
    for a, b in pairs:
        if a in heads and b in heads:
            heads[head(a)] = head(b)
    said: dict[str, set[QuantParams]] = {}
    for node in graph.nodes:
        if isinstance(node.op, Quantize | Dequantize) and node.op.params.axis is None:
            name = node.output if isinstance(node.op, Quantize) else node.inputs[0]
            if name in heads:
                said.setdefault(head(name), set()).add(node.op.params)
    alike = {name: params.pop() for name, params in said.items() if len(params) == 1}
    return {name: alike[head(name)] for name in heads if head(name) in alike}
