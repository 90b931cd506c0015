"""Exported C as firmware uses it: its functions, its slots, other compilers, what it refuses."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from c_programs import SANITIZED, files_of, tool

from edgelearn.export.c_program import to_program
from edgelearn.export.c_target import split
from edgelearn.lowering import to_train_graph
from edgelearn.runtimes import cc

MAIN = Path(__file__).parent.parent / "c_slots_main.c"


@pytest.fixture(scope="module")
def program(trained):
    graphs = split(to_train_graph(trained.network))
    return to_program("model", graphs)


@pytest.mark.parametrize(
    "command",
    [
        ["gcc", "-std=c99", *SANITIZED],
        ["gcc", "-std=c99", "-O3"],
        ["clang", "-std=c99", "-O2", "-Wno-unused-command-line-argument"],
        ["g++", "-std=c++11", "-O1", "-x", "c++"],
    ],
    ids=lambda command: f"{command[0]}{command[2]}",
)
def test_saved_loaded_and_refused(program, tmp_path, command):
    """A power cut at many places, spoilt bytes, NaN, infinity, labels that do not exist."""
    compiler = [tool(command[0]), *command[1:], *cc.STRICT[1:]]
    files = {**files_of(program), "slots.c": MAIN.read_text()}
    made = cc.build(tmp_path, files, compiler, of=["model.c", "slots.c"])
    line = subprocess.run([made], check=False, timeout=60).returncode
    assert line == 0, f"c_slots_main.c, a check near line {line} (mod 256)"
