"""Make a Graph one value at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from edgelearn.arrays import Array, as_f32
from edgelearn.errors import GraphError
from edgelearn.ir.graph import Graph, Node, State, infer_spec
from edgelearn.ir.ops import Binary, BinaryKind, MatMul, Op, Softmax, Unary, UnaryKind
from edgelearn.ir.tensor import DType, TensorSpec


class Builder:
    """Collects nodes; every method returns the name of the value it makes.

    >>> import numpy as np
    >>> b = Builder("double")
    >>> x = b.input("x", (-1, 3))
    >>> graph = b.graph([b.binary("add", x, x, name="y")])
    >>> graph.outputs, str(graph.specs["y"])
    (('y',), 'float32[batch, 3]')
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.specs: dict[str, TensorSpec] = {}
        self._inputs: list[str] = []
        self._nodes: list[Node] = []
        self._constants: dict[str, Array] = {}
        self._states: list[tuple[str, Array]] = []
        self._next: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        self._scalars: set[str] = set()
        self._scope = ""

    @property
    def nodes(self) -> Sequence[Node]:
        """The nodes so far, in their order."""
        return self._nodes

    @property
    def constants(self) -> Mapping[str, Array]:
        """The constants so far."""
        return self._constants

    def _refused(self, name: str, expected: str, got: str) -> GraphError:
        where = f"graph {self.name!r}, {name!r}"
        return GraphError(where, expected=expected, got=got, fix="name each value once, as it is")

    def _add(self, name: str, spec: TensorSpec) -> str:
        if name in self.specs:
            raise self._refused(name, "a new name", "one that is taken")
        self.specs[name] = spec
        return name

    def fresh(self, stem: str) -> str:
        """A name that no value has yet, within the scope."""
        stem = self._scope + stem
        if stem not in self.specs:
            return stem
        number = self._numbers.get(stem, 2)
        while f"{stem}_{number}" in self.specs:
            number += 1
        self._numbers[stem] = number
        return f"{stem}_{number}"

    @contextlib.contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Values named by themselves in this block are called ``name/...``."""
        outer, self._scope = self._scope, f"{self._scope}{name}/"
        try:
            yield
        finally:
            self._scope = outer

    def rename(self, old: str, new: str) -> str:
        """Give the value that a node makes another name, and return it."""
        if all(node.output != old for node in self._nodes):
            raise self._refused(old, "a value that a node makes", "another")
        if new == old:
            return old
        self._add(new, self.specs[old])
        del self.specs[old]
        swap = {old: new}
        self._next = {state: swap.get(value, value) for state, value in self._next.items()}
        for place, node in enumerate(self._nodes):
            if node.output == old or old in node.inputs:
                inputs = tuple(swap.get(i, i) for i in node.inputs)
                self._nodes[place] = replace(
                    node, inputs=inputs, output=swap.get(node.output, node.output)
                )
        return new

    def input(self, name: str, shape: Sequence[int], dtype: DType = "float32") -> str:
        """A value that the caller feeds."""
        self._add(name, TensorSpec(tuple(shape), dtype))
        self._inputs.append(name)
        return name

    def constant(self, name: str, value: Array) -> str:
        """A value that no run changes."""
        self._add(name, TensorSpec(value.shape, value.dtype.name))  # type: ignore[arg-type]
        self._constants[name] = value
        return name

    def scalar(self, value: float) -> str:
        """A float32 constant of shape (), shared by all its uses."""
        constant = as_f32(value)
        name = f"c{constant}"  # the shortest text that gives this float32 and no other
        if name not in self._constants:
            self.constant(name, constant)
            self._scalars.add(name)
        return name

    def state(self, name: str, init: Array, shape: Sequence[int] | None = None) -> str:
        """A value carried from run to run; say its next value with `update`."""
        dims = init.shape if shape is None else tuple(shape)
        self._add(name, TensorSpec(dims, init.dtype.name))  # type: ignore[arg-type]
        self._states.append((name, init))
        return name

    def update(self, state: str, value: str) -> None:
        """Say that `value` is what `state` holds after the run."""
        if all(name != state for name, _ in self._states):
            raise self._refused(state, "the name of a state", "another")
        self._next[state] = value

    def apply(self, op: Op, *inputs: str, name: str | None = None) -> str:
        """A node; its spec follows from the op's rule."""
        for value in inputs:
            if value not in self.specs:
                raise self._refused(value, "a value made before its use", "no such value")
        spec = infer_spec(op, [self.specs[i] for i in inputs])
        output = self._add(name or self.fresh(type(op).__name__.lower()), spec)
        self._nodes.append(Node(op, inputs, output))
        return output

    def binary(self, kind: BinaryKind, a: str, b: str, name: str | None = None) -> str:
        """An element-wise function of two values."""
        return self.apply(Binary(kind), a, b, name=name or self.fresh(kind))

    def unary(self, kind: UnaryKind, a: str, name: str | None = None) -> str:
        """An element-wise function of one value."""
        return self.apply(Unary(kind), a, name=name or self.fresh(kind))

    def matmul(self, a: str, b: str, *, transpose_b: bool = False, name: str | None = None) -> str:
        """The product of two matrices."""
        return self.apply(MatMul(transpose_b=transpose_b), a, b, name=name)

    def softmax(self, a: str, name: str | None = None) -> str:
        """The softmax over the last axis."""
        return self.apply(Softmax(), a, name=name)

    def graph(self, outputs: Sequence[str]) -> Graph:
        """The finished Graph: the nodes and scalars that outputs and next values of states need.

        A state without an update keeps its value.
        """
        states = [State(name, self._next.get(name, name), init) for name, init in self._states]
        needed = {*outputs, *(state.output for state in states)}
        nodes = []
        for node in reversed(self._nodes):
            if node.output in needed:
                needed.update(node.inputs)
                nodes.append(node)
        idle = {*self._scalars, *(node.output for node in self._nodes)} - needed
        return Graph(
            name=self.name,
            inputs=tuple(self._inputs),
            outputs=tuple(outputs),
            nodes=tuple(reversed(nodes)),
            specs={name: spec for name, spec in self.specs.items() if name not in idle},
            constants={name: v for name, v in self._constants.items() if name not in idle},
            states=tuple(states),
        )
