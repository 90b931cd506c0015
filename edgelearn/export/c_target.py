"""C as a target: the writer, judged by a program that the compiler of this machine makes of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from edgelearn.arrays import Array
from edgelearn.errors import ParityError
from edgelearn.export.c_harness import (
    GET,
    call_bytes,
    harness_text,
    read_result,
    read_states,
    set_bytes,
)
from edgelearn.export.c_program import Function, Program, to_program
from edgelearn.export.c_writer import header_text, source_text
from edgelearn.export.target import Draft, Lane, Options, Target
from edgelearn.ir.graph import Graph, State
from edgelearn.passes.fold import fold
from edgelearn.runtimes import cc


@dataclass(frozen=True, slots=True)
class CDraft(Draft):
    """A source file and its header; what they are of: the program, its Graphs with open batch."""

    program: Program | None = None
    graphs: Mapping[str, Graph] = field(default_factory=dict)


def split(graph: Graph) -> dict[str, Graph]:
    """Graphs by function: inference alone is ``predict``; a training step is that and ``learn``.

    What a training step says of every sample is left to ``predict``, one sample at a time, which
    reads the parameters where they are; what it says of the step, the loss, to ``learn``.
    """
    of_step = tuple(name for name in graph.outputs if not graph.specs[name].has_batch)
    if not graph.states or not of_step or any(_is_memory(graph, s) for s in graph.states):
        return {"predict": graph}
    answers = tuple(name for name in graph.outputs if name not in of_step)
    return {"predict": _inference(graph, answers), "learn": needed(graph, of_step)}


def _inference(graph: Graph, answers: tuple[str, ...]) -> Graph:
    """What of a training step tells `answers`, at a learning rate of 0: states stay as they are."""
    rates = [name for name in graph.inputs if not graph.specs[name].shape]
    zeros = {name: np.zeros((), graph.specs[name].dtype) for name in rates}
    still = replace(
        graph,
        inputs=tuple(name for name in graph.inputs if name not in zeros),
        constants={**graph.constants, **zeros},
        states=tuple(State(s.input, s.input, s.init) for s in graph.states),
    )
    return fold(needed(still, answers))


def _is_memory(graph: Graph, state: State) -> bool:
    return graph.specs[state.input].has_batch


def needed(graph: Graph, outputs: tuple[str, ...]) -> Graph:
    """What of `graph` makes `outputs` and the new values of its states."""
    read, nodes = {*outputs, *(state.output for state in graph.states)}, []
    for node in reversed(graph.nodes):
        if node.output in read:
            read.update(node.inputs)
            nodes.append(node)
    read.update(state.input for state in graph.states)
    return replace(
        graph,
        inputs=tuple(name for name in graph.inputs if name in read),
        outputs=outputs,
        nodes=tuple(reversed(nodes)),
        specs={name: spec for name, spec in graph.specs.items() if name in read},
        constants={name: value for name, value in graph.constants.items() if name in read},
    )


def parts(graph: Graph, batch: int | None) -> tuple[dict[str, Graph], dict[str, int]]:
    """Graphs by function, and the samples of a call of each.

    A `batch` of None is 1. Where there is a ``learn``, ``predict`` takes one sample.
    """
    graphs, samples = split(graph), 1 if batch is None else batch
    batches = {"predict": 1 if "learn" in graphs else samples, "learn": samples}
    return graphs, batches


def _draft(graph: Graph, metadata: Mapping[str, str], options: Options) -> CDraft:
    graphs, batches = parts(graph, options.batch)
    program = to_program(options.name or graph.name, graphs, batches)
    return CDraft(
        content=source_text(program).encode(),
        outputs={},
        states={},
        beside={".h": header_text(program).encode()},
        program=program,
        graphs=graphs,
    )


def _lanes(draft: Draft) -> Iterator[Lane]:
    assert isinstance(draft, CDraft)  # noqa: S101  what `_draft` makes
    program, command = draft.program, cc.compiler()
    assert program is not None  # noqa: S101  a draft of C has one
    with tempfile.TemporaryDirectory() as folder:
        files = {
            f"{program.name}.c": draft.content.decode(),
            f"{program.name}.h": draft.beside[".h"].decode(),
            "main.c": harness_text(program),
        }
        made = cc.build(Path(folder), files, [command, *cc.STRICT, "-O1"], of=("main.c",))
        with cc.Session([str(made)]) as session:
            for function in program.functions:
                lane = CLane(program, function, session)
                name, graph = f"C {function.name}", draft.graphs[function.name]
                yield Lane(name, cc.version(command), lane.run, graph, function.batch)


class CLane:
    """One function of a running program, as a run of its Graph.

    Parameters
    ----------
    program : Program
    function : Function
    session : Session
        The main program of `edgelearn.export.c_harness`, running.
    """

    def __init__(self, program: Program, function: Function, session: cc.Session) -> None:
        self.graph = function.graph
        self._program, self._function, self._session = program, function, session

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs and new states by name; states that are not fed begin at their first values.

        Raises
        ------
        ParityError
            If the function returns an error code.
        """
        names = self._program.state_names
        states = {names[key]: value for key, value in feeds.items() if key in names}
        self._session.write(set_bytes(self._program, states) + call_bytes(self._function, feeds))
        code, outputs = read_result(self._function, self._session.read)
        if code:
            raise ParityError(
                f"{self._program.prefix}_{self._function.name}",
                expected="the code 0",
                got=str(code),
                fix="report the model to us",
            )
        if not self._program.states:
            return outputs
        self._session.write(GET)
        found = read_states(self._program, self._session.read)
        return outputs | {state.input: found[names[state.input]] for state in self.graph.states}


TARGET = Target("c", frozenset({"batch", "dense", "name"}), _draft, _lanes)
