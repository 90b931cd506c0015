"""Heads and local losses that a network may have, and those it may not."""

from __future__ import annotations

import numpy as np
import pytest

from edgelearn import workflow
from edgelearn.adapting import AdaptConfig, adapt
from edgelearn.building import build
from edgelearn.config import parse_recipe
from edgelearn.controls import Control, training_bytes
from edgelearn.errors import ConfigError
from edgelearn.evaluation import evaluate, predict
from edgelearn.exits import EarlyExits
from edgelearn.trainer import Observer

DENSE = {"kind": "dense", "units": 32}
SOFTMAX = {"kind": "dense", "units": 10, "activation": "softmax"}
SVM = {"kind": "dense", "units": 10, "activation": "linear", "loss": "squared_hinge"}
TRAIN = {"epochs": 6, "lr": 0.2, "batch": 16, "schedule": "simultaneous"}


def recipe_of(*layers, **train):
    tables = {"dataset": {"name": "digits"}, "layers": list(layers), "train": {**TRAIN, **train}}
    return parse_recipe(tables, "recipe")


def built(*layers, in_shape=(64,), **train):
    return build(recipe_of(*layers, **train), in_shape, tuple("0123456789"), None)


def trained(digits, *layers, **train):
    model = workflow.new_model(recipe_of(*layers, **train), digits)
    return workflow.train(model, digits, Observer())


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_a_linear_head_is_a_support_vector_machine(digits, loss):
    model, report = trained(digits, DENSE, {**SVM, "loss": loss, "lr_scale": 0.1})
    assert report.accuracy > 0.94
    scores = predict(model.network, digits.x_test).astype(np.float64)
    side = 2 * np.eye(10)[digits.y_test] - 1
    margin = np.maximum(0, 1 - side * scores).sum(axis=1)
    if loss == "squared_hinge":
        margin = 0.5 * (np.maximum(0, 1 - side * scores) ** 2).sum(axis=1)
    assert report.loss == pytest.approx(margin.mean(), rel=1e-4)
    assert model.network.answers == "scores"
    assert not np.allclose(scores.sum(axis=1), 1)


@pytest.mark.parametrize("loss", ["similarity", "predsim"])
def test_similarity_teaches_hidden_layers(digits, loss):
    """Better than layers left as drawn, with the same head."""
    local = {**DENSE, "loss": loss, "units": 16}
    _, taught = trained(digits, local, local, {**SOFTMAX, "lr_scale": 0.2}, epochs=15)
    frozen = {**DENSE, "learn": False, "units": 16}
    _, drawn = trained(digits, frozen, frozen, {**SOFTMAX, "lr_scale": 0.2}, epochs=15)
    assert taught.accuracy > drawn.accuracy + 0.02
    assert (taught.layers[0]["accuracy"] is None) == (loss == "similarity")


def test_a_loss_without_scores_needs_no_projection(digits):
    small, large = (
        built({**DENSE, "loss": loss, "units": 1000}, SOFTMAX) for loss in ("similarity", "l2")
    )
    assert not small.fixed()
    train = recipe_of(SOFTMAX).train
    assert training_bytes(small, train) < training_bytes(large, train)
    pairs = 4 * train.batch * (train.batch + 1)
    saved = 4 * 1000 * 10 + 4 * 10 * train.batch  # the projection, and the slopes of its scores
    assert training_bytes(large, train) - training_bytes(small, train) == saved - pairs


def test_early_exits_are_those_with_probabilities(digits):
    layers = [{**DENSE, "loss": loss} for loss in ("similarity", "predsim")]
    model, _ = trained(digits, *layers, SOFTMAX)
    exits = EarlyExits(model.network, 0.8)
    assert exits.layers == ["dense2", "dense3"]
    with pytest.raises(ConfigError, match="a head of probabilities"):
        EarlyExits(built(DENSE, SVM), 0.8)


