"""A regression from the command line: data, training, errors, values, exports, budgets."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edgelearn import modelfile
from edgelearn.runtimes.onnx import run_onnx

RECIPE = """name = "ink"
dataset = { format = "npz", path = "ink.npz", target = "value" }
[[layers]]
kind = "dense"
units = 32
loss = "mse"
gain = 1.0
[[layers]]
kind = "dense"
units = 2
activation = "linear"
loss = "mse"
lr_scale = 0.2
[train]
epochs = 10
batch = 16
lr = 0.1
schedule = "simultaneous"
"""


@pytest.fixture
def recipe(ink, here):
    parts = {key: getattr(ink, key) for key in ("x_train", "y_train", "x_test", "y_test")}
    np.savez(here / "ink.npz", **parts, outputs=ink.outputs)
    (here / "ink.toml").write_text(RECIPE)
    return here / "ink.toml"


@pytest.fixture
def report(ask, recipe):
    return ask("train", recipe, "--json").json


def test_training_tells_errors(ask, report, recipe):
    assert {"rmse", "mae", "r2", "loss"} <= report.keys()
    assert "accuracy" not in report
    assert [set(layer) for layer in report["layers"]] == [{"name", "kind", "params", "r2"}] * 2
    shown = ask("train", recipe).out
    assert "test RMSE" in shown
    assert "R2 of its readout" in shown


def test_evaluation(ask, report):
    found = ask("eval", "--json").json
    assert {key: found[key] for key in ("rmse", "mae", "r2")} == {
        key: report[key] for key in ("rmse", "mae", "r2")
    }
    assert [one["name"] for one in found["outputs"]] == ["left", "right"]
    shown = ask("eval").out
    assert "errors, in the units of the data" in shown
    assert ask("eval", "--fail-under", "0.1").code == 0
    assert ask("eval", "--fail-under", "0.99", "--json").code == 1
    ask("eval", "--data", "ink.npz", "--exit-at", "0.9").refused(2, "a head of probabilities")
    assert ask("eval", "--data", "ink.npz", "--json").json["r2"] == report["r2"]


def test_values_are_predicted_and_exported_in_their_units(ask, report, ink, here):
    np.save(here / "x.npy", ink.x_test)
    found = ask("predict", "x.npy", "--json").json
    assert list(found[0]) == ["left", "right"]
    values = np.array([list(one.values()) for one in found])
    rmse = np.sqrt(((values - ink.y_test) ** 2).mean(axis=0)).mean()
    assert rmse == pytest.approx(report["rmse"], rel=1e-4)
    assert ask("export", "m.onnx", "--json").code == 0
    assert ask("export", "--phase", "train", "t.onnx", "--json").code == 0
    by_runtime = run_onnx(here / "m.onnx", {"x": ink.x_test})["values"]
    np.testing.assert_allclose(by_runtime, values, rtol=1e-4)
    facts = json.loads(ask("inspect", "t.onnx", "--json").out)
    assert facts["phases"][0]["inputs"]["y"] == "float32[batch, 2]"
    assert facts["outputs"] == ["left", "right"]


def test_an_exported_step_learns_alone(ask, recipe, ink, here):
    """The loop of the README, from an untrained file on."""
    ask("train", recipe, "-s", "train.epochs=1", "-s", "train.lr=1e-6")
    assert ask("export", "--phase", "train", "t.onnx", "--json").code == 0
    states = {s.input: s.output for s in _states(here / "model.safetensors")}
    weights = {}

    def step(x, y, lr):
        return run_onnx(here / "t.onnx", {"x": x, "y": y, "lr": np.float32(lr)[...], **weights})

    before = float(step(ink.x_test, ink.y_test, 0)["loss"])
    for start in range(0, 1200, 16):
        rows = slice(start, start + 16)
        out = step(ink.x_train[rows], ink.y_train[rows], 0.1)
        weights = {name: out[after] for name, after in states.items()}
    assert float(step(ink.x_test, ink.y_test, 0)["loss"]) < 0.85 * before


def _states(path):
    return modelfile.to_bundle(modelfile.load(path)).graphs["train"].states


def test_budgets(ask, report, here):
    assert ask("check", "--init").code == 0
    text = (here / "edgelearn.toml").read_text()
    assert "r2.min" in text
    assert "accuracy" not in text
    checks = ask("check", "--json").json["checks"]
    assert {c["metric"]: c["value"] for c in checks}["r2.min"] == report["r2"]
    (here / "edgelearn.toml").write_text(text.replace("r2.min", "accuracy.min"))
    ask("check").refused(2, "accuracy.min", "'accuracy' in the record")


def test_adapting(ask, report, ink, here):
    shifted = {"x": ink.x_train[:300] * 0.35, "y": ink.y_train[:300]}
    np.savez(here / "shifted.npz", **shifted)
    found = ask("adapt", "--data", "shifted.npz", "--json").json
    assert found["test_after"] > found["test_before"]
    assert "test R2" in ask("adapt", "--data", "shifted.npz").out


def test_a_run_can_be_planned_and_begun_with_other_data(ask, recipe, here, ink):
    budget = '[[check.model]]\nname = "ink"\nrecipe = "ink.toml"\n[check.model.budget]\n'
    (here / "edgelearn.toml").write_text(f"{budget}train.working_set = '1 MB'\n")
    planned = ask("check", "--json").json["checks"][0]["value"]
    assert planned == ask("train", recipe, "--json").json["working_set_bytes"]
    one = {"x": ink.x_train, "y": ink.y_train[:, 0]}
    np.savez(here / "one.npz", **one)
    ask("train", recipe, "--data", "one.npz").refused(2, "a last layer of 1 units")


def test_mistakes(ask, recipe):
    recipe.write_text(RECIPE.replace(', target = "value"', ""))
    ask("train", recipe).refused(4, "E4001")
    recipe.write_text(RECIPE.replace('"value"', '"values"'))
    ask("train", recipe).refused(2, "class, value")
    recipe.write_text(RECIPE.replace('format = "npz", path = "ink.npz"', 'name = "digits"'))
    ask("train", recipe).refused(2, "beside format")


def test_benchmarks(ask, recipe):
    ask("bench", "accuracy", recipe).refused(2, "expected a classifier")
    done = ask("bench", "memory", recipe, "--json")
    assert done.code == 0
    assert "no row of PyTorch: its twin has a softmax head" in done.err or "install" in done.err
    assert {row["name"] for row in json.loads(done.out)} >= {"tpsgd"}


def test_a_pruned_regression_is_judged_by_r2(ask, report, here):
    found = ask("prune", "--sparsity", "0.8", "--retrain", "3", "--json").json
    assert found["accuracy_before"] == pytest.approx(report["r2"])
    assert found["accuracy_after_retrain"][-1] > found["accuracy_after_prune"]
    assert "test R2" in ask("prune", "--sparsity", "0.8").out


def test_integers_are_judged_by_the_error(ask, report):
    found = ask("export", "small.onnx", "--int8", "full", "--max-drop", "20", "--json").json["int8"]
    assert found["mark"] == "rmse"
    assert found["before"] == pytest.approx(report["rmse"], rel=1e-4)
    assert found["drop"] == pytest.approx(100 * (found["after"] / found["before"] - 1))
    ask("export", "again.onnx", "--int8", "full", "--max-drop", "0").refused(1, "per cent", "rmse")
