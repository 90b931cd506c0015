"""The controls against plain references: what stands beside tpSGD must be what it says."""

from __future__ import annotations

import tracemalloc

import msgspec
import numpy as np
import pytest
from control_cases import NETWORKS, built, images, model_of
from tolerances import ENGINE_F32

from edgelearn import engine, workflow
from edgelearn.config import TrainConfig
from edgelearn.controls import Control, _graph, to_control_graph, training_bytes
from edgelearn.controls._feedback import feedback
from edgelearn.controls._fused import Fused
from edgelearn.controls._interpreted import Interpreted
from edgelearn.ir import plan_arena, run
from edgelearn.progress import Observer
from edgelearn.stages import stages

LR = 0.3
SEED = 3
ROWS = np.arange(12)


def network_of(digits, activation="tanh", method="tpsgd"):
    recipe = workflow.embedded_recipe((f"train.method={method}", "train.epochs=4"))
    hidden, head = recipe.layers
    layer = msgspec.structs.replace(hidden.layer, activation=activation, units=32)
    middle = msgspec.structs.replace(hidden, layer=layer)
    recipe = msgspec.structs.replace(recipe, layers=(middle, middle, head))
    return workflow.new_model(recipe, digits)


def slopes(activation, a):
    return {"tanh": 1 - a * a, "relu": (a > 0).astype(a.dtype), "linear": np.ones_like(a)}[
        activation
    ]


def reference(network, x, labels, activation, send):
    """Weights after one step in float64; `send` gives the error of the block below."""
    weights = [
        {k: v.astype(np.float64) for k, v in block.params.items()} for block in network.blocks
    ]
    inputs, a = [], x.astype(np.float64)
    for index, w in enumerate(weights):
        inputs.append(a)
        z = a @ w["w"] + w["b"]
        last = index == len(weights) - 1
        a = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True) if last else act(activation, z)
    slope = a - np.eye(len(network.classes))[labels]
    d = slope
    for index in range(len(weights) - 1, -1, -1):
        below = send(index, d, slope, weights) if index else None
        rate = LR * network.blocks[index].lr_scale / len(x)
        weights[index]["w"] = weights[index]["w"] - rate * inputs[index].T @ d
        weights[index]["b"] = weights[index]["b"] - rate * d.sum(axis=0)
        if below is not None:
            d = below * slopes(activation, inputs[index])
    return weights


def act(activation, z):
    return {"tanh": np.tanh, "relu": lambda v: np.maximum(v, 0), "linear": lambda v: v}[activation](
        z
    )


def one_step(digits, method, activation):
    network = network_of(digits, activation).network
    control = Control(network, method, len(ROWS), seed=SEED)
    x, labels = control.buffers.load(digits.x_train, digits.y_train, ROWS)
    kept = x.copy()
    return network, control, kept, labels


@pytest.mark.parametrize("activation", ["tanh", "relu", "linear"])
@pytest.mark.parametrize("method", ["bp", "fa", "dfa"])
def test_one_step_equals_the_reference(digits, method, activation):
    network, control, x, labels = one_step(digits, method, activation)

    matrices = feedback(network, SEED)

    def send(index, d, slope, weights):
        if method == "dfa":
            return slope @ network.blocks[index - 1].readout.projection
        name = f"{network.blocks[index].name}.w"
        return d @ (matrices[name] if method == "fa" else weights[index]["w"]).T

    expected = reference(network, x, labels, activation, send)
    control.step(x, labels, LR)
    for block, weights in zip(network.blocks, expected, strict=True):
        for key, value in block.params.items():
            np.testing.assert_allclose(value, weights[key], atol=1e-5)


def test_drtp_has_no_activation_in_its_error(digits):
    network, control, x, labels = one_step(digits, "drtp", "linear")
    block = network.blocks[0]
    before = block.params["b"].copy()
    control.step(x, labels, LR)
    expected = before + LR * block.readout.projection[labels].mean(axis=0)
    np.testing.assert_allclose(block.params["b"], expected, atol=1e-6)


