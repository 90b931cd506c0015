"""Every layer: interpreter = compiled C, inference and the weights over steps of learning."""

from __future__ import annotations

import numpy as np
import pytest
from c_programs import SANITIZED, lane, learning, session_of
from layer_cases import CASES, arrays, update_graph
from tolerances import C_F32

from edgelearn.export.verify import error_between
from edgelearn.ir import run

STEPS = 100
ONE_BATCH = [case for case in CASES if case.values[2] == 3]


@pytest.mark.parametrize(("layer", "in_shape", "batch"), ONE_BATCH)
def test_weights_after_100_steps(layer, in_shape, batch, tmp_path):
    params, x, e, _ = arrays(layer, in_shape, batch)
    graph = update_graph(layer, in_shape, params)
    feeds = {"x": x, "e": e, "rate": np.full((), 0.01, np.float32)}
    feeds = {name: feeds[name] for name in graph.inputs}
    program = learning(graph, batch)
    by_interpreter, by_c = {}, {}
    with session_of(program, tmp_path, *SANITIZED) as session:
        for step in range(STEPS):
            if step % 2:
                feeds["e"] = -feeds["e"] * np.float32(0.9)
            wanted = run(graph, feeds, by_interpreter)
            got = lane(program, session).run({**feeds, **by_c})
            by_interpreter = wanted.states
            by_c = {state.input: got[state.input] for state in graph.states}
            assert error_between(wanted.outputs["a"], got["a"]) <= C_F32
    for name, value in by_interpreter.items():
        assert error_between(value, by_c[name]) <= C_F32, name
