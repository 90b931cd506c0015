"""Adapting: which layers move, and the guard, on real digits upside down."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from edgelearn import workflow
from edgelearn.adapting import AdaptConfig, adapt, chosen
from edgelearn.errors import DataShapeError, OptionError
from edgelearn.evaluation import evaluate
from edgelearn.progress import Observer


@pytest.fixture(scope="module")
def model(digits):
    recipe = workflow.embedded_recipe(("train.epochs=5",))
    hidden, head = recipe.layers
    recipe = msgspec.structs.replace(recipe, layers=(hidden, hidden, head))
    trained, _ = workflow.train(workflow.new_model(recipe, digits), digits, Observer())
    return trained


def mirrored(x):
    """The digits as a camera mounted the wrong way round sees them."""
    return np.ascontiguousarray(x.reshape(len(x), 8, 8)[:, ::-1, ::-1]).reshape(x.shape)


@pytest.mark.parametrize(
    ("layers", "moved"),
    [("last", {2}), ("first", {0}), ("all", {0, 1, 2}), ("2", {1}), ("1, dense3", {0, 2})],
)
def test_only_the_chosen_layers_move(model, digits, layers, moved):
    config = AdaptConfig(layers=layers, epochs=1, guard=False)
    before = {k: v.copy() for k, v in model.network.stored().items()}
    result, report = adapt(model.network, digits.x_train[:100], digits.y_train[:100], config)
    assert chosen(model.network, layers) == sorted(moved)
    assert report.kept == layers
    for name, value in result.stored().items():
        number = int(name.removeprefix("dense")[0]) - 1
        assert np.array_equal(value, before[name]) != (number in moved)
        assert np.array_equal(model.network.stored()[name], before[name])


@pytest.mark.parametrize("layers", ["4", "dense9", "", "all,last", "0"])
def test_layers_that_are_not_there(model, layers):
    with pytest.raises(OptionError, match="name layers of this model"):
        chosen(model.network, layers)


def test_all_layers_learn_the_mirror(model, digits):
    """A geometric shift: everything moves, far above the last layer alone."""
    x, y = mirrored(digits.x_train[:400]), digits.y_train[:400]
    result, report = adapt(model.network, x, y, AdaptConfig())
    accuracy = evaluate(result, mirrored(digits.x_test), digits.y_test).accuracy
    assert report.kept == "all"
    assert report.held_out == 100
    assert accuracy > 0.8
    assert report.after > report.last > report.before


def test_the_guard_takes_back_what_does_harm(model, digits):
    """A rate at which the hidden layers lose what they knew: their change is not kept."""
    x, y = digits.x_train[:200], digits.y_train[:200]
    result, report = adapt(model.network, x, y, AdaptConfig(lr=300.0, epochs=2))
    assert report.kept in ("last", "none")
    assert report.after < report.last
    for name, value in model.network.stored().items():
        if not name.startswith("dense3"):
            assert np.array_equal(result.stored()[name], value)


def test_the_guard_is_never_far_below_the_last_layer(model, digits):
    x, y = mirrored(digits.x_train[:200]), digits.y_train[:200]
    test = mirrored(digits.x_test), digits.y_test
    alone, _ = adapt(model.network, x, y, AdaptConfig(layers="last", guard=False))
    for layers in ("first", "all"):
        guarded, _ = adapt(model.network, x, y, AdaptConfig(layers=layers))
        assert evaluate(guarded, *test).accuracy >= evaluate(alone, *test).accuracy - 0.01


def test_too_few_samples_for_a_guard(model, digits):
    with pytest.raises(DataShapeError, match="20 or more"):
        adapt(model.network, digits.x_train[:19], digits.y_train[:19], AdaptConfig())
    adapt(model.network, digits.x_train[:5], digits.y_train[:5], AdaptConfig(guard=False))
