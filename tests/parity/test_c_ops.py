"""Every op alone: interpreter = compiled C, clean under the sanitizers, without a warning."""

from __future__ import annotations

from c_programs import SANITIZED, lane, merged, predicting, session_of
from op_cases import CASES
from tolerances import C_F32

from edgelearn.export.verify import error_between
from edgelearn.ir import run
from edgelearn.ir.ops import OneHot


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
