"""The controls against plain references: what stands beside tpSGD must be what it says."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from edgelearn import engine, workflow
from edgelearn.config import TrainConfig
from edgelearn.controls import Control, training_bytes
from edgelearn.progress import Observer
from edgelearn.stages import stages

LR = 0.3
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
    control = Control(network, method, len(ROWS), seed=3)
    x, labels = control.buffers.load(digits.x_train, digits.y_train, ROWS)
    kept = x.copy()
    return network, control, kept, labels


@pytest.mark.parametrize("activation", ["tanh", "relu", "linear"])
@pytest.mark.parametrize("method", ["bp", "fa", "dfa"])
def test_one_step_equals_the_reference(digits, method, activation):
    network, control, x, labels = one_step(digits, method, activation)

    def send(index, d, slope, weights):
        if method == "dfa":
            return slope @ network.blocks[index - 1].readout.projection
        matrix = control.feedback[index] if method == "fa" else weights[index]["w"]
        return d @ matrix.T

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
    network, control, _, _ = one_step(digits, "fa", "tanh")
    for block, matrix in zip(network.blocks, control.feedback, strict=True):
        assert matrix.shape == block.params["w"].shape
        assert abs(np.corrcoef(matrix.ravel(), block.params["w"].ravel())[0, 1]) < 0.2


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
    least = Control(model.network, method, config.batch, config.seed).buffers
    held = sum(a.nbytes for a in vars(least).values() if isinstance(a, np.ndarray))
    held += sum(slab.nbytes for slab in least._activations)
    parameters = sum(p.nbytes for p in model.network.stored().values())
    assert report.working_set_bytes >= held + parameters


def test_backprop_reports_more_than_tpsgd(digits):
    network = network_of(digits).network
    ours = training_bytes(network, TrainConfig(batch=32))
    for method in ("bp", "fa", "dfa"):
        assert training_bytes(network, TrainConfig(batch=32, method=method)) > ours
