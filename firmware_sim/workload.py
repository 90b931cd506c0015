"""The kernels that a runtime starts for a Graph: nodes fused as inference runtimes fuse them.

A convolution or a matrix product takes with it what follows element by element and reads
nothing else but constants (bias, folded scale, activation); a chain of element-wise nodes over
the same values is one pass. A view costs nothing and is no kernel; nor are `Quantize` and
`Dequantize`, which tell integer kernels what their integers mean.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Literal, TypeAlias

from typing_extensions import assert_never

from edgelearn.ir import Graph, Node
from edgelearn.ir.ops import (
    AddConvOuter,
    AddOuter,
    ApplyMask,
    BatchSize,
    Binary,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Dequantize,
    Gather,
    Keep,
    MatMul,
    OneHot,
    Op,
    Pool2d,
    Quantize,
    Reduce,
    Reshape,
    Slice,
    Softmax,
    SparseAddOuter,
    SparseMatMul,
    ToInt,
    Transpose,
    Unary,
)

Kind: TypeAlias = Literal[
    "stem",
    "conv3x3",
    "conv",
    "grouped",
    "pointwise",
    "depthwise",
    "dense",
    "elementwise",
    "pool",
    "move",
]
STEM_CHANNELS = 4
"""A convolution of at most so many channels reads an image: most runtimes have a kernel for it."""


_FREE = (Reshape, Quantize, Dequantize)


@dataclass(frozen=True, slots=True)
class Kernel:
    """One start of a kernel, sizes in elements.

    Attributes
    ----------
    name, op : str
        What its first node makes, and that node's operation.
    kind : str
    macs : int
    inputs, weights, outputs : int
        Elements read that a run makes or is fed, read of constants and states, and written.
    positions, taps, fan_in, fan_out, groups, stride : int
        Of a matrix product or convolution: rows or pixels of the output, places of the filter,
        channels of a group read and written; 1 for other kernels.
    nodes : int
        How many nodes of the Graph it runs.
    """

    name: str
    op: str
    kind: Kind
    macs: int
    inputs: int
    weights: int
    outputs: int
    positions: int = 1
    taps: int = 1
    fan_in: int = 1
    fan_out: int = 1
    groups: int = 1
    stride: int = 1
    nodes: int = 1


def kernels(graph: Graph) -> tuple[Kernel, ...]:
    """The kernels of a bound `graph`, in the order in which they start.

    >>> import numpy as np
    >>> from edgelearn.ir import Builder
    >>> b = Builder("dense")
    >>> x, w = b.input("x", (1, 64)), b.constant("w", np.ones((64, 10), np.float32))
    >>> y = b.binary("add", b.matmul(x, w), b.constant("bias", np.ones(10, np.float32)))
    >>> [(k.kind, k.macs, k.nodes) for k in kernels(b.graph([b.unary("relu", y)]))]
    [('dense', 640, 3)]
    """
    lasting = _lasting(graph)
    return tuple(_kernel(graph, group, lasting) for group in _groups(graph, lasting))


def is_quantised(graph: Graph) -> bool:
    """Whether activations are integers, so that runtimes take their integer kernels."""
    return any(isinstance(node.op, Quantize) for node in graph.nodes)


def _groups(graph: Graph, lasting: set[str]) -> list[list[Node]]:
    """The nodes, fused; those that cost nothing are left out."""
    kept = {*graph.outputs, *(state.output for state in graph.states)}
    uses = Counter(name for node in graph.nodes for name in node.inputs)
    maker: dict[str, list[Node]] = {}
    groups: list[list[Node]] = []
    for node in graph.nodes:
        if isinstance(node.op, _FREE):
            continue
        reads = set(node.inputs) - lasting
        ends = [name for name in reads if name in maker and name not in kept and uses[name] == 1]
        group = maker[ends[0]] if len(ends) == 1 else []
        if not group or not _joins(node, reads - set(ends), group):
            group = []
            groups.append(group)
        group.append(node)
        maker[node.output] = group
    return groups


def _joins(node: Node, others: set[str], group: list[Node]) -> bool:
    """Whether `node`, which reads the end of `group` and `others`, runs in the same pass."""
    if not isinstance(node.op, Unary | Binary | ApplyMask):
        return False
    if isinstance(group[0].op, MatMul | Conv2d):
        return not others
    elementwise = isinstance(group[0].op, Unary | Binary | ApplyMask)
    return elementwise and others <= {name for member in group for name in member.inputs}


def _lasting(graph: Graph) -> set[str]:
    """Constants and states, and what integers among them mean."""
    found = {*graph.constants, *(state.input for state in graph.states)}
    for node in graph.nodes:
        if isinstance(node.op, Dequantize) and node.inputs[0] in found:
            found.add(node.output)
    return found


def _kernel(graph: Graph, group: list[Node], lasting: set[str]) -> Kernel:
    made = {node.output for node in group}
    read = {name for node in group for name in node.inputs} - made
    size = {name: graph.specs[name].size for name in read | made}
    first, out = group[0], group[-1].output
    if isinstance(first.op, Gather | Slice):
        size[first.inputs[0]] = min(size[first.inputs[0]], size[out])
    sizes = {
        "inputs": sum(size[name] for name in read - lasting),
        "weights": sum(size[name] for name in read & lasting),
        "outputs": size[out],
    }
    shape = _product_shape(graph, first)
    return Kernel(
        name=first.output,
        op=type(first.op).__name__,
        kind=_kind(first.op, shape),
        macs=graph.macs(first),
        nodes=len(group),
        **sizes,
        **shape,
    )


def _product_shape(graph: Graph, node: Node) -> dict[str, int]:
    """The sizes of the matrix product that `node` is at heart; none if it is no such thing."""
    specs, op = graph.specs, node.op
    match op:
        case Conv2d() | AddConvOuter() | ConvTranspose2d():
            turned = isinstance(op, ConvTranspose2d)
            filters = specs[node.inputs[0 if isinstance(op, AddConvOuter) else 1]].shape
            image = specs[
                node.output if isinstance(op, Conv2d) else node.inputs[0 if turned else 2]
            ]
            return {
                "positions": math.prod(image.shape[:3]),
                "taps": filters[0] * filters[1],
                "fan_in": filters[2],
                "fan_out": filters[3] // op.groups,
                "groups": op.groups,
                "stride": op.strides[0],
            }
        case MatMul() | AddOuter():
            rows, columns = specs[node.output].shape
            inner = graph.macs(node) // max(1, rows * columns)
            return {"positions": rows, "fan_in": inner, "fan_out": columns}
        case SparseMatMul():
            return {"positions": specs[node.output].shape[0], "fan_in": op.fan_in,
                    "fan_out": op.units}  # fmt: skip
        case _:
            return {}


def _kind(op: Op, shape: dict[str, int]) -> Kind:
    match op:
        case Conv2d() | AddConvOuter() | ConvTranspose2d():
            if shape["groups"] > 1 and shape["fan_in"] == shape["fan_out"] == 1:
                return "depthwise"
            if shape["fan_in"] * shape["groups"] <= STEM_CHANNELS:
                return "stem"
            if shape["groups"] > 1:
                return "grouped"
            if shape["taps"] == 1:
                return "pointwise"
            return "conv3x3" if shape["taps"] == 9 and shape["stride"] == 1 else "conv"
        case MatMul() | AddOuter() | SparseMatMul() | SparseAddOuter():
            return "dense"
        case Pool2d() | Reduce() | Softmax():
            return "pool"
        case Unary() | Binary() | ApplyMask() | Keep() | Quantize() | Dequantize():
            return "elementwise"
        case (
            Concat()
            | Slice()
            | Transpose()
            | Gather()
            | Reshape()
            | OneHot()
            | ToInt()
            | BatchSize()
        ):
            return "move"
        case _:
            assert_never(op)
