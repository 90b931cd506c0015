"""Graphs as functions of one C program that share parameters, constants and one arena."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgelearn.arrays import Array
from edgelearn.errors import GraphError, OptionError
from edgelearn.export.c_emit import emit
from edgelearn.export.c_emitter import Emitter, File, identifier, unsupported
from edgelearn.export.c_entry import give_outputs, take_inputs
from edgelearn.export.c_text import Helper
from edgelearn.ir import Graph, plan_arena
from edgelearn.passes.reorder import reorder


@dataclass(frozen=True, slots=True, eq=False)
class Function:
    """One Graph as a C function.

    Attributes
    ----------
    name : str
        Without the prefix: ``predict`` or ``learn``.
    graph : Graph
        Bound to its batch.
    batch : int
        Samples of one call.
    lines : tuple of str
        Its statements.
    """

    name: str
    graph: Graph
    batch: int
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """All that a C file says, before it is text.

    Attributes
    ----------
    name, prefix : str
        The name of its files, and what every public name begins with.
    functions : tuple of Function
    constants, states : mapping of str to array
        By the names they have in C; of states the first values.
    state_names : mapping of str to str
        What a state of the Graphs is called in C.
    tables : mapping of (str, str) to str
        Names of constant settings by type and initializer.
    helpers : tuple of Helper
        In an order in which they can be defined.
    arena_bytes : int
    """

    name: str
    prefix: str
    functions: tuple[Function, ...]
    constants: Mapping[str, Array]
    states: Mapping[str, Array]
    state_names: Mapping[str, str]
    tables: Mapping[tuple[str, str], str]
    helpers: tuple[Helper, ...]
    arena_bytes: int

    @property
    def states_bytes(self) -> int:
        """Bytes of parameters under training and of hidden states."""
        return sum(value.nbytes for value in self.states.values())

    @property
    def ram_bytes(self) -> int:
        """Static RAM of the program: the arena and the states, and nothing else."""
        return self.arena_bytes + self.states_bytes

    @property
    def constants_bytes(self) -> int:
        """Bytes in flash besides code: constants, and first values that are not zero."""
        first_values = sum(v.nbytes for v in self.states.values() if v.any())
        return sum(value.nbytes for value in self.constants.values()) + first_values

    @property
    def learns(self) -> bool:
        """Whether there are parameters that change, and are worth keeping."""
        return any(f.name == "learn" and f.graph.states for f in self.functions)

    @property
    def streams(self) -> bool:
        """Whether the states are the memory of a stream."""
        return not self.learns and bool(self.states)


def to_program(
    name: str, graphs: Mapping[str, Graph], batches: Mapping[str, int] | None = None
) -> Program:
    """A program of Graphs; a state of several of them is one array.

    Parameters
    ----------
    name : str
        Of the files, without suffix.
    graphs : mapping of str to Graph
        By function: ``predict``, ``learn``.
    batches : mapping of str to int, optional
        Samples of one call of each function; 1 where it says nothing.

    Raises
    ------
    UnsupportedOp
        If a dtype of a state or a number has no form in C.
    GraphError
        If constants or first values of one name differ.
    OptionError
        If the name cannot be that of a file to include.

    Examples
    --------
    >>> from edgelearn.ir import Builder
    >>> b = Builder("tanh")
    >>> graph = b.graph([b.unary("tanh", b.input("x", (-1, 8)), name="y")])
    >>> to_program("tanh", {"predict": graph}).functions[0].lines[2]
    'tanh_all(arena, arena + 8, 8); /* y */'
    """
    if not re.fullmatch(r"[A-Za-z0-9_.+-]+", name):
        raise OptionError(
            f"name {name!r}",
            expected="letters, digits, and any of _ . + -",
            got="others, which the name of a file of C should not have",
            fix="choose another name",
        )
    file = File(identifier(name))
    batches = {key: (batches or {}).get(key, 1) for key in graphs}
    ordered = {key: reorder(graph, batches[key]) for key, graph in graphs.items()}
    bound = {key: graph.bind(batches[key]) for key, graph in ordered.items()}
    plans = {key: plan_arena(graph) for key, graph in bound.items()}
    functions = []
    for key, graph in bound.items():
        _require_supported(graph)
        e = Emitter(graph, plans[key], file)
        take_inputs(e, file.upper)
        for node in graph.nodes:
            emit(e, node)
        give_outputs(e, file.upper)
        functions.append(Function(key, graph, batches[key], tuple(e.lines)))
    states = _shared(bound, "states")
    return Program(
        name=name,
        prefix=file.prefix,
        functions=tuple(functions),
        constants={file.constants.of(k): v for k, v in _shared(bound, "constants").items()},
        states={file.states.of(k): v for k, v in states.items()},
        state_names={k: file.states.of(k) for k in states},
        tables=file.tables,
        helpers=tuple(file.helpers.values()),
        arena_bytes=max(plan.size_bytes for plan in plans.values()),
    )


def _shared(graphs: Mapping[str, Graph], kind: str) -> dict[str, Array]:
    """Constants, or first values of states, of all Graphs by name."""
    found: dict[str, Array] = {}
    for graph in graphs.values():
        first_values = {state.input: state.init for state in graph.states}
        values = graph.constants if kind == "constants" else first_values
        for name, value in values.items():
            if not np.array_equal(found.setdefault(name, value), value):
                raise GraphError(
                    f"graph {graph.name!r}, {name!r}",
                    expected="one value under a name in all Graphs of a program",
                    got="another than in the Graph before",
                    fix="export Graphs of one model",
                )
    return found


def _require_supported(graph: Graph) -> None:
    for state in graph.states:
        spec = graph.specs[state.input]
        if spec.dtype != "float32":
            raise unsupported(f"state {state.input!r}", "float32", str(spec))
    values = {**graph.constants, **{state.input: state.init for state in graph.states}}
    for name, value in values.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise unsupported(f"value {name!r}", "finite numbers", "NaN or infinity")
    for name, spec in graph.specs.items():
        if not spec.size:
            raise unsupported(f"value {name!r}", "one element or more", str(spec))
