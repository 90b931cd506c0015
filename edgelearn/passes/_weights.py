"""Which constants are weights, and those and biases as integers."""

from __future__ import annotations

import numpy as np

from edgelearn.arrays import Array
from edgelearn.ir.graph import Graph, Node
from edgelearn.ir.ops import Conv2d, Gather, MatMul
from edgelearn.ir.ops_quant import QuantParams

HIGH = 127
"""Weights are symmetric: without -128, a weight and its negative are alike."""
BIAS_ROOM = 2**30
"""Largest bias: what the sum of products needs is left of 32 bits."""


def weight_of(node: Node) -> tuple[str, int | None] | None:
    """The input of `node` that may be int8 if it is constant, and the axis of its outputs."""
    match node.op:
        case MatMul():
            return node.inputs[1], int(not node.op.transpose_b)
        case Conv2d():
            return node.inputs[1], 3
        case Gather():
            return node.inputs[0], None
        case _:
            return None


def weights_of(graph: Graph) -> dict[str, int | None]:
    """Constants that are read as weights only, and the axis along which they have scales."""
    axes: dict[str, set[int | None]] = {}
    other = {*graph.outputs, *(state.output for state in graph.states)}
    for node in graph.nodes:
        name, axis = weight_of(node) or ("", None)
        axes.setdefault(name, set()).add(axis)
        other.update(n for i, n in enumerate(node.inputs) if n != name or name in node.inputs[:i])
    floats = {n for n, value in graph.constants.items() if value.dtype == np.float32}
    return {
        name: min(found, key=str) if len(found) == 1 else None
        for name, found in axes.items()
        if name in floats - other
    }


def symmetric(value: Array, axis: int | None) -> tuple[Array, QuantParams]:
    """`value` as int8 with a scale for each position of `axis`, or one for all.

    >>> integers, params = symmetric(np.float32([[1, -254]]), 1)
    >>> integers.tolist(), params.scale[1]
    ([[127, -127]], 2.0)
    """
    others = tuple(i for i in range(value.ndim) if i != axis)
    largest = np.abs(value).max(axis=others, keepdims=True, initial=0)
    scale = (largest / np.float32(HIGH)).astype(np.float32)
    scale[scale < np.finfo(np.float32).tiny] = 1  # of zeros alone
    integers = np.clip(np.rint(value / scale), -HIGH, HIGH).astype(np.int8)
    return integers, QuantParams(tuple(scale.ravel().tolist()), (0,) * scale.size, axis)


def integer_bias(
    value: Array, weights: QuantParams, activation: QuantParams
) -> tuple[Array, QuantParams] | None:
    """`value` as int32 with the scale of a product; None where 32 bits have no room for it."""
    product = np.array(weights.scale, np.float32) * np.float32(activation.scale[0])
    scale = np.broadcast_to(product, value.shape)
    with np.errstate(divide="ignore", over="ignore"):
        integers = np.rint(value.astype(np.float64) / scale)
    if not (np.abs(integers) < BIAS_ROOM).all():
        return None
    params = QuantParams(tuple(scale.tolist()), (0,) * scale.size, 0)
    return integers.astype(np.int32), params
