"""Engine = interpreter = stock runtime, for inference and for the weights after 20 steps."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from tolerances import ENGINE_F32

from edgelearn import engine, workflow
from edgelearn.evaluation import predict
from edgelearn.export.onnx_writer import to_bytes
from edgelearn.ir import run
from edgelearn.losses import LOSSES, ReadoutLoss
from edgelearn.lowering import to_graph, to_train_graph
from edgelearn.progress import Observer
from edgelearn.rng import Stream, permutation
from edgelearn.runtimes.onnx import OnnxSession
from edgelearn.stages import learning_rate, span

STEPS = 20
LR = 0.01


def changed(recipe, *, loss, activation, batch, learn=False):
    hidden, head = recipe.layers
    layer = msgspec.structs.replace(hidden.layer, activation=activation)
    local = msgspec.structs.replace(hidden.local, loss=loss, learn_projection=learn)
    train = msgspec.structs.replace(recipe.train, batch=batch)
    middle = msgspec.structs.replace(hidden, layer=layer, local=local)
    return msgspec.structs.replace(recipe, layers=(middle, middle, head), train=train)


@pytest.mark.parametrize("batch", [1, 16])
@pytest.mark.parametrize("activation", ["tanh", "relu", "linear"])
@pytest.mark.parametrize(
    ("loss", "learn"),
    [(kind, False) for kind in LOSSES]
    + [(kind, True) for kind, loss in LOSSES.items() if isinstance(loss, ReadoutLoss)],
)
def test_weights_after_20_steps(digits, loss, learn, activation, batch):
    recipe = changed(
        workflow.embedded_recipe(), loss=loss, activation=activation, batch=batch, learn=learn
    )
    network = workflow.new_model(recipe, digits).network
    graph = to_train_graph(network)
    start = {state.input: state.init.copy() for state in graph.states}
    by_interpreter, by_runtime = dict(start), dict(start)
    session = OnnxSession(to_bytes(graph))
    buffers = engine.Buffers(network, batch)
    for step in range(STEPS):
        rows = np.arange(step * batch, (step + 1) * batch)
        feeds = {
            "x": digits.x_train[rows].astype(np.float32),
            "y": digits.y_train[rows],
            "lr": np.array(LR, np.float32),
        }
        loaded = buffers.load(digits.x_train, digits.y_train, rows)
        mean_loss = engine.train_step(buffers, *loaded, LR, range(len(network.blocks)))
        result = run(graph, feeds, by_interpreter)
        by_interpreter = result.states
        outputs = session.run({**feeds, **by_runtime})
        by_runtime = {state.input: outputs[state.output] for state in graph.states}
        assert mean_loss == pytest.approx(float(result.outputs["loss"]), abs=1e-5)
        assert mean_loss == pytest.approx(float(outputs["loss"]), abs=1e-5)
    assert ("dense1.p" in start) == learn
    for name, value in network.stored().items():
        assert not np.array_equal(value, start[name])
        np.testing.assert_allclose(by_interpreter[name], value, atol=ENGINE_F32)
        np.testing.assert_allclose(by_runtime[name], value, atol=ENGINE_F32)


def test_inference_of_a_trained_model(trained, digits):
    graph = to_graph(trained.network)
    x = digits.x_test[:100]
    feeds = {"x": x.astype(np.float32)}
    by_engine = predict(trained.network, x)
    by_interpreter = run(graph, feeds).outputs["probabilities"]
    by_runtime = OnnxSession(to_bytes(graph)).run(feeds)["probabilities"]
    np.testing.assert_allclose(by_interpreter, by_engine, atol=ENGINE_F32)
    np.testing.assert_allclose(by_runtime, by_engine, atol=ENGINE_F32)


def test_a_rate_of_zero_is_inference(trained, digits):
    graph = to_train_graph(trained.network)
    feeds = {
        "x": digits.x_test[:5].astype(np.float32),
        "y": digits.y_test[:5],
        "lr": np.array(0, np.float32),
    }
    result = run(graph, feeds)
    inference = run(to_graph(trained.network), {"x": feeds["x"]})
    assert np.array_equal(result.outputs["probabilities"], inference.outputs["probabilities"])
    for state in graph.states:
        assert np.array_equal(result.states[state.input], state.init)


@pytest.mark.slow
def test_one_epoch_by_the_runtime_alone_ends_where_the_engine_does(digits):
    """The exported step, run by stock onnxruntime from the same start and in the same order."""
    recipe = workflow.embedded_recipe(("train.schedule=simultaneous", "train.epochs=1"))
    model = workflow.new_model(recipe, digits)
    graph = to_train_graph(model.network)
    session = OnnxSession(to_bytes(graph))
    weights = {state.input: state.init.copy() for state in graph.states}
    batch, count = recipe.train.batch, len(digits.x_train)
    order = permutation(recipe.train.seed, Stream.SHUFFLE, 0, count)
    starts = range(0, count, batch)
    length = span(recipe.train, count)
    for step, start in enumerate(starts):
        rows = order[start : start + batch]
        outputs = session.run(
            {
                "x": digits.x_train[rows].astype(np.float32),
                "y": digits.y_train[rows],
                "lr": np.array(learning_rate(recipe.train, step, length), np.float32),
                **weights,
            }
        )
        weights = {state.input: outputs[state.output] for state in graph.states}
    _, report = workflow.train(model, digits, Observer())
    graph = to_graph(model.network.with_arrays(weights))
    scores = run(graph, {"x": digits.x_test.astype(np.float32)}).outputs["probabilities"]
    accuracy = float((scores.argmax(axis=1) == digits.y_test).mean())
    assert abs(accuracy - report.accuracy) <= 0.005
    assert accuracy > 0.9
