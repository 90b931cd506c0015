"""What of a quantised Graph still computes with numbers, and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from typing_extensions import assert_never

from edgelearn.ir.graph import Graph, Node
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


@dataclass(frozen=True, slots=True)
class Kept:
    """Nodes of one kind that compute with float32.

    Attributes
    ----------
    op : str
        The op, with its kind if it has one.
    nodes : tuple of str
        What they make.
    reason : str
    """

    op: str
    nodes: tuple[str, ...]
    reason: str


def kept_float(graph: Graph) -> list[Kept]:
    """The nodes of `graph` that runtimes compute with numbers, by kind and reason.

    >>> from edgelearn.ir import Builder
    >>> b = Builder("curve")
    >>> kept_float(b.graph([b.unary("tanh", b.input("x", (-1, 3)), name="y")]))
    [Kept(op='Unary tanh', nodes=('y',), reason='a curve')]
    """
    found: dict[tuple[str, str], list[str]] = {}
    whole, meanings = of_integers(graph), _meanings(graph)
    for node in graph.nodes:
        if graph.specs[node.output].dtype == "float32" and node.output not in whole:
            halved = isinstance(node.op, MatMul | Conv2d) and meanings & {*node.inputs}
            reason = "its weights are integers, its activations numbers" if halved else None
            kind = f"{type(node.op).__name__} {getattr(node.op, 'kind', '')}".strip()
            found.setdefault((kind, reason or _reason(node.op)), []).append(node.output)
    return [Kept(kind, tuple(nodes), reason) for (kind, reason), nodes in found.items()]


def _meanings(graph: Graph) -> set[str]:
    return {node.output for node in graph.nodes if isinstance(node.op, Dequantize)}


def of_integers(graph: Graph) -> set[str]:
    """Values of float32 that runtimes compute from integers alone, or never compute.

    Products of integers, their sums with an int32 bias, and `relu` where a Quantize follows, which
    cuts off as well; and what only says what integers mean.
    """
    found = _meanings(graph)
    meanings = frozenset(found)
    reads = Counter(name for node in graph.nodes for name in node.inputs)
    reads.update((*graph.outputs, *(state.output for state in graph.states)))
    rounded = {node.inputs[0] for node in graph.nodes if isinstance(node.op, Quantize)}
    for node in graph.nodes:
        if isinstance(node.op, MatMul | Conv2d) and meanings >= {*node.inputs}:
            found.add(node.output)
        if node.op == Binary("add") and found >= {*node.inputs} and _is_biased(node, meanings):
            found.add(node.output)
        cut = node.output in rounded and reads[node.output] == 1
        if node.op == Unary("relu") and cut and found.issuperset(node.inputs):
            found.add(node.output)
    return found


def _is_biased(node: Node, meanings: frozenset[str]) -> bool:
    """Whether one of two summands is an int32 bias, and the other a product."""
    return len(meanings.intersection(node.inputs)) == 1


def _reason(op: Op) -> str:
    match op:
        case MatMul() | Conv2d() | ConvTranspose2d():
            return "a product of two activations"
        case Unary(kind="relu" | "abs" | "sign" | "neg"):
            return "reads numbers"
        case Unary() | Softmax():
            return "a curve"
        case Binary():
            return "its operands are numbers, or have different scales"
        case Reduce() | Pool2d():
            return "a sum, or the largest, of numbers"
        case Reshape() | Transpose() | Concat() | Slice() | Gather() | ApplyMask():
            return "moves numbers"
        case OneHot() | BatchSize() | ToInt():
            return "makes numbers of integers that are none of a quantiser"
        case SparseMatMul():
            return "its weights are pruned, and of float32"
        case AddOuter() | AddConvOuter() | SparseAddOuter() | Keep():
            return "learns"
        case Quantize() | Dequantize():
            return "stands between numbers and integers"
        case _:
            assert_never(op)
