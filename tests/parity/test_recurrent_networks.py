"""Recurrent networks on real digits, row by row: engine = interpreter = runtime, learning too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from recurrent_networks import as_steps, recipe_of
from tolerances import ENGINE_F32

from edgelearn import engine, workflow
from edgelearn.buffers import Buffers
from edgelearn.evaluation import predict
from edgelearn.export.onnx_writer import to_bytes
from edgelearn.ir import run
from edgelearn.lowering import to_graph, to_train_graph
from edgelearn.runtimes.onnx import OnnxSession
from edgelearn.trainer import Observer

BOTH_WAYS = (
    {"kind": "gru", "units": 6, "name": "ahead", "returns": "sequence"},
    {
        "kind": "gru",
        "units": 5,
        "name": "back",
        "returns": "sequence",
        "reverse": True,
        "inputs": ["input"],
    },
    {"kind": "leaky", "units": 7, "inputs": ["ahead", "back"], "trainable": True},
)
STACKS = {
    "both ways": BOTH_WAYS,
    "leaky": (
        {"kind": "leaky", "units": 9, "groups": 4, "returns": "sequence"},
        {"kind": "leaky", "units": 8, "trainable": True, "learn_projection": True},
    ),
    "mingru": (
        {"kind": "mingru", "units": 6, "returns": "sequence"},
        {"kind": "mingru", "units": 5, "learn_projection": True},
    ),
    "lstm from the end": ({"kind": "lstm", "units": 6, "reverse": True, "targets": "last"},),
}


def follow(network, data, batch, count):
    """`count` training steps in engine, interpreter and runtime: weights of the last two."""
    graph = to_train_graph(network)
    by_interpreter = {state.input: state.init.copy() for state in graph.states}
    by_runtime = dict(by_interpreter)
    session = OnnxSession(to_bytes(graph))
    states = {state.input: state.input for state in graph.states if state.input == state.output}
    outputs = {s.input: s.output for s in graph.states if s.input not in states}
    buffers = Buffers(network, batch)
    for step in range(count):
        rows = np.arange(step * batch, (step + 1) * batch)
        feeds = {
            "x": data.x_train[rows].astype(np.float32),
            "y": data.y_train[rows],
            "lr": np.array(0.1, np.float32),
        }
        loaded = buffers.load(data.x_train, data.y_train, rows)
        engine.train_step(buffers, *loaded, 0.1, network.learning())
        by_interpreter = run(graph, feeds, by_interpreter).states
        found = session.run({**feeds, **by_runtime})
        by_runtime |= {name: found[output] for name, output in outputs.items()}
    return by_interpreter, by_runtime


@pytest.mark.parametrize("batch", [1, 12])
@pytest.mark.parametrize("layers", STACKS.values(), ids=STACKS)
def test_weights_after_five_steps(layers, batch, digits):
    data = as_steps(digits, 8)
    network = workflow.new_model(recipe_of(*layers), data).network
    start = {name: value.copy() for name, value in network.stored().items()}
    by_interpreter, by_runtime = follow(network, data, batch, 5)
    for name, value in network.stored().items():
        if name in by_interpreter:
            assert not np.array_equal(value, start[name])
            np.testing.assert_allclose(by_interpreter[name], value, atol=ENGINE_F32)
            np.testing.assert_allclose(by_runtime[name], value, atol=ENGINE_F32)


@pytest.mark.parametrize("kind", ["gru", "lstm", "elman", "leaky"])
def test_a_sequence_of_one_step_leaves_recurrent_weights_alone(kind, digits):
    data = as_steps(digits, 1)
    network = workflow.new_model(recipe_of({"kind": kind, "units": 6}), data).network
    start = network.stored()[f"{kind}1.u"].copy()
    by_interpreter, _ = follow(network, data, 4, 2)
    assert np.array_equal(network.stored()[f"{kind}1.u"], start)
    for name, value in by_interpreter.items():
        np.testing.assert_allclose(value, network.stored()[name], atol=ENGINE_F32)


def test_reading_both_ways_learns_digits(digits):
    data = as_steps(digits, 8)
    layers = [{**layer, "units": 24} for layer in BOTH_WAYS]
    recipe = recipe_of(*layers, optimizer="adam", lr=0.02, epochs=10)
    model, report = workflow.train(workflow.new_model(recipe, data), data, Observer())
    assert report.accuracy > 0.85
    x = data.x_test[:50].astype(np.float32)
    by_graph = run(to_graph(model.network), {"x": x}).outputs["probabilities"]
    np.testing.assert_allclose(by_graph, predict(model.network, x), atol=ENGINE_F32)


def test_from_the_end_is_the_same_as_a_turned_sequence(digits):
    data = as_steps(digits, 8)
    turned = replace(data, x_train=data.x_train[:, ::-1], x_test=data.x_test[:, ::-1])
    found = []
    for way, sequences in ((False, data), (True, turned)):
        layer = {"kind": "gru", "units": 8, "reverse": way}
        network = workflow.new_model(recipe_of(layer), sequences).network
        found.append(predict(network, sequences.x_test[:20]))
    np.testing.assert_array_equal(found[0], found[1])
