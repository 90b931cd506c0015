"""A mask is taken for what it is, and for nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgelearn import cli, modelfile
from edgelearn.config import parse_recipe
from edgelearn.datasets._masks import with_mask
from edgelearn.errors import ConfigError
from edgelearn.evaluation import predict
from edgelearn.mask_rules import check_masks

RECIPE = """
name = "sequences"
dataset = {{ format = "npz", path = "data.npz" }}
[[layers]]
kind = "mingru"
units = 4
masked = {masked}
[[layers]]
kind = "dense"
units = 2
activation = "softmax"
[train]
epochs = 1
"""


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("lengths", [True, False])
def test_masked_must_fit_the_data(tmp_path, monkeypatch, capsys, masked, lengths):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    arrays = {"x": rng.standard_normal((20, 5, 3)), "y": np.arange(20) % 2}
    if lengths:
        arrays["lengths"] = rng.integers(1, 6, 20)
    np.savez("data.npz", **arrays)
    (tmp_path / "r.toml").write_text(RECIPE.format(masked=str(masked).lower()), "utf-8")
    code = cli.run(["train", "r.toml"])
    err = capsys.readouterr().err
    if masked == lengths:
        assert code == 0
    else:
        assert code == 2
        assert f"layer 'mingru1': expected masked = {str(lengths).lower()}" in err
        assert not (tmp_path / "model.safetensors").exists()


@pytest.fixture
def sequences(tmp_path, monkeypatch, capsys):
    """Sequences of different lengths, and a model of them in the same folder."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x, lengths = rng.standard_normal((20, 5, 3)).astype(np.float32), rng.integers(1, 6, 20)
    np.savez("data.npz", x=x, y=np.arange(20) % 2, lengths=lengths)
    (tmp_path / "r.toml").write_text(RECIPE.format(masked="true"), "utf-8")
    assert cli.run(["train", "r.toml"]) == 0
    capsys.readouterr()
    return x, lengths


@pytest.mark.parametrize("key", ["x", "x_test"])
def test_an_archive_with_lengths_is_masked(sequences, capsys, key):
    x, lengths = sequences
    np.savez("new.npz", **{key: x, "lengths" + key[1:]: lengths})
    assert cli.run(["predict", "new.npz", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    network = modelfile.load(Path("model.safetensors")).network
    expected = predict(network, with_mask(x, lengths, "x"))
    assert [guess["class"] for guess in found] == [str(c) for c in expected.argmax(axis=1)]
    probabilities = [guess["probability"] for guess in found]
    np.testing.assert_allclose(probabilities, expected.max(axis=1), atol=1e-6)


def test_a_sample_without_its_mask_is_told_how(sequences, capsys):
    x, _ = sequences
    np.save("new.npy", x)
    assert cli.run(["predict", "new.npy"]) == 4
    err = capsys.readouterr().err
    assert "sample 1: expected 20 numbers (shape [5, 4]), got 15" in err
    assert "5 steps of 3 features, each with its mask after them: 1 in real steps" in err


def test_an_archive_without_samples_is_refused(sequences, capsys):
    np.savez("new.npz", z=np.zeros((3, 5, 3)))
    assert cli.run(["predict", "new.npz"]) == 4
    assert "expected an array x, or x_test, of samples, got z" in capsys.readouterr().err


HEAD = {"kind": "dense", "units": 2, "activation": "softmax"}
TOKENS = {"kind": "embedding", "vocabulary": 5, "units": 4, "masked": True, "name": "tokens"}


@pytest.mark.parametrize("forward", [True, False])
@pytest.mark.parametrize("backward", [True, False])
@pytest.mark.parametrize("returns", ["sequence", "last"])
def test_both_branches_take_the_mask_or_the_network_is_refused(forward, backward, returns):
    """Also where they read no sample, but what a layer made of it; and where they are joined."""
    cell = {"kind": "gru", "units": 4, "inputs": ["tokens"], "returns": returns}
    top = {"kind": "mingru", "units": 4, "masked": True} if returns == "sequence" else HEAD
    layers = [
        TOKENS,
        {**cell, "name": "forward", "masked": forward},
        {**cell, "name": "backward", "masked": backward, "reverse": True},
        {**top, "inputs": ["forward", "backward"]},
        HEAD,
    ]
    recipe = parse_recipe({"dataset": {"name": "digits"}, "layers": layers}, "recipe")
    if forward and backward:
        check_masks(recipe, masked=True, data="digits")
        return
    wrong = "forward" if not forward else "backward"
    with pytest.raises(ConfigError, match=f"layer '{wrong}': expected masked = true: layer 'tok"):
        check_masks(recipe, masked=True, data="digits")


def test_branches_that_differ_are_not_joined():
    """A branch that has no mask, beside one that has: the first would be taken for a feature."""
    cell = {"kind": "gru", "units": 4, "inputs": ["input"], "returns": "sequence", "masked": True}
    layers = [
        {**cell, "name": "forward"},
        {"kind": "conv1d", "filters": 4, "name": "beside", "inputs": ["input"]},
        {"kind": "mingru", "units": 4, "masked": True, "inputs": ["forward", "beside"]},
        HEAD,
    ]
    recipe = parse_recipe({"dataset": {"name": "digits"}, "layers": layers}, "recipe")
    with pytest.raises(ConfigError, match=r"layer 'beside' has no mask.*that are joined"):
        check_masks(recipe, masked=True, data="digits")
