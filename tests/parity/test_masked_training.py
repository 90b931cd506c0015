"""Pruned weights stay 0 and the others learn: engine = interpreter = stock runtime."""

from __future__ import annotations

import numpy as np
import pytest
from masked_networks import BATCH, CLASSES, PATTERNS, pruned
from tolerances import ENGINE_F32

from edgelearn import engine
from edgelearn.buffers import Buffers
from edgelearn.export.onnx_reader import read_graph
from edgelearn.export.onnx_writer import to_bytes
from edgelearn.ir import run
from edgelearn.lowering import to_graph, to_train_graph
from edgelearn.rng import Stream, uniform
from edgelearn.runtimes.onnx import OnnxSession

STEPS = 6


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("name", ["dense", "conv", "gru", "lstm", "elman"])
def test_a_pruned_network_learns_with_what_is_left(name, optimizer, pattern):
    network, masks = pruned(name, optimizer, pattern)
    before = {key: value.copy() for key, value in network.stored().items()}
    graph = to_train_graph(network)
    session = OnnxSession(to_bytes(graph))
    by_interpreter = {state.input: state.init.copy() for state in graph.states}
    by_runtime = dict(by_interpreter)
    buffers = Buffers(network, BATCH)
    x = uniform(5, Stream.INIT, 0, (STEPS * BATCH, *network.in_shape), 1.0)
    y = np.arange(len(x), dtype=np.int64) % CLASSES
    for step in range(STEPS):
        rows = np.arange(step * BATCH, (step + 1) * BATCH)
        feeds = {"x": x[rows], "y": y[rows], "lr": np.array(0.01, np.float32)}
        engine.train_step(buffers, *buffers.load(x, y, rows), 0.01, range(len(network.blocks)))
        by_interpreter = run(graph, feeds, by_interpreter).states
        outputs = session.run({**feeds, **by_runtime})
        by_runtime = {state.input: outputs[state.output] for state in graph.states}
    for key, value in network.stored().items():
        np.testing.assert_allclose(by_interpreter[key], value, atol=ENGINE_F32)
        np.testing.assert_allclose(by_runtime[key], value, atol=ENGINE_F32)
    for key, mask in masks.items():
        for found in (network.stored(), by_interpreter, by_runtime):
            assert not found[key][mask == 0].any()
        assert not np.array_equal(network.stored()[key], before[key])  # the others moved
    constants = to_graph(network).constants
    assert all(not constants[key][mask == 0].any() for key, mask in masks.items())


@pytest.mark.parametrize("name", ["dense", "gru"])
def test_the_exported_step_holds_its_masks_as_bytes(name, tmp_path):
    network, masks = pruned(name, "sgd", "1x4")
    graph = to_train_graph(network)
    path = tmp_path / "step.onnx"
    path.write_bytes(to_bytes(graph))
    again = read_graph(path)
    x = uniform(5, Stream.INIT, 0, (BATCH, *network.in_shape), 1.0)
    feeds = {"x": x, "y": np.arange(BATCH) % CLASSES, "lr": np.array(0.1, np.float32)}
    expected, found = run(graph, feeds), run(again, feeds)
    for key, value in expected.states.items():
        np.testing.assert_array_equal(found.states[key], value)
    bytes_of_masks = sum(a.nbytes for a in again.constants.values() if a.dtype == np.uint8)
    assert bytes_of_masks == sum(mask.size for mask in masks.values())


@pytest.mark.parametrize("name", ["dense", "gru", "lstm", "elman", "mingru"])
def test_a_pruned_neuron_is_silent(name):
    """Whatever it reads: so it can be taken out."""
    network, masks = pruned(name, "sgd", "neuron")
    first = network.blocks[0]
    gone = masks[f"{first.name}.b"].reshape(-1, first.layer.units)[0] == 0
    assert gone.any()
    buffers = Buffers(network, BATCH)
    x = uniform(5, Stream.INIT, 0, (BATCH, *network.in_shape), 1.0)
    a = buffers.forward(0, x).a
    assert not a[..., gone].any()
    assert a[..., ~gone].all()
