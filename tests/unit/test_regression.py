"""Regression on real data: values in their own units, from the data to the exported step."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pytest
from tolerances import ENGINE_F32

from edgelearn import datasets, modelfile, workflow
from edgelearn.adapting import AdaptConfig, adapt
from edgelearn.buffers import Buffers
from edgelearn.building import build
from edgelearn.config import parse_recipe
from edgelearn.controls import Control, to_control_graph, training_bytes
from edgelearn.datasets import Dataset, Source
from edgelearn.errors import ConfigError, DataError, DataShapeError, DataValueError, Diverged
from edgelearn.evaluation import evaluate, predict
from edgelearn.exits import EarlyExits
from edgelearn.export.onnx_writer import to_bytes
from edgelearn.ir import run
from edgelearn.lowering import to_graph, to_stream_graph, to_train_graph
from edgelearn.normalize import Outputs
from edgelearn.planning import blank_network
from edgelearn.results import Fit
from edgelearn.runtimes.onnx import run_onnx
from edgelearn.trainer import Observer

HIDDEN = {"kind": "dense", "units": 48, "loss": "mse", "gain": 1.0}
HEAD = {"kind": "dense", "units": 2, "activation": "linear", "loss": "mse", "lr_scale": 0.2}
TRAIN = {"epochs": 15, "lr": 0.1, "batch": 16, "schedule": "simultaneous"}


def recipe_of(*layers, **train):
    tables = {"dataset": {"name": "digits"}, "layers": list(layers), "train": {**TRAIN, **train}}
    return parse_recipe(tables, "recipe")


def taught(data, *layers, **train):
    return workflow.train(workflow.new_model(recipe_of(*layers, **train), data), data, Observer())


@pytest.fixture(scope="module")
def trained(ink):
    return taught(ink, HIDDEN, HEAD)


def test_it_explains_more_than_a_linear_model(ink, trained):
    """The reference is least squares on the same standardised inputs, solved exactly."""
    model, report = trained
    n = model.network.normalizer

    def columns(x):
        z = (x.astype(np.float64) - n.mean) * n.scale
        return np.concatenate([z, np.ones((len(z), 1))], axis=1)

    weights, *_ = np.linalg.lstsq(columns(ink.x_train), ink.y_train, rcond=None)
    gap = columns(ink.x_test) @ weights - ink.y_test
    linear = (1 - (gap**2).mean(axis=0) / ink.y_test.var(axis=0)).mean()
    assert report.r2 > linear + 0.02
    assert report.accuracy is None
    assert set(msgspec.to_builtins(report)) >= {"rmse", "mae", "r2", "loss", "layers"}
    assert "accuracy" not in msgspec.to_builtins(report)


def test_errors_are_in_the_units_of_the_data(ink, trained):
    model, report = trained
    said = predict(model.network, ink.x_test).astype(np.float64)
    gap = said - ink.y_test
    assert report.rmse == pytest.approx(np.sqrt((gap**2).mean(axis=0)).mean(), rel=1e-4)
    assert report.mae == pytest.approx(np.abs(gap).mean(axis=0).mean(), rel=1e-4)
    r2 = 1 - (gap**2).mean(axis=0) / ink.y_test.var(axis=0, dtype=np.float64)
    assert report.r2 == pytest.approx(r2.mean(), rel=1e-4)
    found = evaluate(model.network, ink.x_test, ink.y_test)
    assert [one.name for one in found.outputs] == ["left", "right"]
    assert [one.r2 for one in found.outputs] == pytest.approx(r2.tolist(), rel=1e-4)
    spread = ink.y_train.std(axis=0)
    half = 0.5 * ((gap / spread) ** 2).sum(axis=1).mean()
    assert found.loss == pytest.approx(half, rel=1e-4)


def test_a_hidden_readout_is_judged_too(ink, trained):
    model, report = trained
    hidden, head = report.layers
    assert head["r2"] == pytest.approx(report.r2)
    network = model.network
    x = (ink.x_test - network.normalizer.mean) * network.normalizer.scale
    block = network.blocks[0]
    a = np.tanh(x @ block.params["w"] + block.params["b"])
    y = (ink.y_test - network.outputs.mean) / network.outputs.spread
    gap = a @ block.readout.projection.T - y
    assert hidden["r2"] == pytest.approx((1 - (gap**2).mean(0) / y.var(axis=0)).mean(), rel=1e-3)


@pytest.mark.parametrize("loss", ["mse", "huber"])
@pytest.mark.parametrize("learn", [False, True])
def test_hidden_layers_learn(ink, loss, learn):
    """Better than layers left as drawn, with the same head."""
    local = {**HIDDEN, "loss": loss, "learn_projection": learn, "units": 16}
    head = {**HEAD, "loss": loss}
    _, report = taught(ink, local, local, head)
    frozen = {**local, "learn": False}
    _, drawn = taught(ink, frozen, frozen, head)
    assert report.r2 > drawn.r2 + 0.05


def test_huber_minds_outliers_less(ink):
    """A hundredth of the training values are wrong by far."""
    y = ink.y_train.copy()
    y[::100] *= 40
    spoilt = dataclasses.replace(ink, y_train=y)
    marks = {
        loss: taught(spoilt, {**HIDDEN, "loss": loss}, {**HEAD, "loss": loss})[1].mae
        for loss in ("mse", "huber")
    }
    assert marks["huber"] < 0.8 * marks["mse"]


def test_graphs_speak_the_units_of_the_data(ink, trained):
    network = trained[0].network
    x, y = ink.x_test[:50], ink.y_test[:50]
    said = predict(network, x)
    graph = to_graph(network)
    np.testing.assert_allclose(run(graph, {"x": x}).outputs["values"], said, rtol=ENGINE_F32)
    np.testing.assert_allclose(run_onnx(to_bytes(graph), {"x": x})["values"], said, rtol=1e-5)
    step = to_train_graph(network)
    assert str(step.specs["y"]) == "float32[batch, 2]"
    outputs = run(step, {"x": x, "y": y, "lr": np.array(0, np.float32)}).outputs
    np.testing.assert_allclose(outputs["values"], said, rtol=ENGINE_F32)
    assert float(outputs["loss"]) == pytest.approx(evaluate(network, x, y).loss, rel=1e-5)


def test_a_model_file_holds_the_scale(ink, trained, tmp_path):
    modelfile.save(tmp_path / "m.safetensors", trained[0])
    again = modelfile.load(tmp_path / "m.safetensors")
    assert again.network.outputs.names == ("left", "right")
    assert np.array_equal(
        predict(again.network, ink.x_test), predict(trained[0].network, ink.x_test)
    )
    assert again.golden["golden/y"].dtype == np.float32


def test_scale_of_the_targets_does_not_matter(ink):
    """The same data in other units is the same model, in other units."""
    scaled = dataclasses.replace(
        ink, y_train=ink.y_train * 1024 + 4096, y_test=ink.y_test * 1024 + 4096
    )
    (_, one), (_, other) = (taught(d, HIDDEN, HEAD, epochs=3) for d in (ink, scaled))
    assert other.r2 == pytest.approx(one.r2, abs=1e-3)
    assert other.rmse == pytest.approx(1024 * one.rmse, rel=1e-2)


@pytest.mark.parametrize("method", ["shallow", "bp", "fa", "dfa", "drtp"])
def test_controls_regress_too(ink, method):
    lr = 0.01 if method == "drtp" else 0.1
    _, report = taught(ink, HIDDEN, HEAD, method=method, lr=lr)
    assert report.r2 > 0.15


@pytest.mark.parametrize("method", ["bp", "fa", "dfa", "drtp"])
def test_a_control_is_the_same_as_a_graph(ink, method):
    """The Graph takes values in their units, the step those that the buffers have standardised."""
    model = workflow.new_model(recipe_of(HIDDEN, HEAD), ink)
    network, rows = model.network, np.arange(16)
    graph = to_control_graph(network, method, 0)
    control = Control(network, method, 16, 0)
    x, y = ink.x_train[rows], ink.y_train[rows]
    result = run(graph, {"x": x, "y": y, "lr": np.array(0.05, np.float32)})
    loss = control.step(*control.buffers.load(ink.x_train, ink.y_train, rows), 0.05)
    assert loss == pytest.approx(float(result.outputs["loss"]), rel=1e-5)
    for name, value in network.stored().items():
        np.testing.assert_allclose(result.states[name], value, atol=ENGINE_F32)


@pytest.mark.parametrize("method", ["bp", "fa"])
def test_controls_that_are_graphs_regress_too(ink, method):
    """An optimiser that remembers makes them Graphs, run on standardised values."""
    _, report = taught(ink, HIDDEN, HEAD, method=method, optimizer="adam", lr=0.003)
    assert report.r2 > 0.3
    assert report.rmse < ink.y_test.std(axis=0).mean()


def test_the_working_set_counts_targets_and_scale(ink):
    recipe = recipe_of(HIDDEN, HEAD)
    network = blank_network(recipe, ink.spec)
    buffers = Buffers(network, 16)
    held = sum(v.nbytes for v in vars(buffers).values() if isinstance(v, np.ndarray))
    parameters = sum(v.nbytes for v in network.stored().values())
    parameters += sum(p.nbytes for p in network.fixed())
    scales = network.normalizer.nbytes + network.outputs.nbytes
    assert training_bytes(network, recipe.train) == held + parameters + scales
    assert buffers._labels.shape == (16, 2)


def shifted(ink, factor=0.35):
    """Images of a weaker pen: the ink below is the same, what is above looks paler."""
    return ink.x_train[:300] * factor, ink.y_train[:300], ink.x_test * factor


def test_adapting_to_a_shift(ink, trained):
    network = trained[0].network
    x, y, x_test = shifted(ink)
    before = evaluate(network, x_test, ink.y_test)
    adapted, report = adapt(network, x, y, AdaptConfig(epochs=20, lr=0.05))
    assert report.kept != "none"
    assert evaluate(adapted, x_test, ink.y_test).r2 > before.r2 + 0.1
    assert report.after > report.before + 0.1


@pytest.mark.parametrize(("lr", "diverges"), [(0.8, False), (1e6, True)])
def test_adapting_that_does_harm_is_not_kept(ink, trained, lr, diverges):
    network, x, y = trained[0].network, ink.x_train[:200], ink.y_train[:200]
    adapted, report = adapt(network, x, y, AdaptConfig(lr=lr))
    assert report.kept == "none"
    assert adapted is network
    assert (report.after is None) == diverges
    assert diverges or report.after < report.before
    _, unguarded = adapt(network, x, y, AdaptConfig(lr=0.01, guard=False))
    assert unguarded.before is None


def test_there_is_no_early_exit(trained):
    with pytest.raises(ConfigError, match="a head of probabilities"):
        EarlyExits(trained[0].network, 0.9)


def test_a_run_away_is_told(ink):
    with pytest.raises(Diverged):
        taught(ink, HIDDEN, HEAD, lr=1e6)


def test_r2_of_values_that_do_not_differ_is_none(ink, trained):
    found = evaluate(trained[0].network, ink.x_test[:1], ink.y_test[:1])
    assert isinstance(found, Fit)
    assert found.r2 is None
    assert found.outputs[0].r2 is None


MISTAKES = {
    "a head of classes": ((HIDDEN, {**HEAD, "activation": "softmax"}), "activation 'linear'"),
    "too many units": ((HIDDEN, {**HEAD, "units": 3}), "a last layer of 2 units"),
    "a head of margins": ((HIDDEN, {**HEAD, "loss": "hinge"}), 'data with target = "class"'),
    "hidden layers of classes": (({**HIDDEN, "loss": "l2"}, HEAD), "a loss of values: mse, huber"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named(ink, mistake):
    layers, words = MISTAKES[mistake]
    with pytest.raises(ConfigError, match=words):
        workflow.new_model(recipe_of(*layers), ink)


def test_classes_are_not_regressed(digits):
    head = {**HEAD, "units": 10}
    with pytest.raises(ConfigError, match='data with target = "value"'):
        workflow.new_model(recipe_of(HIDDEN, head), digits)
    softmax = {"kind": "dense", "units": 10, "activation": "softmax"}
    with pytest.raises(ConfigError, match="a loss of classes: cross_entropy"):
        workflow.new_model(recipe_of(HIDDEN, softmax), digits)


def test_an_unmeasured_scale_changes_nothing():
    outputs = Outputs.blank(("a", "b"))
    network = build(recipe_of(HIDDEN, HEAD), (32,), (), None, outputs)
    assert network.width == 2
    assert outputs.restored(np.ones((1, 2), np.float32)).tolist() == [[1, 1]]


def archive(tmp_path, **arrays) -> Dataset:
    np.savez(tmp_path / "a.npz", **arrays)
    return datasets.load(Source(format="npz", path=str(tmp_path / "a.npz"), target="value"))


X = np.arange(40, dtype=np.float32).reshape(20, 2)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16, bool])
def test_values_of_an_archive(tmp_path, dtype):
    y = (np.arange(20) % 2).astype(dtype)
    found = archive(tmp_path, x=X, y=y)
    assert found.outputs == ("y",)
    assert found.classes == ()
    assert found.y_train.shape == (16, 1)
    assert found.y_train.dtype == np.float32
    assert found.spec.outputs == ("y",)


def test_several_outputs_have_names(tmp_path):
    y = np.arange(60).reshape(20, 3)
    assert archive(tmp_path, x=X, y=y).outputs == ("y1", "y2", "y3")
    named = archive(tmp_path, x_train=X, y_train=y, x_test=X, y_test=y, outputs=["a", "b", "c"])
    assert named.outputs == ("a", "b", "c")
    assert named.y_test.tolist() == y.tolist()


def test_whole_numbers_are_classes_unless_it_is_said(tmp_path):
    np.savez(tmp_path / "a.npz", x=X, y=np.arange(20) % 2.0)
    assert datasets.load(Source(format="npz", path=str(tmp_path / "a.npz"))).classes == ("0", "1")
    np.savez(tmp_path / "b.npz", x=X, y=np.arange(20) * 0.5)
    with pytest.raises(DataValueError, match="class numbers"):
        datasets.load(Source(format="npz", path=str(tmp_path / "b.npz")))


BAD = {
    "nan": ({"x": X, "y": np.where(np.arange(20) == 7, np.nan, 1.0)}, "row 8, output 1"),
    "beyond float32": ({"x": X, "y": np.geomspace(1, 1e300, 20)}, "finite numbers"),
    "words": ({"x": X, "y": np.array(["a"] * 20)}, "numbers of shape"),
    "a cube": ({"x": X, "y": np.zeros((20, 2, 2))}, "20 labels"),
    "too few": ({"x": X, "y": np.arange(19)}, "20 labels"),
    "all the same": ({"x": X, "y": np.ones(20)}, "output 'y': expected values that differ"),
    "names for others": ({"x": X, "y": np.arange(20), "outputs": ["a", "b"]}, "of 2 outputs"),
    "a name twice": (
        {"x": X, "y": np.arange(40).reshape(20, 2), "outputs": ["a", "a"]},
        "a name of its own for every output",
    ),
}


@pytest.mark.parametrize("mistake", BAD)
def test_archives_with_mistakes(tmp_path, mistake):
    arrays, words = BAD[mistake]
    with pytest.raises(DataError, match=words):
        archive(tmp_path, **arrays)


def test_other_data_has_the_same_outputs(ink, trained):
    model = trained[0]
    unnamed = dataclasses.replace(ink, outputs=("y1", "y2"))
    assert workflow.score(model, unnamed).r2 == pytest.approx(trained[1].r2)
    for outputs in (("y",), ("right", "left")):
        other = dataclasses.replace(ink, outputs=outputs)
        with pytest.raises(DataShapeError, match="the outputs of the model, left, right"):
            workflow.score(model, other)
    with pytest.raises(DataShapeError, match="training was begun with"):
        workflow.train(model, dataclasses.replace(ink, outputs=("y1", "y2")), Observer())


@pytest.mark.slow
def test_remaining_life_of_engines(data_folder):
    """C-MAPSS FD001 by a recurrent layer: errors of published networks are 12 to 18 cycles."""
    found = datasets.load(Source(name="cmapss"))
    hidden = {"kind": "mingru", "units": 32, "loss": "mse", "learn_projection": True}
    tables = {
        "dataset": {"name": "cmapss"},
        "input": {"over": "channel"},
        "layers": [hidden, {**HEAD, "units": 1, "lr_scale": 1.0}],
        "train": {**TRAIN, "epochs": 2, "lr": 0.003, "batch": 32, "optimizer": "adam"},
    }
    model = workflow.new_model(parse_recipe(tables, "recipe"), found)
    _, report = workflow.train(model, found, Observer())
    assert report.rmse < 17


def test_held_out_samples_judge_a_regression(ink):
    """The scale is that of the samples that are learned from; no accuracy is told, the loss is."""
    told = []
    recipe = recipe_of(HIDDEN, HEAD, epochs=30, validation=0.2, patience=3, lr=0.3)
    model = workflow.new_model(recipe, ink)
    _, report = workflow.train(model, ink, Observer(on_epoch=told.append))
    assert report.r2 > 0.2
    assert all(not one.accuracies and not one.held_out for one in told)
    assert all(one.held_out_loss > 0 for one in told)
    best = min(range(len(told)), key=lambda n: told[n].held_out_loss)
    assert len(told) == min(best + 1 + 3, 30)


def test_a_layer_without_guesses_tells_none(digits):
    told = []
    softmax = {"kind": "dense", "units": 10, "activation": "softmax"}
    recipe = recipe_of({"kind": "dense", "units": 8, "loss": "similarity"}, softmax, epochs=1)
    model = workflow.new_model(recipe, digits)
    workflow.train(model, digits, Observer(on_epoch=told.append))
    assert list(told[0].accuracies) == ["dense2"]


@pytest.mark.parametrize("kind", ["gru", "mingru"])
def test_sequences_are_regressed_as_they_come(ink, kind):
    """Rows of the upper half one after the other; a stream says in the end what the whole does."""
    rows = dataclasses.replace(
        ink, x_train=ink.x_train.reshape(-1, 4, 8), x_test=ink.x_test.reshape(-1, 4, 8)
    )
    layer = {"kind": kind, "units": 24, "loss": "huber", "learn_projection": True}
    tables = {"dataset": {"name": "digits"}, "input": {"over": "channel"}}
    train = {**TRAIN, "optimizer": "adam", "lr": 0.01}
    recipe = parse_recipe({**tables, "layers": [layer, HEAD], "train": train}, "recipe")
    model, report = workflow.train(workflow.new_model(recipe, rows), rows, Observer())
    assert report.r2 > 0.3
    stream, states = to_stream_graph(model.network), {}
    for step in range(4):
        result = run(stream, {"x": np.ascontiguousarray(rows.x_test[:9, step])}, states)
        states = result.states
    np.testing.assert_allclose(
        result.outputs["values"], predict(model.network, rows.x_test[:9]), rtol=1e-4
    )
