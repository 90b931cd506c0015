"""Schedules, stopping, going on, and the promise of a small working set."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from edgelearn import modelfile, workflow
from edgelearn.config import parse_recipe, to_tables
from edgelearn.errors import Diverged
from edgelearn.evaluation import evaluate
from edgelearn.holdout import split
from edgelearn.progress import Observer, Progress, Standing
from edgelearn.stages import run_bytes, stages
from edgelearn.trainer import fit


def trained_weights(model, digits, start=None, stop_at=None, history=None):
    """Train `model`; stop before the step numbered `stop_at` if given."""
    count = 0
    history = [] if history is None else history

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
        observer=Observer(on_step, history.append, should_stop),
    )


@pytest.mark.parametrize("schedule", ["layerwise", "simultaneous"])
@pytest.mark.parametrize("stop_at", [0, 5, 71, 72, 150, 200])
@pytest.mark.parametrize(
    "more",
    [
        (),
        ("train.optimizer=adam", "train.lr=0.01", "train.lr_schedule.kind=infinite"),
        ("train.validation=0.1", "train.patience=1", "train.lr=3", "train.lr_schedule=constant"),
        ("train.cache_bytes=1_000_000",),
        ("train.gradient_noise=0.01",),
    ],
    ids=["plain", "schedule", "patience", "cached", "noise"],
)
def test_resuming_is_bit_identical(digits, tmp_path, schedule, stop_at, more):
    if schedule == "layerwise":
        more = [word.replace("kind=infinite", "kind=step") for word in more]
    recipe = workflow.embedded_recipe((f"train.schedule={schedule}", "train.epochs=5", *more))
    whole, expected = workflow.new_model(recipe, digits), []
    assert trained_weights(whole, digits, history=expected) is None
    model, found = workflow.new_model(recipe, digits), []
    standing = trained_weights(model, digits, stop_at=stop_at, history=found)
    assert standing is not None
    path = tmp_path / "part.safetensors"
    modelfile.save(path, replace(model, standing=standing))
    again = modelfile.load(path)
    assert again.standing.progress == standing.progress
    assert again.standing.best.keys() == standing.best.keys()
    assert again.golden.keys() == model.golden.keys()
    assert trained_weights(again, digits, start=again.standing, history=found) is None
    assert found == expected
    for name, value in whole.network.stored().items():
        assert np.array_equal(again.network.stored()[name], value)
    cold = workflow.new_model(recipe, digits)
    trained_weights(cold, digits, start=Standing(Progress(standing.progress.stage, 2, 0)))
    values = cold.network.stored()
    assert any(not np.array_equal(values[n], v) for n, v in whole.network.stored().items())


def test_what_is_dropped_by_chance_is_the_same_after_a_stop(digits):
    layers = [
        {"kind": "dropout", "rate": 0.2},
        {"kind": "dense", "units": 16},
        {"kind": "dropout"},
        {"kind": "dense", "units": 10, "activation": "softmax"},
    ]
    tables = {"dataset": {"name": "digits"}, "layers": layers, "train": {"epochs": 2, "batch": 100}}
    recipe = parse_recipe(tables, "recipe")
    whole, parts = workflow.new_model(recipe, digits), workflow.new_model(recipe, digits)
    assert trained_weights(whole, digits) is None
    standing = trained_weights(parts, digits, stop_at=30)
    assert standing is not None
    assert standing.progress.stage == 1
    assert trained_weights(parts, digits, start=standing) is None
    for name, value in whole.network.stored().items():
        assert np.array_equal(parts.network.stored()[name], value)


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


def model_of(digits, *overrides):
    return workflow.new_model(workflow.embedded_recipe(overrides), digits)


@pytest.mark.parametrize("kind", ["dense", "gru", "mingru"])
def test_local_accuracy_is_that_of_each_readout_before_the_update(digits, kind):
    """With a rate of almost nothing, one epoch counts what an evaluation does."""
    tables = to_tables(workflow.embedded_recipe(("train.schedule=simultaneous", "train.epochs=1")))
    tables["layers"][0] = {"kind": kind, "units": 12}
    recipe = parse_recipe(tables, "recipe")
    rows = replace(digits, x_train=digits.x_train.reshape(-1, 8, 8))
    model, history = workflow.new_model(recipe, rows), []
    config = msgspec.structs.replace(recipe.train, lr=1e-30)
    expected = evaluate(model.network, rows.x_train, rows.y_train)
    observer = Observer(on_epoch=history.append)
    assert fit(model.network, rows.x_train, rows.y_train, config, observer=observer) is None
    (report,) = history
    assert report.accuracies == {layer.name: layer.accuracy for layer in expected.layers}
    assert len(set(report.accuracies.values())) == 2
    assert report.held_out == {}


@pytest.mark.parametrize("kind", ["gru", "mingru"])
def test_held_out_sequences_are_judged_by_their_last_answer(digits, kind):
    tables = to_tables(workflow.embedded_recipe(("train.epochs=1", "train.validation=0.1")))
    tables["layers"][0] = {"kind": kind, "units": 12, "returns": "sequence"}
    recipe = parse_recipe(tables, "recipe")
    rows = replace(digits, x_train=digits.x_train.reshape(-1, 8, 8))
    model, history = workflow.new_model(recipe, rows), []
    observer = Observer(on_epoch=history.append)
    fit(model.network, rows.x_train, rows.y_train, recipe.train, observer=observer)
    _, held = split(rows.y_train, 0.1, 0)
    expected = evaluate(model.network, rows.x_train[held], rows.y_train[held])
    found = history[0].held_out | history[1].held_out
    assert found == {layer.name: layer.accuracy for layer in expected.layers}


def test_local_accuracy_rises_and_is_near_that_of_the_test_part(digits):
    model = model_of(digits, "train.epochs=4")
    _, report = workflow.train(model, digits, Observer())
    assert [(epoch.layer, epoch.epoch) for epoch in report.history] == [
        *(("dense1", n) for n in (1, 2, 3, 4)),
        *(("dense2", n) for n in (1, 2, 3, 4)),
    ]
    first, *_, last = (epoch.accuracies["dense1"] for epoch in report.history[:4])
    assert last > first
    assert abs(last - report.layers[0]["accuracy"]) < 0.05
    assert "dense2" not in report.history[0].accuracies


@pytest.mark.parametrize("schedule", ["layerwise", "simultaneous"])
def test_held_out_samples_are_judged_and_never_learned_from(digits, schedule):
    settings = (f"train.schedule={schedule}", "train.epochs=2", "train.validation=0.2")
    model = model_of(digits, *settings)
    _, report = workflow.train(model, digits, Observer())
    taught, held = split(digits.y_train, 0.2, model.recipe.train.seed)
    assert (report.samples, len(held)) == (len(taught), 252)
    found = evaluate(model.network, digits.x_train[held], digits.y_train[held])
    last = report.history[-1]
    assert last.held_out == {
        layer.name: layer.accuracy for layer in found.layers if layer.name in last.accuracies
    }
    assert last.held_out_loss == pytest.approx(found.loss, rel=1e-5)
    spoiled = replace(digits, x_train=digits.x_train.copy())
    spoiled.x_train[held] = 16
    again = model_of(spoiled, *settings)
    workflow.train(again, spoiled, Observer())
    for name, value in model.network.stored().items():
        assert np.array_equal(again.network.stored()[name], value)


@pytest.mark.parametrize("schedule", ["layerwise", "simultaneous"])
def test_a_stage_ends_when_patience_does_and_keeps_its_best(digits, schedule):
    """The end of each stage is as if it had ended with its best epoch."""
    settings = (
        *(f"train.schedule={schedule}", "train.epochs=30", "train.validation=0.2"),
        *("train.patience=2", "train.lr=3", "train.lr_schedule=constant"),
    )
    model = model_of(digits, *settings)
    _, report = workflow.train(model, digits, Observer())
    several = schedule == "simultaneous"
    for stage in range(1 if several else 2):
        epochs = [epoch for epoch in report.history if epoch.stage == stage + 1]
        scores = [e.held_out["dense2"] if several else -e.held_out_loss for e in epochs]
        best = scores.index(max(scores))
        assert len(epochs) == best + 1 + 2 < 30
    _, held = split(digits.y_train, 0.2, model.recipe.train.seed)
    found = evaluate(model.network, digits.x_train[held], digits.y_train[held])
    if several:
        assert found.accuracy == max(scores)
    else:
        assert found.loss == pytest.approx(-max(scores), rel=1e-5)


def test_the_best_outlives_a_stop(digits, tmp_path):
    """Stopped after its best epoch, a stage still ends where patience does, and with that epoch."""
    settings = ("train.validation=0.2", "train.patience=2", "train.lr=3", "train.batch=100")
    whole, history = model_of(digits, *settings, "train.lr_schedule=constant"), []
    trained_weights(whole, digits, history=history)
    first = [epoch for epoch in history if epoch.stage == 1]
    assert 2 < len(first) < 30
    again, found = model_of(digits, *settings, "train.lr_schedule=constant"), []
    stop = (len(first) - 1) * 11 + 5
    standing = trained_weights(again, digits, stop_at=stop, history=found)
    assert standing.progress.stale == 1
    path = tmp_path / "part.safetensors"
    modelfile.save(path, replace(again, standing=standing))
    again = modelfile.load(path)
    trained_weights(again, digits, start=again.standing, history=found)
    assert found == history
    for name, value in whole.network.stored().items():
        assert np.array_equal(again.network.stored()[name], value)


def test_what_follows_the_data_is_kept_with_the_best(digits):
    """Put back with the parameters that were best: the held-out loss is that of then."""
    recipe = workflow.embedded_recipe(
        ("train.epochs=30", "train.validation=0.2", "train.patience=2", "train.lr=3")
    )
    tables = to_tables(recipe)
    tables["layers"].insert(1, {"kind": "batch_norm"})
    tables["layers"][0]["name"], tables["layers"][2]["name"] = "dense1", "head"
    model = workflow.new_model(parse_recipe(tables, "recipe"), digits)
    _, report = workflow.train(model, digits, Observer())
    epochs = [epoch for epoch in report.history if epoch.layer == "head"]
    assert not epochs[-3].last
    assert epochs[-1].last
    _, held = split(digits.y_train, 0.2, recipe.train.seed)
    found = evaluate(model.network, digits.x_train[held], digits.y_train[held])
    assert found.loss == pytest.approx(min(epoch.held_out_loss for epoch in epochs), rel=1e-5)


def test_the_best_parameters_are_counted(digits):
    model = model_of(digits, "train.validation=0.1", "train.patience=1")
    plain = msgspec.structs.replace(model.recipe.train, patience=None)
    layers = [sum(p.nbytes for p in b.learned().values()) for b in model.network.blocks]
    assert run_bytes(model.network, model.recipe.train) - run_bytes(model.network, plain) == max(
        layers
    )


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_rate_far_too_large_is_an_error_not_a_model(digits):
    recipe = workflow.embedded_recipe(("train.lr=1e38", "train.epochs=2"))
    model = workflow.new_model(recipe, digits)
    with pytest.raises(Diverged, match=r"lower train\.lr"):
        trained_weights(model, digits)
