"""`edgelearn bench`: the table of each kind, on the embedded default."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

import edgelearn
from edgelearn import cli

CONTROLS = """
[[controls]]
name = "head only"
method = "shallow"

[[controls]]
name = "backprop, relu"
method = "bp"
train = { lr = 0.2 }
hidden = { activation = "relu" }
head = { lr_scale = 1.0 }
"""
REGRESSION = """
name = "ink"
dataset = {{ format = "npz", path = "{path}", target = "value" }}
[[layers]]
kind = "dense"
units = 16
loss = "mse"
[[layers]]
kind = "dense"
units = 2
activation = "linear"
loss = "mse"
[train]
epochs = 3
lr = 0.05
[[controls]]
name = "head only"
method = "shallow"
"""
HAS_TORCH = importlib.util.find_spec("torch") is not None


@pytest.fixture
def recipe(tmp_path):
    default = Path(edgelearn.__file__).parent / "recipes" / "digits-mlp.toml"
    path = tmp_path / "recipe.toml"
    plain = default.read_text("utf-8").partition("[[controls]]")[0]
    path.write_text(plain + CONTROLS, "utf-8")
    return path


def benched(capsys, *args):
    assert cli.run(["bench", *map(str, args), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_accuracy_of_the_recipe_and_its_controls(capsys, recipe):
    rows = benched(capsys, "accuracy", recipe, "--seeds", 2, "-s", "train.epochs=4")
    assert [row["name"] for row in rows] == ["tpsgd", "head only", "backprop, relu"]
    by_name = {row["name"]: row for row in rows}
    assert all(len(set(row["accuracies"])) == 2 for row in rows), "every seed is a run of its own"
    assert by_name["tpsgd"]["mean"] > by_name["head only"]["mean"] + 0.01
    assert by_name["backprop, relu"]["mean"] > 0.9
    assert all(row["spread"] < 0.1 for row in rows)


def test_one_row_alone(capsys, recipe):
    args = ("--seeds", 1, "-s", "train.epochs=1", "--only", "head only")
    rows = benched(capsys, "accuracy", recipe, *args)
    assert [(row["name"], row["spread"]) for row in rows] == [("head only", None)]
    assert cli.run(["bench", "accuracy", str(recipe), "--only", "head-only"]) == 2
    assert "write 'head only'" in capsys.readouterr().err


def test_a_control_cannot_be_what_no_recipe_can(capsys, recipe):
    recipe.write_text(recipe.read_text("utf-8").replace("lr = 0.2", "lr = -1"), "utf-8")
    assert cli.run(["bench", "accuracy", str(recipe)]) == 2
    assert "control 'backprop, relu', [train], lr" in capsys.readouterr().err


def test_memory_grows_with_the_batch_and_less_than_that_of_backprop(capsys):
    rows = benched(capsys, "memory", "--batch", 1, "--batch", 64)
    need = {(row["name"], row["batch"]): row["beyond_bytes"] for row in rows}
    assert need["tpsgd", 64] > need["tpsgd", 1]
    parameters = 4 * (64 * 128 + 128 + 128 * 10 + 10)
    for batch in (1, 64):
        standard = need["backprop, standard", batch]
        assert standard == need["backprop, in place", batch] + parameters
        assert need["tpsgd", batch] < standard
    assert (("backprop, PyTorch", 1) in need) == HAS_TORCH


def test_speed_has_a_row_for_each_peer(capsys):
    rows = benched(capsys, "speed", "--batch", 2)
    names = ["tpsgd", "backprop, ours"] + ["backprop, PyTorch"] * HAS_TORCH
    assert [row["name"] for row in rows] == names
    assert all(0 < row["least"] <= row["seconds"] <= row["most"] for row in rows)
    assert rows[0]["times_first"] == 1


@pytest.mark.parametrize("kind", ["accuracy", "memory", "speed"])
def test_each_kind_shows_an_example(ask, kind):
    done = ask("bench", kind, "--help")
    assert done.code == 0
    assert f"  edgelearn bench {kind}" in done.out.partition("Example:")[2]


def test_errors_of_a_regression(capsys, tmp_path, ink):
    parts = {f"{a}_{p}": getattr(ink, f"{a}_{p}") for a in "xy" for p in ("train", "test")}
    np.savez(tmp_path / "ink.npz", **parts)
    path = tmp_path / "recipe.toml"
    path.write_text(REGRESSION.format(path=str(tmp_path / "ink.npz")), "utf-8")
    rows = benched(capsys, "accuracy", path, "--seeds", 2)
    assert [row["name"] for row in rows] == ["tpsgd", "head only"]
    for row in rows:
        assert row["mean"] == pytest.approx(sum(row["rmse"]) / 2)
        assert len(row["r2"]) == 2
        assert all(0 < value < 1 for value in row["r2"])
    assert rows[0]["rmse"][0] != rows[0]["rmse"][1]
    assert cli.run(["bench", "accuracy", str(path), "--seeds", "1"]) == 0
    done = capsys.readouterr()
    assert "errors on 539 test samples, 1 seed\n" in done.out
    assert "RMSE" in done.out
    assert "in 0 s" not in done.err
    assert "tpsgd, seed 0: RMSE " in done.err
