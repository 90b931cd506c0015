"""Graphs as C programs that run here: with sanitizers, as C++, on emulated cores."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from edgelearn.export.c_harness import harness_text
from edgelearn.export.c_program import Program, to_program
from edgelearn.export.c_target import CLane
from edgelearn.export.c_writer import header_text, source_text
from edgelearn.ir import Builder, Graph
from edgelearn.runtimes import cc

SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
MOST_PARAMETERS = 100
"""A C function takes 127 at least."""


def tool(name: str) -> str:
    """The path of a program, or a skip."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def files_of(program: Program) -> dict[str, str]:
    return {
        f"{program.name}.c": source_text(program),
        f"{program.name}.h": header_text(program),
        "main.c": harness_text(program),
    }


def built(program: Program, folder: Path, *options: str, compiler: str = "") -> Path:
    """`program` with its harness, compiled without a warning."""
    command = [compiler or cc.compiler(), *cc.STRICT, *options]
    return cc.build(folder, files_of(program), command, of=["main.c"])


def merged(cases, batch: int) -> list[tuple[Graph, dict]]:
    """Graphs of many cases each, and what to feed them: few programs to compile."""
    found = []
    b, feeds, outs, taken = Builder("alone"), {}, [], 0
    for number, case in enumerate(cases):
        if taken + len(case.args) + 1 > MOST_PARAMETERS:
            found.append((b.graph(outs), feeds))
            b, feeds, outs, taken = Builder("alone"), {}, [], 0
        names = []
        rng = np.random.default_rng(7)
        for i, arg in enumerate(case.args):
            value = arg.array(batch, rng)
            if arg.constant:
                names.append(b.constant(f"k{number}_{i}", value))
                continue
            names.append(b.input(f"x{number}_{i}", arg.shape, arg.dtype))
            feeds[names[-1]] = value
        outs.append(b.apply(case.op, *names, name=f"out{number}"))
        taken += len(case.args) + 1
    return [*found, (b.graph(outs), feeds)]


def predicting(graph: Graph, batch: int) -> Program:
    return to_program("model", {"predict": graph}, {"predict": batch})


def learning(graph: Graph, batch: int) -> Program:
    return to_program("model", {"learn": graph}, {"learn": batch})


def session_of(program: Program, folder: Path, *options: str, run=(), compiler: str = ""):
    made = built(program, folder, *options, compiler=compiler)
    return cc.Session([*run, str(made)])


def lane(program: Program, session: cc.Session) -> CLane:
    """The only function of a program."""
    (function,) = program.functions
    return CLane(program, function, session)


def lane_of(program: Program, session: cc.Session, name: str) -> CLane:
    (function,) = (function for function in program.functions if function.name == name)
    return CLane(program, function, session)
