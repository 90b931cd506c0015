"""A dense block that learns in one call of a kernel does what it does in several."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from tolerances import ENGINE_F32

from edgelearn import engine, kernels, workflow
from edgelearn.buffers import Buffers
from edgelearn.layers.dense import LOOP_BATCH

STEPS = 5
LR = 0.05


def network_of(digits, loss, activation, *, learn=False, judge="cross_entropy", **train):
    recipe = workflow.embedded_recipe()
    hidden, head = recipe.layers
    local = msgspec.structs.replace(hidden.local, loss=loss, learn_projection=learn)
    layer = msgspec.structs.replace(hidden.layer, units=21, activation=activation)
    hidden = msgspec.structs.replace(hidden, local=local, layer=layer)
    if judge != "cross_entropy":
        layer = msgspec.structs.replace(head.layer, activation="linear")
        local = msgspec.structs.replace(head.local, loss=judge)
        head = msgspec.structs.replace(head, layer=layer, local=local)
    train = msgspec.structs.replace(recipe.train, **train)
    recipe = msgspec.structs.replace(recipe, layers=(hidden, hidden, head), train=train)
    return workflow.new_model(recipe, digits).network


def trained(network, digits, batch):
    """Buffers after some steps, and how many blocks are fused."""
    buffers = Buffers(network, batch)
    losses = []
    for step in range(STEPS):
        rows = np.arange(step * batch, (step + 1) * batch)
        loaded = buffers.load(digits.x_train, digits.y_train, rows)
        losses.append(engine.train_step(buffers, *loaded, LR, network.learning()))
    fused = [buffers.room(i, batch).fused is not None for i in network.learning()]
    return losses, list(buffers.right), sum(fused)


@pytest.mark.parametrize("batch", [1, LOOP_BATCH])
@pytest.mark.parametrize("activation", ["tanh", "relu", "leaky_relu", "linear"])
@pytest.mark.parametrize(
    ("loss", "learn"),
    [("cross_entropy", False), ("cross_entropy", True), ("l2", False), ("l1", False)],
)
def test_one_call_does_what_several_do(monkeypatch, digits, loss, learn, activation, batch):
    network = network_of(digits, loss, activation, learn=learn)
    *found, fused = trained(network, digits, batch)
    assert fused == 3
    monkeypatch.setattr("edgelearn.buffers.fused_step", lambda *_: None)
    other = network_of(digits, loss, activation, learn=learn)
    *expected, fused = trained(other, digits, batch)
    assert fused == 0
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
    assert found[1] == expected[1]
    for name, value in other.stored().items():
        np.testing.assert_allclose(network.stored()[name], value, atol=ENGINE_F32, err_msg=name)
    assert len(getattr(kernels.fused.learn, "signatures", [])) <= 1


@pytest.mark.parametrize(
    ("settings", "batch", "fused"),
    [
        ({"loss": "cross_entropy"}, LOOP_BATCH + 1, 0),
        ({"loss": "hinge"}, 2, 1),
        ({"loss": "cross_entropy", "judge": "hinge"}, 2, 2),
        ({"loss": "predsim"}, 2, 1),
    ],
)
def test_what_no_kernel_does_whole_is_not_fused(digits, settings, batch, fused):
    network = network_of(digits, activation="tanh", **settings)
    assert trained(network, digits, batch)[2] == fused


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_what_an_optimizer_collects_is_not_written_onto_the_weights(digits, optimizer):
    """A fused step moves parameters in place, so it is for plain descent alone."""
    network = network_of(digits, "cross_entropy", "tanh", optimizer=optimizer)
    before = network.stored()["dense1.w"].copy()
    buffers = Buffers(network, 1)
    loaded = buffers.load(digits.x_train, digits.y_train, np.arange(1))
    engine.train_step(buffers, *loaded, 0.0, network.learning())
    assert np.array_equal(network.stored()["dense1.w"], before)
    moved = network.stored()[f"dense1.w.{'velocity' if optimizer == 'momentum' else 'm'}"]
    assert moved.any()
