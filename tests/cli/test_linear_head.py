"""A linear head from training to a verified export: it tells scores, and says so."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edgelearn.runtimes.onnx import run_onnx


@pytest.fixture
def machine(ask, small):
    """A trained support vector machine."""
    text = small.read_text().replace(
        'activation = "softmax"', 'activation = "linear"\nloss = "hinge"'
    )
    small.write_text(text)
    return ask("train", small, "--json").json


def test_it_is_trained_and_evaluated(ask, machine):
    assert machine["accuracy"] > 0.4
    report = ask("eval", "--json").json
    assert report["loss"] == pytest.approx(machine["loss"])
    assert report["accuracy"] == machine["accuracy"]


def test_it_predicts_scores(ask, machine, here):
    x = np.load(here / "data.npz")["x"]
    np.save(here / "x.npy", x)
    found = ask("predict", "x.npy", "--json").json
    assert set(found[0]) == {"class", "score"}
    assert any(not 0 <= one["score"] <= 1 for one in found)
    ask("predict", "x.npy", "--exit-at", "0.9").refused(2, "E2001", "a head of probabilities")


def test_both_phases_are_exported(ask, machine, here):
    assert ask("export", "m.onnx", "--json").code == 0
    assert ask("export", "t.onnx", "--phase", "train", "--json").code == 0
    x = np.load(here / "data.npz")["x"].astype(np.float32)
    scores = run_onnx(here / "m.onnx", {"x": x})["scores"]
    np.save(here / "x.npy", x)
    said = [one["class"] for one in ask("predict", "x.npy", "--json").json]
    assert [str(c) for c in scores.argmax(axis=1)] == said
    feeds = {"x": x, "y": np.arange(60) % 3, "lr": np.array(0, np.float32)}
    outputs = run_onnx(here / "t.onnx", feeds)
    np.testing.assert_allclose(outputs["scores"], scores, atol=1e-5)
    side = 2 * np.eye(3)[feeds["y"]] - 1
    assert float(outputs["loss"]) == pytest.approx(np.maximum(0, 1 - side * scores).sum(1).mean())
    facts = json.loads(ask("inspect", "m.onnx", "--json").out)
    assert facts["phases"][0]["outputs"] == {"scores": "float32[batch, 3]"}
