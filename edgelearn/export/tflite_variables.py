"""What a TFLite file keeps from run to run, as states of the Graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgelearn.arrays import Array
from edgelearn.export.tflite_parts import TfliteNode, TfliteSubgraph, refused
from edgelearn.export.tflite_values import Values

VARIABLE_OPS = {"CALL_ONCE", "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE"}


@dataclass(slots=True)
class _Variable:
    """Its first value, the state that it became when it was first read, and its value now."""

    init: Array | None = None
    state: str | None = None
    now: str | None = None


class Variables:
    """The variables of a model, as its operators read and assign them.

    Parameters
    ----------
    v : Values
    subgraphs : sequence of TfliteSubgraph
        One of them assigns the first values.
    """

    def __init__(self, v: Values, subgraphs: Sequence[TfliteSubgraph]) -> None:
        self._v, self._subgraphs = v, subgraphs
        self._known: dict[str, _Variable] = {}
        self._handles: dict[int, str] = {}

    def take(self, n: TfliteNode) -> None:
        """Do what one of `VARIABLE_OPS` says."""
        if n.op == "CALL_ONCE":
            self._initialise(self._subgraphs[n.option("InitSubgraphIndex")])
            return
        if n.op == "VAR_HANDLE":
            self._handles[n.out] = _name(n)
            return
        name = self._handles[n.inputs[0]]
        variable = self._known.setdefault(name, _Variable())
        if n.op == "ASSIGN_VARIABLE":
            variable.now = self._v.raw(n.inputs[1])
            return
        if variable.now is None:
            if variable.init is None:
                raise refused(f"a first value of variable {name!r}", "none")
            state = self._v.b.fresh(name or "variable")
            variable.state = variable.now = self._v.b.state(state, variable.init)
        self._v.held[n.out] = variable.now

    def update(self) -> None:
        """Say what each state is after the run."""
        for variable in self._known.values():
            if variable.state is not None and variable.now is not None:
                self._v.b.update(variable.state, variable.now)

    def _initialise(self, subgraph: TfliteSubgraph) -> None:
        handles: dict[int, str] = {}
        for n in subgraph.nodes:
            if n.op == "VAR_HANDLE":
                handles[n.out] = _name(n)
            elif n.op == "ASSIGN_VARIABLE":
                value = subgraph.tensors[n.inputs[1]].value
                self._known[handles[n.inputs[0]]] = _Variable(init=value)
            else:
                raise refused("constants that are assigned", n.op)


def _name(n: TfliteNode) -> str:
    return str(n.option("SharedName", b"").decode())
