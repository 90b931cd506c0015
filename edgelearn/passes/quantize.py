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

import numpy as np

from edgelearn.arrays import Array
from edgelearn.errors import GraphError
from edgelearn.ir.graph import Graph, Node, infer_spec
from edgelearn.ir.ops import (
    Binary,
    Conv2d,
    Dequantize,
    Gather,
    MatMul,
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
from edgelearn.passes.fold import fold

HIGH = 127
"""Weights are symmetric: without -128, a weight and its negative are alike."""
BIAS_ROOM = 2**30
"""Largest bias: what the sum of products needs is left of 32 bits."""


def quantize_weights(graph: Graph) -> Graph:
    """`graph` with int8 constants in the place of matrices, filters and tables.

    Raises
    ------
    GraphError
        If it is a training step.

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


def _weights(graph: Graph) -> dict[str, int | None]:
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


class _Rewriter:
    """Copies a Graph node by node, with integers where they serve."""

    def __init__(self, source: Graph, params: Mapping[str, QuantParams]) -> None:
        self.source, self.params = source, params
        self.makers = {node.output: node for node in source.nodes}
        self.weights = _weights(source)
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
        weights = np.array(self.scales[product.inputs[1]].scale, np.float32)
        activation = np.float32(self.params[self.origin(product.inputs[0])].scale[0])
        value = self.source.constants[bias]
        scale = np.broadcast_to(weights * activation, value.shape)
        with np.errstate(divide="ignore", over="ignore"):
            integers = np.rint(value.astype(np.float64) / scale)
        if not (np.abs(integers) < BIAS_ROOM).all():
            return bias
        params = QuantParams(tuple(scale.tolist()), (0,) * scale.size, 0)
        stored = self._constant(f"{bias}/int32", integers.astype(np.int32))
        return self._add(Dequantize(params), (stored,), f"{bias}/from_int32")
