"""Every op alone: interpreter = compiled C, clean under the sanitizers, without a warning."""

from __future__ import annotations

import numpy as np
import pytest
from c_programs import SANITIZED, files_of, lane, learning, merged, predicting, session_of, tool
from op_cases import CASES
from tolerances import C_F32

from edgelearn.errors import UnsupportedOp
from edgelearn.export.verify import error_between
from edgelearn.ir import Builder, run
from edgelearn.ir.ops import OneHot
from edgelearn.runtimes import cc


def test_every_case(tmp_path):
    for batch in (1, 5):
        for number, (graph, feeds) in enumerate(merged(CASES, batch)):
            program = predicting(graph, batch)
            folder = tmp_path / f"{batch}-{number}"
            folder.mkdir()
            known = known_labels(graph, feeds)
            with session_of(program, folder, *SANITIZED) as session:
                got = lane(program, session).run(known)
            wanted = run(graph, known).outputs
            errors = {name: error_between(wanted[name], got[name]) for name in wanted}
            assert max(errors.values()) <= C_F32, {n: e for n, e in errors.items() if e > C_F32}


def known_labels(graph, feeds):
    """Labels that are out of range are refused in C: see test_c_firmware."""
    for node in graph.nodes:
        if isinstance(node.op, OneHot) and node.inputs[0] in feeds:
            feeds = {**feeds, node.inputs[0]: feeds[node.inputs[0]] % node.op.depth}
    return feeds


@pytest.mark.parametrize("command", [["clang", "-std=c99"], ["g++", "-std=c++11", "-x", "c++"]])
def test_other_compilers_have_nothing_to_say(command, tmp_path):
    compiler = [tool(command[0]), *command[1:], *cc.STRICT[1:]]
    for number, (graph, _) in enumerate(merged(CASES, 1)):
        folder = tmp_path / str(number)
        folder.mkdir()
        cc.build(folder, files_of(predicting(graph, 1)), compiler, of=["main.c"])


def test_what_has_no_form_in_c_is_named():
    b = Builder("none")
    x = b.input("x", (1, 2))
    b.binary("add", x, b.constant("k", np.array([np.nan, 1], np.float32)), name="y")
    with pytest.raises(UnsupportedOp, match=r"'k'.*finite"):
        predicting(b.graph(["y"]), 1)
    b = Builder("counts")
    b.input("x", (1, 2))
    b.state("n", np.zeros(3, np.int64))
    with pytest.raises(UnsupportedOp, match=r"'n'.*float32"):
        learning(b.graph(["x"]), 1)
