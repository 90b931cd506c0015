"""Every control on every kind of network: what trains = interpreter = stock runtime."""

from __future__ import annotations

import numpy as np
import pytest
from control_cases import METHODS, NETWORKS, batches, images, model_of
from tolerances import ENGINE_F32

from edgelearn.controls import Control, to_control_graph
from edgelearn.export.onnx_writer import to_bytes
from edgelearn.ir import run
from edgelearn.runtimes.onnx import OnnxSession

STEPS, BATCH, LR, SEED = 3, 6, 0.02, 3


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_few_steps(digits, name, method, optimizer):
    network = model_of(digits, name, optimizer=optimizer).network
    lr = LR if optimizer == "sgd" else LR / 10
    graph = to_control_graph(network, method, SEED)
    first = {state.input: state.init.copy() for state in graph.states}
    by_interpreter, by_runtime = first, first
    session = OnnxSession(to_bytes(graph))
    data = images(digits)
    control = Control(network, method, BATCH, SEED)
    for rows in batches(STEPS, BATCH):
        loaded = control.buffers.load(data.x_train, data.y_train, rows)
        loss = control.step(*loaded, lr)
        feeds = {
            "x": data.x_train[rows].astype(np.float32),
            "y": data.y_train[rows],
            "lr": np.array(lr, np.float32),
        }
        result = run(graph, feeds, by_interpreter)
        by_interpreter = result.states
        outputs = session.run({**feeds, **by_runtime})
        by_runtime = {state.input: outputs[state.output] for state in graph.states}
        assert loss == pytest.approx(float(result.outputs["loss"]), abs=1e-4)
    stored = network.stored()
    assert first.keys() - stored.keys() <= {"step"}
    for key in first.keys() & stored.keys():
        value = first[key]
        assert not np.array_equal(value, stored[key])
        np.testing.assert_allclose(by_interpreter[key], stored[key], atol=ENGINE_F32)
        np.testing.assert_allclose(by_runtime[key], stored[key], atol=ENGINE_F32)
