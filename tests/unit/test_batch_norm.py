"""Statistics that follow the data: what they are, when they move, and when they stay."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from edgelearn import engine, modelfile, workflow
from edgelearn.buffers import Buffers
from edgelearn.config import parse_recipe
from edgelearn.controls import Control
from edgelearn.evaluation import evaluate
from edgelearn.holdout import split
from edgelearn.ir import run
from edgelearn.layers.batch_norm import BatchNorm
from edgelearn.lowering import to_train_graph
from edgelearn.progress import Observer
from edgelearn.trainer import fit

HEAD = {"kind": "dense", "units": 10, "activation": "softmax"}
NORM = {"kind": "batch_norm", "memory": 50.0}
HIDDEN = {"kind": "dense", "units": 12}


def model_of(digits, *layers, **train):
    tables = {
        "dataset": {"name": "digits"},
        "layers": [*layers, HEAD],
        "train": {"schedule": "simultaneous", "epochs": 1, "lr": 0.1, **train},
    }
    return workflow.new_model(parse_recipe(tables, "test"), digits)


@pytest.fixture
def model(digits):
    """Followers below the first dense layer, below the second, and below the head."""
    return model_of(digits, NORM, HIDDEN, NORM, HIDDEN, NORM)


def moved(network, learning, lr=0.1):
    """Names of the statistics that one step moves in which these blocks learn."""
    before = {k: v.copy() for k, v in network.stored().items() if k.startswith("batch_norm")}
    buffers = Buffers(network, 4)
    x = np.random.default_rng(0).normal(size=(4, 64)).astype(np.float32)
    engine.train_step(buffers, x, np.arange(4), lr, learning)
    after = network.stored()
    return {k.partition(".")[0] for k, v in before.items() if not np.array_equal(v, after[k])}


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_moments_are_those_of_an_exponential_mean(batch):
    """In float64, with every sample's weight written out."""
    layer, rng = BatchNorm(memory=40), np.random.default_rng(0)
    data = rng.normal([1, -3, 0], [2, 0.1, 5], size=(240, 7, 3)).astype(np.float32)
    params = layer.init((7, 3), 0, 0)
    first, second = np.zeros(3), np.ones(3)
    for start in range(0, len(data), batch):
        x = data[start : start + batch].astype(np.float64)
        share = len(x) / 40
        first = (1 - share) * first + share * x.mean(axis=(0, 1))
        second = (1 - share) * second + share * (x * x).mean(axis=(0, 1))
        layer.follow(params, data[start : start + batch], np.full(12, np.nan, np.float32))
    np.testing.assert_allclose(params["mean"], first, atol=1e-4)
    np.testing.assert_allclose(params["variance"], second - first**2, rtol=1e-3)


def test_it_starts_from_the_data(model, digits):
    network = model.network
    buffers = Buffers(network, 1000)
    x, _ = buffers.load(digits.x_train, digits.y_train, np.arange(1000))
    seen = engine.input_of(3, x, buffers)  # what the second dense layer reads
    assert np.abs(seen.mean(axis=0)).max() < 0.2
    assert np.abs(seen.std(axis=0) - 1).max() < 0.2


def test_each_follows_while_the_layer_above_learns(model):
    names = [f"batch_norm{n}" for n in (1, 3, 5)]
    every = model.network.learning()
    assert every == [1, 3, 5]
    for block, name in zip(every, names, strict=True):
        assert moved(model.network, [block]) == {name}
    assert moved(model.network, every) == set(names)


def test_a_rate_of_0_moves_nothing(model, digits):
    network = model.network
    assert moved(network, network.learning(), lr=0.0) == set()
    feeds = {"x": digits.x_train[:8].astype(np.float32), "y": digits.y_train[:8]}
    graph = to_train_graph(network)
    for lr, still in ((0.0, True), (0.1, False)):
        states = run(graph, {**feeds, "lr": np.array(lr, np.float32)}).states
        same = [np.array_equal(states[s.input], s.init) for s in graph.states]
        assert all(same) if still else not any(same)


def test_adapting_one_layer_moves_what_it_reads_alone(model):
    learner = model.network.learning_only([3])
    assert moved(learner, learner.learning()) == {"batch_norm3"}
    graph = to_train_graph(learner)
    found = {state.input.partition(".")[0] for state in graph.states}
    assert found == {"batch_norm3", "dense4"}


def test_a_layer_that_does_not_learn_keeps_its_statistics(digits):
    model = model_of(digits, {**NORM, "learn": False}, HIDDEN)
    assert moved(model.network, model.network.learning()) == set()


def test_training_goes_on_from_a_file_to_the_bit(digits, tmp_path):
    layers, path = (HIDDEN, NORM, HIDDEN), tmp_path / "model.safetensors"
    whole = model_of(digits, *layers, optimizer="adam")
    fit(whole.network, digits.x_train, digits.y_train, whole.recipe.train)
    begun = model_of(digits, *layers, optimizer="adam")
    steps = iter([False] * 20)
    begun, report = workflow.train(begun, digits, Observer(should_stop=lambda: next(steps, True)))
    assert report is None
    modelfile.save(path, begun)
    again = modelfile.load(path)
    fit(again.network, digits.x_train, digits.y_train, again.recipe.train, start=again.standing)
    for name, value in whole.network.stored().items():
        assert np.array_equal(value, again.network.stored()[name]), name


def test_the_best_statistics_are_put_back_with_the_best_parameters(digits):
    """Held-out samples see after the run what they saw when it was best."""
    settings = {"validation": 0.2, "patience": 2, "epochs": 30, "lr_schedule": "constant"}
    model = model_of(digits, HIDDEN, NORM, schedule="layerwise", **settings | {"lr": 3.0})
    found = []
    observer = Observer(on_epoch=found.append)
    fit(model.network, digits.x_train, digits.y_train, model.recipe.train, observer=observer)
    last = [report.held_out_loss for report in found if report.stage == 2]
    assert min(last) < last[-1]
    _, held = split(digits.y_train, 0.2, model.recipe.train.seed)
    again = evaluate(model.network, digits.x_train[held], digits.y_train[held])
    assert again.loss == pytest.approx(min(last), rel=1e-5)


@pytest.mark.parametrize("method", ["drtp", "dfa", "fa", "bp"])
def test_a_control_moves_the_same_statistics_once(digits, method):
    """They follow what was there before the step, whatever the step does."""
    found = []
    for way in (method, "tpsgd"):
        network = model_of(digits, NORM, HIDDEN, NORM, HIDDEN, NORM).network
        control = Control(network, method, 8, seed=0) if way == method else None
        buffers = control.buffers if control else Buffers(network, 8)
        x, y = buffers.load(digits.x_train, digits.y_train, np.arange(8))
        if control:
            control.step(x, y, 0.1)
        else:
            engine.train_step(buffers, x, y, 0.1, network.learning())
        found.append({k: v for k, v in network.stored().items() if k.startswith("batch_norm")})
    assert len(found[0]) == 6
    for name, value in found[0].items():
        np.testing.assert_allclose(value, found[1][name], atol=1e-6, err_msg=name)


def test_a_sample_is_normalised_alike_in_any_batch(model, digits):
    buffers = Buffers(model.network, 32)
    x, _ = buffers.load(digits.x_train, digits.y_train, np.arange(32))
    together = engine.forward(x.copy(), buffers).copy()
    alone = engine.forward(x[:1].copy(), buffers)
    np.testing.assert_allclose(alone[0], together[0], atol=1e-6)


def test_memory_is_at_least_one_sample():
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"memory": 0.5}, BatchNorm)