MISTAKES = {
    "a head that tells nothing": ((DENSE, {**SVM, "loss": "cross_entropy"}), "'linear' with loss"),
    "a softmax of margins": ((DENSE, {**SOFTMAX, "loss": "hinge"}), "'softmax' with loss 'hinge'"),
    "a head of similarity": ((DENSE, {**SVM, "loss": "similarity"}), "loss 'similarity'"),
    "a head of tanh": ((DENSE, {**SVM, "activation": "tanh"}), "no softmax"),
    "too few units": ((DENSE, {**SVM, "units": 9}), "9 units"),
    "similarity learns no projection": (
        ({**DENSE, "loss": "similarity", "learn_projection": True}, SOFTMAX),
        "learn_projection with a loss of scores",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named(mistake):
    layers, words = MISTAKES[mistake]
    with pytest.raises(ConfigError, match=words):
        built(*layers)


@pytest.mark.parametrize("loss", ["similarity", "predsim"])
def test_recurrent_layers_compare_no_samples(loss):
    with pytest.raises(ConfigError, match="compares the samples of a batch"):
        built({"kind": "gru", "units": 4, "loss": loss}, SOFTMAX, in_shape=(5, 3))


@pytest.mark.parametrize("loss", ["similarity", "predsim"])
def test_comparing_needs_two_samples(digits, loss):
    layers = ({**DENSE, "loss": loss}, SOFTMAX)
    model = workflow.new_model(recipe_of(*layers, batch=1), digits)
    with pytest.raises(ConfigError, match="a batch of 2 samples or more"):
        workflow.train(model, digits, Observer())
    with pytest.raises(ConfigError, match="a batch of 2 samples or more"):
        adapt(model.network, digits.x_train[:40], digits.y_train[:40], AdaptConfig(batch=1))
    workflow.train(
        workflow.new_model(recipe_of(*layers, batch=2, epochs=1), digits), digits, Observer()
    )


def test_a_last_batch_of_one_sample_is_no_harm(digits):
    """1,258 samples, 419 batches of 3 and one of 1."""
    _, report = trained(
        digits, {**DENSE, "loss": "similarity"}, SOFTMAX, batch=3, epochs=1, lr=0.05
    )
    assert report.accuracy > 0.8


@pytest.mark.parametrize("method", ["drtp", "dfa"])
def test_controls_that_need_a_projection(method):
    network = built({**DENSE, "loss": "similarity"}, SOFTMAX)
    with pytest.raises(ConfigError, match="a projection of the labels that is held"):
        Control(network, method, batch=4, seed=0)


@pytest.mark.parametrize("method", ["bp", "fa", "dfa", "drtp"])
def test_controls_with_a_linear_head(digits, method):
    lr, share = (0.02, 1.0) if method == "drtp" else (0.2, 0.1)
    _, report = trained(digits, DENSE, {**SVM, "lr_scale": share}, method=method, lr=lr)
    assert report.accuracy > 0.85


def test_backpropagation_of_a_linear_head_follows_its_loss(digits):
    """One step of bp lowers the head's own loss, to first order by the square of the gradient."""
    model = workflow.new_model(recipe_of(DENSE, SVM, method="bp"), digits)
    network, lr = model.network, 1e-3
    control = Control(network, "bp", 64, 0)
    x, y = control.buffers.load(digits.x_train, digits.y_train, np.arange(64))
    before = {k: v.astype(np.float64) for k, v in network.stored().items()}
    first = control.step(x, y, lr)
    moved = sum(((v - before[k]) ** 2).sum() for k, v in network.stored().items())
    x, y = control.buffers.load(digits.x_train, digits.y_train, np.arange(64))
    second = control.step(x, y, 0.0)
    assert first - second == pytest.approx(moved / lr, rel=0.05)


def test_evaluation_of_a_softmax_head_is_its_cross_entropy(digits):
    network = workflow.new_model(recipe_of(SOFTMAX), digits).network
    said = predict(network, digits.x_test).astype(np.float64)
    expected = -np.log(said[np.arange(len(said)), digits.y_test]).mean()
    found = evaluate(network, digits.x_test, digits.y_test)
    assert found.loss == pytest.approx(expected, rel=1e-5)


def test_beta_is_the_share_of_similarity():
    def loss(**local):
        return built({**DENSE, "loss": "predsim", **local}, SOFTMAX).blocks[0].readout.loss

    assert (loss().beta, loss(beta=0.5).beta, loss().classes) == (0.99, 0.5, 10)
