"""Weights, and activations where they meet weights, as integers of 8 bits.

What integers mean stays in the Graph: a `Dequantize` before whoever computes with them. Weights are
symmetric, with a scale for each output (Jacob et al. 2018, arXiv:1712.05877; Krishnamoorthi 2018,
arXiv:1806.08342, section 3); activations have one scale and a zero point; a bias has 32 bits and
the scale of the product it is added to. What a convolution makes becomes integers too, after its
bias and `relu`: runtimes have no other convolution of integers, and maps are what fills a device's
memory. Sums of a `MatMul` keep their 32 bits: what a recurrent cell makes of them goes round and
round. Curves, norms and gates compute with numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from edgelearn.arrays import Array
from edgelearn.errors import GraphError
from edgelearn.ir.graph import Graph, Node, infer_spec
from edgelearn.ir.ops import (
    Binary,
    Conv2d,
    Dequantize,
    Gather,
    Op,
    Pool2d,
    Quantize,
    Reshape,
    Slice,
    Transpose,
    Unary,
)
from edgelearn.ir.ops_quant import QuantParams
from edgelearn.ir.tensor import TensorSpec
from edgelearn.passes._weights import integer_bias, symmetric, weight_of, weights_of
from edgelearn.passes.fold import fold


def quantize_weights(graph: Graph) -> Graph:
    """`graph` with int8 constants in the place of matrices, filters and tables.

    Raises
    ------
    GraphError
        If it is a training step.

    >>> import numpy as np
    >>> from edgelearn.ir import Builder
    >>> b = Builder("dense")
    >>> w = b.constant("w", np.eye(4, dtype=np.float32))
    >>> found = quantize_weights(b.graph([b.matmul(b.input("x", (-1, 4)), w)]))
    >>> found.constants["w/int8"].dtype.name, [type(n.op).__name__ for n in found.nodes]
    ('int8', ['Dequantize', 'MatMul'])
    """
    return _Rewriter(_inference(graph), {}).graph()


def quantize_full(graph: Graph, params: Mapping[str, QuantParams]) -> Graph:
    """As `quantize_weights`, with int8 activations too where they meet weights.

    Parameters
    ----------
    graph : Graph
    params : mapping of str to QuantParams
        Scale and zero point of each value in `activations` of `graph`.

    Raises
    ------
    GraphError
        If it is a training step.
    """
    return _Rewriter(_inference(graph), params).graph()


def activations(graph: Graph) -> list[str]:
    """The values that `quantize_full` makes integers of, each before it is moved or picked from.

    >>> import numpy as np
    >>> from edgelearn.ir import Builder
    >>> b = Builder("dense")
    >>> x, w = b.input("x", (-1, 2, 2)), b.constant("w", np.eye(4, dtype=np.float32))
    >>> activations(b.graph([b.matmul(b.apply(Reshape((-1, 4)), x), w)]))
    ['x']
    """
    rewriter = _Rewriter(_inference(graph), {})
    products = [node for node in rewriter.source.nodes if rewriter.is_product(node)]
    read = [rewriter.origin(node.inputs[0]) for node in products]
    return list(dict.fromkeys((*read, *rewriter.ends)))


def _inference(graph: Graph) -> Graph:
    """`graph` with constants computed, or `GraphError` if it changes parameters."""
    learned = [s.input for s in graph.states if not graph.specs[s.input].has_batch]
    if learned:
        raise GraphError(
            f"graph {graph.name!r}",
            expected="inference",
            got=f"a training step of {', '.join(learned[:3])}",
            fix="quantise what was learned: integers of 8 bits are too coarse to learn in",
        )
    return fold(graph)


class _Rewriter:
    """Copies a Graph node by node, with integers where they serve."""

    def __init__(self, source: Graph, params: Mapping[str, QuantParams]) -> None:
        self.source, self.params = source, params
        self.makers = {node.output: node for node in source.nodes}
        self.weights = weights_of(source)
        self.reads = Counter(name for node in source.nodes for name in node.inputs)
        self.reads.update((*source.outputs, *(state.output for state in source.states)))
        self.specs: dict[str, TensorSpec] = dict(source.specs)
        self.constants: dict[str, Array] = dict(source.constants)
        self.nodes: list[Node] = []
        self.scales: dict[str, QuantParams] = {}
        self.integers: dict[str, str] = {}
        self.meanings: dict[str, str] = {}
        self.readers: dict[str, list[Node]] = {}
        for node in source.nodes:
            for name in set(node.inputs):
                self.readers.setdefault(name, []).append(node)
        self.ends = {
            self._end(node)
            for node in source.nodes
            if isinstance(node.op, Conv2d) and self.is_product(node)
        }

    def graph(self) -> Graph:
        for node in self.source.nodes:
            self._copy(node)
        needed = {*self.source.outputs, *(state.output for state in self.source.states)}
        nodes = []
        for node in reversed(self.nodes):
            if node.output in needed:
                needed.update(node.inputs)
                nodes.append(node)
        fed = {*self.source.inputs, *(state.input for state in self.source.states)}
        return replace(
            self.source,
            nodes=tuple(reversed(nodes)),
            specs={name: spec for name, spec in self.specs.items() if name in needed | fed},
            constants={name: v for name, v in self.constants.items() if name in needed},
        )

    def is_product(self, node: Node) -> bool:
        """Whether `node` is an activation times weights."""
        name, _ = weight_of(node) or ("", None)
        return name in self.weights and not isinstance(node.op, Gather)

    def origin(self, name: str) -> str:
        """Where `name` comes from, before it was moved, or the largest elements were picked."""
        while self._moves(name):
            name = self.makers[name].inputs[0]
        return name

    def _moves(self, name: str) -> bool:
        op = self.makers[name].op if name in self.makers else None
        picks = isinstance(op, Pool2d) and op.kind == "max"
        return picks or isinstance(op, Reshape | Transpose | Slice)

    def _end(self, conv: Node) -> str:
        """What a convolution makes: with bias and `relu`, if only they read what is before them."""
        end = conv.output
        for step in (Binary("add"), Unary("relu")):
            readers = self.readers.get(end, [])
            others = {name for node in readers for name in node.inputs} - {end}
            alone = self.reads[end] == 1 and others <= self.source.constants.keys()
            if alone and [node.op for node in readers] == [step]:
                end = readers[0].output
        return end

    def _copy(self, node: Node) -> None:
        op, inputs = node.op, node.inputs
        for name in inputs:
            if name in self.weights and name not in self.scales:
                self._weight(name)
        if isinstance(op, Gather) and inputs[0] in self.weights:
            picked = self._add(op, (self.integers[inputs[0]], inputs[1]), f"{node.output}/int8")
            self._node(Dequantize(self.scales[inputs[0]]), (picked,), node.output)
            return
        if self.params and self._moves(node.output) and self.origin(node.output) in self.ends:
            op = Dequantize(self.params[self.origin(node.output)])
            self.meanings[node.output] = self._node(op, (self._integers(node.output),), node.output)
            return
        inputs = tuple(self.meanings.get(i, i) if i in self.ends else i for i in inputs)
        if self.params and self.is_product(node):
            inputs = (self._meaning(inputs[0]), inputs[1])
        elif self.params and isinstance(op, Binary) and op.kind == "add":
            inputs = self._with_bias(inputs)
        self._node(op, inputs, node.output)
        if self.params and node.output in self.ends:
            self._meaning(node.output)

    def _node(self, op: Op, inputs: tuple[str, ...], output: str) -> str:
        self.specs[output] = infer_spec(op, [self.specs[name] for name in inputs])
        self.nodes.append(Node(op, inputs, output))
        return output

    def _add(self, op: Op, inputs: tuple[str, ...], stem: str) -> str:
        return self._node(op, inputs, self._fresh(stem))

    def _fresh(self, stem: str) -> str:
        name, number = stem, 2
        while name in self.specs:
            name, number = f"{stem}_{number}", number + 1
        return name

    def _constant(self, stem: str, value: Array) -> str:
        name = self._fresh(stem)
        self.constants[name] = value
        self.specs[name] = TensorSpec(value.shape, value.dtype.name)  # type: ignore[arg-type]
        return name

    def _weight(self, name: str) -> None:
        """Store the weight as int8; what it means takes the place of the constant."""
        integers, self.scales[name] = symmetric(self.constants.pop(name), self.weights[name])
        self.integers[name] = self._constant(f"{name}/int8", integers)
        self._node(Dequantize(self.scales[name]), (self.integers[name],), name)

    def _meaning(self, name: str) -> str:
        """What the integers of an activation mean."""
        if name not in self.meanings:
            op = Dequantize(self.params[self.origin(name)])
            self.meanings[name] = self._add(op, (self._integers(name),), f"{name}/from_int8")
        return self.meanings[name]

    def _integers(self, name: str) -> str:
        if name not in self.integers:
            if self._moves(name):
                op, source = self.makers[name].op, self._integers(self.makers[name].inputs[0])
            else:
                op, source = Quantize(self.params[name]), name
            self.integers[name] = self._add(op, (source,), f"{name}/int8")
        return self.integers[name]

    def _with_bias(self, inputs: tuple[str, ...]) -> tuple[str, ...]:
        """The inputs of a sum, a bias among them as int32 if it has the room."""
        for product, bias in (inputs, inputs[::-1]):
            maker = self.makers.get(product)
            alone = self.reads[product] == 1
            if maker is None or not alone or not self.is_product(maker):
                continue
            columns = self.source.specs[product].shape[-1:]
            if bias in self.source.constants and self.source.specs[bias].shape == columns:
                return product, self._bias(bias, maker)
        return inputs

    def _bias(self, bias: str, product: Node) -> str:
        """What an int32 bias means, or the bias itself if it has no room in 32 bits."""
        activation = self.params[self.origin(product.inputs[0])]
        value = self.source.constants[bias]
        found = integer_bias(value, self.scales[product.inputs[1]], activation)
        if found is None:
            return bias
        stored = self._constant(f"{bias}/int32", found[0])
        return self._add(Dequantize(found[1]), (stored,), f"{bias}/from_int32")
