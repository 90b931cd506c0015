"""Schedules, stopping, going on, and the promise of a small working set."""

from __future__ import annotations

import tracemalloc

import msgspec
import numpy as np
import pytest

from edgelearn import engine, modelfile, workflow
from edgelearn.errors import Diverged
from edgelearn.trainer import Observer, Position, fit, learning_rate, stages


def trained_weights(model, digits, start=None, stop_at=None):
    """Train `model`; stop before the step numbered `stop_at` if given."""
    count = 0

    def on_step(_position, _loss):
        nonlocal count
        count += 1

    def should_stop():
        return count == stop_at

    return fit(
        model.network,
        digits.x_train,
        digits.y_train,
        model.recipe.train,
        start=start,
        observer=Observer(on_step=on_step, should_stop=should_stop),
    )


@pytest.mark.parametrize("schedule", ["layerwise", "simultaneous"])
@pytest.mark.parametrize("stop_at", [0, 5, 79, 100, 200])
def test_resuming_is_bit_identical(digits, tmp_path, schedule, stop_at):
    recipe = workflow.embedded_recipe((f"train.schedule={schedule}", "train.epochs=3"))
    whole = workflow.new_model(recipe, digits)
    assert trained_weights(whole, digits) is None
    model = workflow.new_model(recipe, digits)
    position = trained_weights(model, digits, stop_at=stop_at)
    assert position is not None
    stopped = msgspec.structs.replace(position)
    path = tmp_path / "part.safetensors"
    modelfile.save(path, modelfile.Model(model.network, recipe, stopped, model.golden, {}))
    again = modelfile.load(path)
    assert again.position == position
    assert trained_weights(again, digits, start=again.position) is None
    for name, value in whole.network.stored().items():
        assert np.array_equal(again.network.stored()[name], value)
    cold = workflow.new_model(recipe, digits)
    trained_weights(cold, digits, start=Position(position.stage, 2, 0))
    values = cold.network.stored()
    assert any(not np.array_equal(values[n], v) for n, v in whole.network.stored().items())


def test_same_seed_same_weights_other_seed_other_weights(digits):
    def weights(seed):
        recipe = workflow.embedded_recipe((f"train.seed={seed}", "train.epochs=1"))
        model = workflow.new_model(recipe, digits)
        trained_weights(model, digits)
        return model.network.stored()["dense1.w"]

    assert np.array_equal(weights(0), weights(0))
    assert not np.array_equal(weights(0), weights(1))


def test_layerwise_trains_one_layer_at_a_time(digits):
    recipe = workflow.embedded_recipe(("train.epochs=1",))
    model = workflow.new_model(recipe, digits)
    head = model.network.blocks[1].params["w"].copy()
    first = model.network.blocks[0].params["w"].copy()
    steps = -(-len(digits.x_train) // recipe.train.batch)
    trained_weights(model, digits, stop_at=steps)
    assert np.array_equal(model.network.blocks[1].params["w"], head)
    assert not np.array_equal(model.network.blocks[0].params["w"], first)
    assert stages(model.network, recipe.train) == [[0], [1]]


def test_cosine_falls_from_lr_to_nothing():
    config = msgspec.structs.replace(workflow.embedded_recipe().train, lr=0.5)
    rates = [learning_rate(config, step, 100) for step in range(100)]
    assert rates[0] == 0.5
    assert rates == sorted(rates, reverse=True)
    assert 0 < rates[-1] < 0.001


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_rate_far_too_large_is_an_error_not_a_model(digits):
    recipe = workflow.embedded_recipe(("train.lr=1e38", "train.epochs=2"))
    model = workflow.new_model(recipe, digits)
    with pytest.raises(Diverged, match=r"lower train\.lr"):
        trained_weights(model, digits)


@pytest.mark.parametrize("batch", [1, 16, 64])
@pytest.mark.parametrize("hidden", [1, 4])
def test_steps_allocate_nothing_that_grows(digits, batch, hidden):
    """Buffers are as large as planned, and a step adds less than 8 KiB of short-lived objects."""
    recipe = workflow.embedded_recipe((f"train.batch={batch}",))
    layers = (*[recipe.layers[0]] * hidden, recipe.layers[1])
    recipe = msgspec.structs.replace(recipe, layers=layers)
    network = workflow.new_model(recipe, digits).network
    rows = np.arange(batch)
    warm = engine.Buffers(network, batch)
    engine.train_step(
        warm, *warm.load(digits.x_train, digits.y_train, rows), 0.1, range(hidden + 1)
    )
    parameters = sum(p.nbytes for p in network.stored().values())
    projections = sum(p.nbytes for p in network.fixed())
    fixed = parameters + projections + network.normalizer.nbytes
    planned = engine.working_set_bytes(network, batch) - fixed
    tracemalloc.start()
    buffers = engine.Buffers(network, batch)
    made, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    for _ in range(3):
        loaded = buffers.load(digits.x_train, digits.y_train, rows)
        engine.train_step(buffers, *loaded, 0.1, range(hidden + 1))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert planned <= made <= planned + 4096
    assert peak - made <= 8192


def test_depth_costs_parameters_only(digits):
    """Beyond its own parameters and projection, another layer of the same size costs nothing."""

    def buffers(hidden):
        recipe = workflow.embedded_recipe()
        layers = (*[recipe.layers[0]] * hidden, recipe.layers[1])
        network = workflow.new_model(msgspec.structs.replace(recipe, layers=layers), digits).network
        fixed = sum(p.nbytes for p in network.stored().values())
        fixed += sum(p.nbytes for p in network.fixed())
        return engine.working_set_bytes(network, 32) - fixed

    assert buffers(2) == buffers(6)