def test_feedback_is_not_the_weights(digits):
    network = network_of(digits).network
    matrices = feedback(network, SEED)
    assert matrices.keys() == {f"{block.name}.w" for block in network.blocks}
    for block in network.blocks:
        weights, matrix = block.params["w"], matrices[f"{block.name}.w"]
        assert matrix.shape == weights.shape
        assert abs(np.corrcoef(matrix.ravel(), weights.ravel())[0, 1]) < 0.2


@pytest.mark.parametrize("name", NETWORKS)
def test_feedback_by_the_weights_is_backpropagation(digits, monkeypatch, name):
    network = model_of(digits, name).network

    def weights(network, seed):
        return {f"{b.name}.{k}": v for b in network.blocks for k, v in b.params.items()}

    monkeypatch.setattr(_graph, "feedback", weights)
    feeds = one_batch(digits)
    by_weights = run(to_control_graph(network, "fa", SEED), feeds).states
    for key, value in run(to_control_graph(network, "bp", SEED), feeds).states.items():
        assert np.array_equal(by_weights[key], value)


def one_batch(digits):
    data = images(digits)
    x = data.x_train[ROWS].astype(np.float32)
    return {"x": x, "y": data.y_train[ROWS], "lr": np.array(LR, np.float32)}


@pytest.mark.parametrize("method", ["bp", "fa"])
def test_dense_layers_by_kernels_and_by_a_graph(digits, method):
    fused, graph = (network_of(digits, "relu").network for _ in range(2))
    controls = Fused(fused, method, 12, SEED), Interpreted(graph, method, 12, SEED)
    for step in range(20):
        for control in controls:
            x, labels = control.buffers.load(digits.x_train, digits.y_train, ROWS + 12 * step)
            control.step(x, labels, LR / 10)
    for name, value in fused.stored().items():
        np.testing.assert_allclose(graph.stored()[name], value, atol=ENGINE_F32)


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
@pytest.mark.parametrize("method", ["bp", "fa", "dfa", "drtp"])
def test_the_optimiser_of_the_recipe_is_used(digits, method, optimizer):
    network = model_of(digits, "dense", optimizer=optimizer).network
    before = {name: value.copy() for name, value in network.stored().items()}
    control = Control(network, method, len(ROWS), SEED)
    control.step(*control.buffers.load(images(digits).x_train, digits.y_train, ROWS), 0.01)
    for name, value in network.stored().items():
        kept = ".p" in name  # a control has no use for a learned projection
        assert np.array_equal(value, before[name]) == kept, name


@pytest.mark.parametrize("method", ["bp", "fa", "dfa", "drtp"])
def test_a_layer_that_does_not_learn_stays_and_passes_errors_on(digits, method):
    network = model_of(digits, "frozen").network
    before = {name: value.copy() for name, value in network.stored().items()}
    control = Control(network, method, len(ROWS), SEED)
    control.step(*control.buffers.load(images(digits).x_train, digits.y_train, ROWS), 0.01)
    for name, value in network.stored().items():
        assert np.array_equal(value, before[name]) == name.startswith("conv2d2"), name


@pytest.mark.parametrize("method", ["bp", "fa", "dfa", "drtp"])
def test_a_run_that_was_stopped_ends_as_it_would_have(digits, method):
    settings = {"method": method, "optimizer": "adam", "epochs": 1, "batch": 100}
    data = images(digits)
    whole, _ = workflow.train(model_of(digits, "conv", **settings), data, Observer())
    asked = iter([False] * 5 + [True] + [False] * 100)
    observer = Observer(should_stop=lambda: next(asked))
    part, report = workflow.train(model_of(digits, "conv", **settings), data, observer)
    assert report is None
    again, _ = workflow.train(part, data, observer)
    for name, value in whole.network.stored().items():
        assert np.array_equal(again.network.stored()[name], value)


