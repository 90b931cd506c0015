"""Which nodes of a quantised Graph become one TFLite operator: kernels compute with integers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgelearn.ir.graph import Graph, Node
from edgelearn.ir.ops import Binary, Conv2d, Dequantize, MatMul, Op, Quantize, Unary
from edgelearn.ir.ops_quant import QuantParams


@dataclass(frozen=True, slots=True)
class Absorbed:
    """A value that products read as the integers of a constant."""

    constant: str
    params: QuantParams


@dataclass(frozen=True, slots=True)
class IntegerProduct:
    """A product of integers that ends in integers: with its bias, and `relu` if it has one."""

    node: Node
    x: Absorbed
    bias: str | None
    relu: bool
    params: QuantParams


@dataclass(frozen=True, slots=True)
class Forms:
    """What stands for several nodes.

    Attributes
    ----------
    absorbed : mapping of str to Absorbed
        What int8 constants stand for, where only products read it. A product may read the
        integers themselves: what it makes takes the scale of each output.
    products : mapping of str to IntegerProduct
        By the value that it makes.
    skipped : set of str
        Values that no operator makes.
    """

    absorbed: Mapping[str, Absorbed]
    products: Mapping[str, IntegerProduct]
    skipped: frozenset[str]


def forms_of(graph: Graph) -> Forms:
    """What of `graph` kernels for integers compute.

    >>> from edgelearn.ir import Builder
    >>> b = Builder("floats")
    >>> forms_of(b.graph([b.unary("relu", b.input("x", (1, 4)))])).skipped
    frozenset()
    """
    absorbed = _absorbed(graph)
    finder = _Finder(graph, absorbed)
    products = {n.output: p for n in graph.nodes if (p := finder.product(n)) is not None}
    return Forms(absorbed, products, frozenset(absorbed) | finder.skipped(products))


def _absorbed(graph: Graph) -> dict[str, Absorbed]:
    found = {
        node.output: Absorbed(node.inputs[0], node.op.params)
        for node in graph.nodes
        if isinstance(node.op, Dequantize)
        and node.inputs[0] in graph.constants
        and graph.specs[node.inputs[0]].dtype == "int8"
        and not any(node.op.params.zero_point)
    }
    for name in (*graph.outputs, *(state.output for state in graph.states)):
        found.pop(name, None)
    for node in graph.nodes:
        for position, name in enumerate(node.inputs):
            if name in found and not _is_weight(node.op, position, found[name].params):
                del found[name]
    return found


def _is_weight(op: Op, position: int, params: QuantParams) -> bool:
    if isinstance(op, MatMul):
        outputs = 0 if op.transpose_b else 1
        return position == 1 and not op.transpose_a and params.axis in (None, outputs)
    return isinstance(op, Conv2d) and position == 1 and params.axis in (None, 3)


class _Finder:
    def __init__(self, graph: Graph, absorbed: Mapping[str, Absorbed]) -> None:
        self.graph, self.absorbed = graph, absorbed
        self.makers = {node.output: node for node in graph.nodes}
        self.reads = Counter(name for node in graph.nodes for name in node.inputs)
        self.reads.update((*graph.outputs, *(state.output for state in graph.states)))

    def product(self, node: Node) -> IntegerProduct | None:
        """The product that ends in `node`, if kernels for integers compute it."""
        if not isinstance(node.op, Quantize) or node.op.dtype != "int8" or node.op.params.axis:
            return None
        inner = self._alone(node.inputs[0])
        relu = inner is not None and inner.op == Unary("relu")
        if inner is not None and relu:
            inner = self._alone(inner.inputs[0])
        bias = None
        if inner is not None and inner.op == Binary("add"):
            bias, inner = self._bias(inner)
        if inner is None or not isinstance(inner.op, MatMul | Conv2d):
            return None
        x = self._integers(inner.inputs[0], ("int8",))
        weights = self.absorbed.get(inner.inputs[1])
        if x is None or x.params.axis is not None or weights is None:
            return None
        # Kernels for matrices know one scale only.
        if isinstance(inner.op, MatMul) and weights.params.axis is not None:
            return None
        if bias is not None and not self._fits(bias, x, weights):
            return None
        name = None if bias is None else bias.constant
        return IntegerProduct(inner, x, name, relu, node.op.params)

    def skipped(self, products: Mapping[str, IntegerProduct]) -> frozenset[str]:
        """The values on the way to `products`, and inputs that nobody else reads as numbers."""
        found: set[str] = set()
        inputs: Counter[str] = Counter()
        for output, product in products.items():
            name = self.makers[output].inputs[0]
            while name != product.node.output:
                found.add(name)
                inner = self.makers[name].inputs
                name = next(n for n in inner if self._leads(n, product.node.output))
            found.add(name)
            inputs[product.node.inputs[0]] += 1
        return frozenset(found | {n for n, count in inputs.items() if count == self.reads[n]})

    def _leads(self, name: str, to: str) -> bool:
        node = self.makers.get(name)
        return name == to or (node is not None and node.op == Binary("add") and to in node.inputs)

    def _alone(self, name: str) -> Node | None:
        """The node that makes a value which only one node reads."""
        return self.makers.get(name) if self.reads[name] == 1 else None

    def _bias(self, node: Node) -> tuple[Absorbed | None, Node | None]:
        """The int32 constant that is added, and the node that makes what it is added to."""
        for product, other in (node.inputs, node.inputs[::-1]):
            bias = self._integers(other, ("int32",))
            if bias is not None and bias.constant in self.graph.constants:
                return bias, self._alone(product)
        return None, None

    def _integers(self, name: str, dtypes: tuple[str, ...]) -> Absorbed | None:
        node = self.makers.get(name)
        if node is None or not isinstance(node.op, Dequantize):
            return None
        source = node.inputs[0]
        known: Any = self.graph.specs[source].dtype in dtypes
        return Absorbed(source, node.op.params) if known else None

    def _fits(self, bias: Absorbed, x: Absorbed, weights: Absorbed) -> bool:
        """Whether a bias has the scale of the sums that it is added to."""
        columns = self.graph.specs[bias.constant].shape
        sums = np.float32(x.params.scale[0]) * np.array(weights.params.scale, np.float32)
        scale = np.array(bias.params.scale, np.float32)
        return (
            len(columns) == 1
            and scale.size in (1, sums.size)
            and np.allclose(scale, sums, rtol=1e-5, atol=0)
        )
