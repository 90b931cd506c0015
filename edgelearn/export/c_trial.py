"""Some calls of every function of a C program as one script, and whether they came out right."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator, Mapping

import numpy as np

from edgelearn.arrays import Array
from edgelearn.export.c_harness import (
    GET,
    STDIO,
    call_bytes,
    harness_text,
    read_result,
    read_states,
)
from edgelearn.export.c_program import Function, Program
from edgelearn.export.c_writer import header_text, source_text
from edgelearn.export.verify import TOLERANCES, Feeds, Parity, error_between, golden_steps
from edgelearn.ir import Graph, run

BOARD = '#include "port.h"'
"""What the main program begins with where a board has the functions of `STDIO`."""


class Trial:
    """A few calls of each function of a program, from its first states on.

    Parameters
    ----------
    program : Program
    graphs : mapping of str to Graph
        Of its functions, with an open batch.
    extra : mapping of str to array
        ``golden/NAME``, samples for input NAME; seeded random ones if there are none.
    calls : int
        Of each function, at most.
    """

    def __init__(
        self, program: Program, graphs: Mapping[str, Graph], extra: Mapping[str, Array], calls: int
    ) -> None:
        self.program, self._graphs, self._extra, self._calls = program, graphs, extra, calls

    def files(self, *, on_board: bool) -> dict[str, str]:
        """Texts by name; ``main.c`` is the one to compile."""
        name = self.program.name
        return {
            f"{name}.c": source_text(self.program),
            f"{name}.h": header_text(self.program),
            "main.c": harness_text(self.program, BOARD if on_board else STDIO),
        }

    def _steps(self) -> Iterator[tuple[Function, Feeds]]:
        for function in self.program.functions:
            steps = golden_steps(self._graphs[function.name], self._extra, function.batch)
            for feeds in itertools.islice(steps, self._calls):
                yield function, feeds

    def script(self) -> bytes:
        """What the main program is told."""
        calls = b"".join(call_bytes(function, feeds) for function, feeds in self._steps())
        return b"i" + calls + (GET if self.program.states else b"")

    def require(self, output: bytes, where: str, machine: str) -> float:
        """The largest error of what the main program wrote.

        Raises
        ------
        ParityError
            If it is not what the interpreter computes.
        """
        source, worst = io.BytesIO(output).read, Parity(0.0, "")
        states: dict[str, Array] = {}
        for function, feeds in self._steps():
            wanted = run(function.graph, feeds, states)
            states |= wanted.states
            code, outputs = read_result(function, source)
            pairs = {name: (value, outputs[name]) for name, value in wanted.outputs.items()}
            pairs["code"] = (np.zeros(()), np.array(float(code)))
            worst = _worse(worst, pairs)
        names, found = self.program.state_names, read_states(self.program, source)
        worst = _worse(worst, {n: (value, found[names[n]]) for n, value in states.items()})
        worst.require(where, machine, TOLERANCES["c", "float32"])
        return worst.max_abs_error


def _worse(worst: Parity, pairs: Mapping[str, tuple[Array, Array]]) -> Parity:
    errors = [Parity(error_between(*pair), name) for name, pair in pairs.items()]
    return max([worst, *errors], key=lambda parity: parity.max_abs_error)
