"""The Graph: nodes in order, typed values, constants and states; checked when made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgelearn.arrays import Array
from edgelearn.errors import GraphError
from edgelearn.ir.ops import Op
from edgelearn.ir.tensor import TensorSpec


@dataclass(frozen=True, slots=True)
class Node:
    """One operation: the values it reads and the one value it makes."""

    op: Op
    inputs: tuple[str, ...]
    output: str


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """A value that a run changes and the next run reads: `input` before, `output` after.

    The hidden state of a recurrent cell and a parameter under training are both states.
    `init` is the value before the first run; where the spec says `BATCH` it has length 1.
    """

    input: str
    output: str
    init: Array


def infer_spec(op: Op, specs: Sequence[TensorSpec]) -> TensorSpec:
    """The output spec of `op` for inputs of `specs`; `GraphError` if they do not fit."""
    if len(specs) != op.arity:
        raise GraphError(
            f"op {type(op).__name__}",
            expected=f"{op.arity} inputs",
            got=f"{len(specs)}",
            fix="connect every input once",
        )
    return op.infer(*specs)


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """What a device computes: inference, or one training step.

    Attributes
    ----------
    name : str
    inputs, outputs : tuple of str
        Values fed by and returned to the caller, apart from states.
    nodes : tuple of Node
        In an order in which they can run.
    specs : mapping of str to TensorSpec
        One for every value.
    constants : mapping of str to array
        Values that no run changes.
    states : tuple of State
        Values carried from run to run.

    Raises
    ------
    GraphError
        If a name is missing or made twice, a node runs before its inputs exist, a shape does
        not follow from the op's rule, or a state's two ends differ.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    specs: Mapping[str, TensorSpec]
    constants: Mapping[str, Array]
    states: tuple[State, ...] = ()

    def __post_init__(self) -> None:
        made = self._check_sources()
        for node in self.nodes:
            self._check_node(node, made)
            made.add(node.output)
        for name in self.outputs:
            self._require(name in made, name, "a value that some node makes", "no such value")
        for state in self.states:
            self._check_state(state, made)
        extra = ", ".join(sorted(set(self.specs) - made))
        self._require(not extra, extra, "specs of values only", "one of no value")

    def _require(self, holds: bool, where: str, expected: str, got: str) -> None:
        if not holds:
            raise GraphError(
                f"graph {self.name!r}, {where!r}",
                expected=expected,
                got=got,
                fix="build the graph with edgelearn.ir.Builder, which keeps these rules",
            )

    def _check_sources(self) -> set[str]:
        sources = Counter((*self.inputs, *self.constants, *(s.input for s in self.states)))
        for name, count in sources.items():
            self._require(name in self.specs, name, "a spec for every value", "none")
            self._require(count == 1, name, "one source a value", "several")
        for name, value in self.constants.items():
            spec = self.specs[name]
            self._require(spec.accepts(value), name, str(spec), f"{value.dtype}{value.shape}")
        return set(sources)

    def _check_node(self, node: Node, made: set[str]) -> None:
        for name in node.inputs:
            self._require(name in made, name, "a value made before its use", "one made later")
        self._require(node.output not in made, node.output, "one source a value", "several")
        self._require(node.output in self.specs, node.output, "a spec for every value", "none")
        spec = infer_spec(node.op, [self.specs[name] for name in node.inputs])
        declared = self.specs[node.output]
        if spec != declared:  # the words cost more than the check
            self._require(False, node.output, f"{spec}, by the op's rule", f"{declared}")

    def _check_state(self, state: State, made: set[str]) -> None:
        self._require(state.output in made, state.output, "a value that some node makes", "none")
        spec = self.specs[state.input]
        after = self.specs[state.output]
        self._require(spec == after, state.output, f"{spec}, as before the run", f"{after}")
        fits = spec.bind(1).accepts(state.init)
        got = f"{state.init.dtype}{state.init.shape}"
        self._require(fits, state.input, f"a first value of {spec.bind(1)}", got)

    @property
    def has_batch(self) -> bool:
        """Whether the number of samples is still open."""
        return any(spec.has_batch for spec in self.specs.values())

    def bind(self, batch: int) -> Graph:
        """This Graph for a fixed number of samples, at least one; the arrays are shared."""
        self._require(batch >= 1, "batch", "at least one sample", f"{batch}")
        specs = {name: spec.bind(batch) for name, spec in self.specs.items()}
        states = tuple(
            replace(state, init=np.broadcast_to(state.init, specs[state.input].shape))
            if self.specs[state.input].has_batch
            else state
            for state in self.states
        )
        return replace(self, specs=specs, states=states)

    def macs(self, node: Node) -> int:
        """Multiply-accumulates of one node of a bound Graph."""
        return node.op.macs(*(self.specs[name] for name in node.inputs))