def test_shallow_leaves_the_hidden_layers(digits):
    model = network_of(digits, method="shallow")
    before = {k: v.copy() for k, v in model.network.stored().items()}
    workflow.train(model, digits, Observer())
    after = model.network.stored()
    assert all(np.array_equal(after[k], before[k]) for k in before if not k.startswith("dense3"))
    assert not np.array_equal(after["dense3.w"], before["dense3.w"])


def test_backprop_and_feedback_learn_all_layers_at_once(digits):
    network = network_of(digits).network
    for method in ("bp", "fa", "dfa", "drtp"):
        config = TrainConfig(method=method, schedule="layerwise")
        assert [list(s) for s in stages(network, config)] == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("method", "floor"),
    [("tpsgd", 0.9), ("bp", 0.9), ("fa", 0.85), ("dfa", 0.85), ("drtp", 0.6), ("shallow", 0.6)],
)
def test_every_method_learns(digits, method, floor):
    _, report = workflow.train(network_of(digits, method=method), digits, Observer())
    assert report.accuracy > floor


def test_backprop_pays_for_depth_in_activations(digits):
    """What tpSGD spares: beyond parameters, its working set is the same at any depth."""

    def beyond(hidden, *, keep_all):
        recipe = workflow.embedded_recipe()
        layers = (*[recipe.layers[0]] * hidden, recipe.layers[1])
        recipe = msgspec.structs.replace(recipe, layers=layers)
        network = workflow.new_model(recipe, digits).network
        fixed = sum(p.nbytes for p in network.stored().values())
        fixed += sum(p.nbytes for p in network.fixed())
        return engine.working_set_bytes(network, 32, keep_all=keep_all) - fixed

    assert beyond(6, keep_all=False) == beyond(2, keep_all=False)
    assert beyond(6, keep_all=True) - beyond(2, keep_all=True) == 4 * 4 * 32 * 128


@pytest.mark.parametrize("method", ["tpsgd", "shallow", "drtp", "dfa", "fa", "bp"])
def test_the_card_names_the_method_and_its_own_memory(digits, method):
    model, report = workflow.train(network_of(digits, method=method), digits, Observer())
    assert model.card["method"].startswith("tpSGD" if method == "tpsgd" else "control")
    config = model.recipe.train
    assert report.working_set_bytes == training_bytes(model.network, config)
    if method == "tpsgd":
        return
    control = Control(model.network, method, config.batch, config.seed)
    held = sum(a.nbytes for a in vars(control.buffers).values() if isinstance(a, np.ndarray))
    parameters = sum(p.nbytes for p in model.network.stored().values())
    assert report.working_set_bytes >= held + parameters


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "tanh"])
@pytest.mark.parametrize("kind", ["dense", "conv2d"])
def test_the_graph_of_backpropagation_keeps_one_activation_a_layer(digits, kind, activation):
    """And parameters change where they lie."""
    size = {"dense": {"units": 64}, "conv2d": {"filters": 1}}[kind]

    def arena(depth):
        layer = {"kind": kind, "activation": activation, **size}
        network = built(digits, [layer] * depth).network
        plan = plan_arena(to_control_graph(network, "bp", SEED).bind(32))
        assert not plan.copies
        return plan.size_bytes

    assert arena(6) - arena(3) == 3 * 4 * 32 * 64


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("name", ["conv", "gru", "cells"])
def test_a_graph_needs_no_more_than_was_planned(digits, name, optimizer):
    """What the interpreter holds at once, beyond what it computes one node with."""
    model = model_of(digits, name, optimizer=optimizer)
    control = Interpreted(model.network, "bp", 128, SEED)
    samples = control.buffers.load(images(digits).x_train, digits.y_train, np.arange(128))
    control.step(*samples, 0.01)
    tracemalloc.start()
    control.step(*samples, 0.01)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    config = msgspec.structs.replace(model.recipe.train, batch=128)
    assert peak < 2 * training_bytes(model.network, config)


def test_backprop_reports_more_than_tpsgd(digits):
    network = network_of(digits).network
    ours = training_bytes(network, TrainConfig(batch=32))
    for method in ("bp", "fa", "dfa"):
        assert training_bytes(network, TrainConfig(batch=32, method=method)) > ours
