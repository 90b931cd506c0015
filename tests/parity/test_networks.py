"""Networks of many kinds of layers: engine = interpreter = stock runtime, step after step."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from tolerances import ENGINE_F32

from edgelearn import engine, kernels, workflow
from edgelearn.buffers import Buffers
from edgelearn.config import parse_recipe
from edgelearn.evaluation import evaluate, predict
from edgelearn.export.onnx_writer import to_bytes
from edgelearn.ir import run
from edgelearn.lowering import to_graph, to_train_graph
from edgelearn.runtimes.onnx import OnnxSession
from edgelearn.trainer import fit

HEAD = {"kind": "dense", "units": 10, "activation": "softmax"}
STEPS, BATCH, LR = 10, 8, 0.02

NETWORKS = {
    "depthwise separable": (
        (8, 8, 1),
        {"kind": "conv2d", "filters": 6, "init": "pca"},
        {"kind": "batch_norm", "memory": 100.0},
        {"kind": "conv2d", "filters": 6, "groups": 6, "stride": 2},
        {"kind": "conv2d", "filters": 8, "kernel": 1, "activation": "tanh"},
        {"kind": "global_pool"},
    ),
    "dropout": (
        (8, 8, 1),
        {"kind": "dropout", "rate": 0.1},
        {"kind": "conv2d", "filters": 6, "init": "pca"},
        {"kind": "dropout", "rate": 0.25},
        {"kind": "max_pool"},
        {"kind": "dense", "units": 24},
        {"kind": "dropout"},
    ),
    "sequence": (
        (16, 4),
        {"kind": "conv1d", "filters": 6, "padding": "causal", "dilation": 2, "init": "pca"},
        {"kind": "batch_norm"},
        {"kind": "max_pool1d"},
        {"kind": "conv1d", "filters": 6, "groups": 3, "stride": 2},
        {"kind": "avg_pool1d"},
        {"kind": "gru", "units": 5},
    ),
    "sequence of images": (
        (4, 4, 4, 1),
        {"kind": "conv2d", "filters": 4},
        {"kind": "batch_norm"},
        {"kind": "max_pool"},
        {"kind": "conv2d", "filters": 4, "groups": 2},
        {"kind": "flatten", "keep_steps": True},
        {"kind": "lstm", "units": 6},
    ),
    "tokens": (
        (64,),
        {"kind": "embedding", "vocabulary": 17, "units": 5},
        {"kind": "conv1d", "filters": 6, "kernel": 5, "stride": 4},
        {"kind": "global_pool", "takes": "max"},
    ),
}


@pytest.fixture(params=NETWORKS.values(), ids=NETWORKS.keys())
def shaped(request, digits):
    """A recipe, and the digits in the shape that it is for."""
    shape, *layers = request.param
    parts = {f"x_{p}": getattr(digits, f"x_{p}").reshape(-1, *shape) for p in ("train", "test")}
    tables = {
        "dataset": {"name": "digits"},
        "input": {"normalize": "none" if len(shape) == 1 else "standard"},
        "layers": [*({**layer, "learn_projection": True} for layer in layers), HEAD],
        "train": {"schedule": "simultaneous", "epochs": 6, "batch": 8, "lr": 0.01},
    }
    return parse_recipe(tables, "test"), replace(digits, **parts)


def test_engine_interpreter_and_runtime_agree(shaped):
    recipe, data = shaped
    network = workflow.new_model(recipe, data).network
    graph = to_train_graph(network)
    start = {state.input: state.init.copy() for state in graph.states}
    by_interpreter, by_runtime = dict(start), dict(start)
    session, buffers = OnnxSession(to_bytes(graph)), Buffers(network, BATCH)
    for step in range(STEPS):
        rows = np.arange(step * BATCH, (step + 1) * BATCH)
        x, y = data.x_train[rows].astype(np.float32), data.y_train[rows]
        feeds = {"x": x, "y": y, "lr": np.array(LR, np.float32)}
        loaded = buffers.load(data.x_train, data.y_train, rows)
        engine.train_step(buffers, *loaded, LR, network.learning())
        by_interpreter = run(graph, feeds, by_interpreter).states
        outputs = session.run({**feeds, **by_runtime})
        by_runtime = {state.input: outputs[state.output] for state in graph.states}
    for name, value in network.stored().items():
        assert not np.array_equal(value, start[name])
        np.testing.assert_allclose(by_interpreter[name], value, atol=ENGINE_F32, err_msg=name)
        np.testing.assert_allclose(by_runtime[name], value, atol=ENGINE_F32, err_msg=name)
    feeds = {"x": data.x_test[:50].astype(np.float32)}
    expected = predict(network, data.x_test[:50])
    graph = to_graph(network)
    found = run(graph, feeds).outputs["probabilities"]
    np.testing.assert_allclose(found, expected, atol=ENGINE_F32)
    by_runtime = OnnxSession(to_bytes(graph)).run(feeds)["probabilities"]
    np.testing.assert_allclose(by_runtime, expected, atol=ENGINE_F32)


def test_it_learns(shaped):
    recipe, data = shaped
    recipe = msgspec.structs.replace(
        recipe, train=msgspec.structs.replace(recipe.train, optimizer="adam")
    )
    network = workflow.new_model(recipe, data).network
    fit(network, data.x_train, data.y_train, recipe.train)
    layers = evaluate(network, data.x_test, data.y_test).layers
    assert max(layer.accuracy for layer in layers if layer.accuracy is not None) > 0.7


def test_each_kernel_compiles_one_signature(shaped):
    recipe, data = shaped
    network = workflow.new_model(recipe, data).network
    buffers = Buffers(network, BATCH)
    for rows in (np.arange(BATCH), np.arange(1)):
        loaded = buffers.load(data.x_train, data.y_train, rows)
        engine.train_step(buffers, *loaded, LR, network.learning())
    for module in (kernels.dense, kernels.spatial, kernels.norms, kernels.lookup, kernels.dropout):
        for name, function in vars(module).items():
            assert len(getattr(function, "signatures", [])) <= 1, name


def test_a_step_allocates_next_to_nothing(shaped):
    """Beyond its buffers: views, and one number or less an input element."""
    recipe, data = shaped
    network = workflow.new_model(recipe, data).network
    buffers = Buffers(network, 32)
    loaded = buffers.load(data.x_train, data.y_train, np.arange(32))
    engine.train_step(buffers, *loaded, LR, network.learning())
    tracemalloc.start()
    engine.train_step(buffers, *loaded, LR, network.learning())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.25 * engine.working_set_bytes(network, 32)
