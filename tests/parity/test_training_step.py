"""Engine = interpreter = stock runtime, for inference and for the weights after 20 steps."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pytest
from tolerances import ENGINE_F32

from edgelearn import engine, workflow
from edgelearn.buffers import Buffers
from edgelearn.config import parse_recipe
from edgelearn.evaluation import predict
from edgelearn.export.onnx_reader import read_graph
from edgelearn.export.onnx_writer import to_bytes
from edgelearn.ir import run
from edgelearn.losses import LOSSES, HeadLoss, ReadoutLoss
from edgelearn.lowering import to_graph, to_train_graph
from edgelearn.progress import Observer
from edgelearn.rng import Stream, permutation
from edgelearn.runtimes.onnx import OnnxSession
from edgelearn.stages import learning_rate, span

STEPS = 20
LR = 0.01
OF_CLASSES = {kind: loss for kind, loss in LOSSES.items() if loss.task == "classes"}
OF_VALUES = {kind: loss for kind, loss in LOSSES.items() if loss.task == "values"}


def changed(recipe, *, loss, activation, batch, learn=False, judge="cross_entropy"):
    hidden, head = recipe.layers
    if judge != "cross_entropy":
        layer = msgspec.structs.replace(head.layer, activation="linear")
        local = msgspec.structs.replace(head.local, loss=judge)
        head = msgspec.structs.replace(head, layer=layer, local=local)
    layer = msgspec.structs.replace(hidden.layer, activation=activation)
    local = msgspec.structs.replace(hidden.local, loss=loss, learn_projection=learn)
    train = msgspec.structs.replace(recipe.train, batch=batch)
    middle = msgspec.structs.replace(hidden, layer=layer, local=local)
    return msgspec.structs.replace(recipe, layers=(middle, middle, head), train=train)


@pytest.mark.parametrize("batch", [1, 16])
@pytest.mark.parametrize("activation", ["tanh", "relu", "linear"])
@pytest.mark.parametrize(
    ("loss", "learn"),
    [(kind, False) for kind in OF_CLASSES]
    + [(kind, True) for kind, loss in OF_CLASSES.items() if isinstance(loss, ReadoutLoss)],
)
def test_weights_after_20_steps(digits, loss, learn, activation, batch):
    if batch == 1 and not LOSSES[loss].needs_projection:
        pytest.skip("one sample alone teaches nothing")
    follow(digits, loss=loss, activation=activation, batch=batch, learn=learn)


@pytest.mark.parametrize("batch", [1, 16])
@pytest.mark.parametrize(
    "kind", [k for k, loss in OF_CLASSES.items() if isinstance(loss, HeadLoss)]
)
def test_a_linear_head_after_20_steps(digits, kind, batch):
    follow(digits, loss="cross_entropy", activation="tanh", batch=batch, judge=kind)


@pytest.mark.parametrize("batch", [1, 16])
@pytest.mark.parametrize("learn", [False, True])
@pytest.mark.parametrize("kind", OF_VALUES)
def test_a_regression_after_20_steps(ink, kind, learn, batch):
    settings = {"kind": "dense", "loss": kind, "learn_projection": learn}
    hidden = {**settings, "units": 24}
    head = {"kind": "dense", "units": 2, "activation": "linear", "loss": kind}
    tables = {"dataset": {"name": "digits"}, "layers": [hidden, hidden, head]}
    recipe = parse_recipe({**tables, "train": {"batch": batch}}, "recipe")
    compare_steps(workflow.new_model(recipe, ink).network, ink, batch, learn=learn)


@pytest.mark.parametrize(
    ("loss", "learn"), [("similarity", False), ("predsim", False), ("predsim", True)]
)
def test_images_are_compared_as_they_are_seen(digits, tmp_path, loss, learn):
    """Similarity of the cells of a map; what is written is also read back."""
    images = dataclasses.replace(
        digits,
        x_train=digits.x_train.reshape(-1, 8, 8, 1),
        x_test=digits.x_test.reshape(-1, 8, 8, 1),
    )
    filters = {"kind": "conv2d", "filters": 4, "loss": loss, "learn_projection": learn}
    head = {"kind": "dense", "units": 10, "activation": "softmax"}
    tables = {"dataset": {"name": "digits"}, "layers": [filters, filters, head]}
    network = workflow.new_model(parse_recipe(tables, "recipe"), images).network
    graph, path = to_train_graph(network), tmp_path / "step.onnx"
    path.write_bytes(to_bytes(graph))
    x, y = images.x_train[:16].astype(np.float32), images.y_train[:16]
    feeds = {"x": x, "y": y, "lr": np.array(LR, np.float32)}
    wanted, again = run(graph, feeds), run(read_graph(path), feeds)
    for name, value in wanted.states.items():
        np.testing.assert_allclose(again.states[name], value, atol=ENGINE_F32)
    compare_steps(network, images, 16, learn=learn)


def follow(digits, *, batch, learn=False, **settings):
    """Assert that engine, interpreter and runtime hold the same weights after 20 steps."""
    recipe = changed(workflow.embedded_recipe(), batch=batch, learn=learn, **settings)
    compare_steps(workflow.new_model(recipe, digits).network, digits, batch, learn=learn)


def compare_steps(network, digits, batch, *, learn):
    graph = to_train_graph(network)
    start = {state.input: state.init.copy() for state in graph.states}
    by_interpreter, by_runtime = dict(start), dict(start)
    session = OnnxSession(to_bytes(graph))
    buffers = Buffers(network, batch)
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
    assert any(name.endswith(".p") for name in start) == learn
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
