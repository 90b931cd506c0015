"""`edgelearn prune`, and the sparsity that `edgelearn inspect` shows."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from edgelearn import modelfile


@pytest.fixture
def model(model_path, here):
    """The model of the digits, where the program looks for it."""
    return shutil.copy(model_path, here / "model.safetensors")


def test_a_model_is_pruned_and_taught_again(ask, model, here):
    done = ask("prune", "--sparsity", "0.9", "--pattern", "1x4", "--retrain", "2", "--json")
    found = done.json
    assert found["model"] == "pruned.safetensors"
    assert found["sparsity"] == pytest.approx(0.9, abs=1e-3)
    assert found["nonzero"] == round(found["parameters"] * (1 - found["sparsity"]))
    assert found["accuracy_before"] > 0.9
    assert len(found["accuracy_after_retrain"]) == 2
    assert found["accuracy_after_retrain"][-1] > found["accuracy_after_prune"]
    assert "epoch 2/2" in done.err
    pruned = modelfile.load(here / "pruned.safetensors")
    assert np.count_nonzero(pruned.network.blocks[0].params["w"]) == found["nonzero"]
    assert pruned.recipe == modelfile.load(here / "model.safetensors").recipe
    again = ask("eval", "--model", "pruned.safetensors", "--json").json
    assert again["accuracy"] == found["accuracy_after_retrain"][-1]


def test_what_a_person_reads(ask, model):
    done = ask("prune", "--sparsity", "0.8", "--schedule", "gradual", "--retrain", "3")
    assert done.code == 0
    for words in ("before", "pruned", "epoch 3", "dense1.w   80.00%", "1,638 of 8,192"):
        assert words in done.out


def test_inspect_shows_sparsity_by_matrix(ask, model):
    assert ask("prune", "--sparsity", "0.75", "--out", "p.safetensors").code == 0
    found = ask("inspect", "p.safetensors", "--json").json
    for phase in found["phases"]:
        assert phase["sparsity"] == {"dense1.w": 0.75}
    assert "dense1.w: 75.00%" in ask("inspect", "p.safetensors").out
    assert ask("inspect", model, "--json").json["phases"][0]["sparsity"] == {}


def test_a_pruned_file_is_smaller(ask, model, here):
    ask("prune", "--sparsity", "0.95", "--pattern", "1x4", "--out", "p.safetensors")
    weights = 64 * 128 * 4
    assert (here / "p.safetensors").stat().st_size < model.stat().st_size - 0.7 * weights


@pytest.mark.parametrize("phase", ["infer", "train"])
def test_what_is_exported_is_small_and_judged(ask, model, here, phase):
    """The gate compares it with the interpreter on real samples, weights after the step too."""
    assert ask("prune", "--sparsity", "0.9", "--out", "p.safetensors").code == 0
    names, options = ("s.onnx", "d.onnx"), ("--model", "p.safetensors", "--phase", phase)
    small = ask("export", names[0], *options, "--json").json
    large = ask("export", names[1], *options, "--json", "--dense").json
    assert small["refused"] == large["refused"] == []
    assert small["bytes"] == (here / names[0]).stat().st_size < 0.6 * large["bytes"]
    assert small["dense_bytes"] == large["dense_bytes"] == large["bytes"]
    shown = [ask("inspect", name, "--json").json["phases"][0] for name in names]
    ours = {p["phase"]: p for p in ask("inspect", "p.safetensors", "--json").json["phases"]}
    for found in (*shown, ours[phase]):
        assert found["sparsity"]["dense1.w"] == pytest.approx(0.9, abs=1e-3)
    assert shown[0]["ops"]["SparseMatMul"] == 1
    assert ours[phase]["ops"]["SparseMatMul"] == 1
    assert ("ApplyMask" in shown[1]["ops"]) == (phase == "train")
    assert "times smaller than dense" in ask("export", names[0], *options).out


def test_budgets_see_the_size_of_the_sparse_file(ask, model, here):
    ask("prune", "--sparsity", "0.9", "--out", "p.safetensors")
    size = ask("export", "s.onnx", "--model", "p.safetensors", "--json").json["bytes"]
    head = '[check]\ntargets = []\n[[check.model]]\nname = "m"\nfile = "p.safetensors"\n'
    for limit, code in ((size, 0), (size - 1, 1)):
        budget = f"[check.model.budget]\nexport.onnx.size = {limit}\n"
        (here / "edgelearn.toml").write_text(head + budget, "utf-8")
        assert ask("check").code == code


def test_mistakes(ask, model, here):
    ask("prune").refused(2, "--sparsity")
    ask("prune", "--sparsity", "1").refused(2, "no weight stays")
    ask("prune", "--sparsity", "0.99999").refused(2, "empty")
    ask("prune", "--sparsity", "0.5", "--scope", "hh").refused(2, "recurrent layers")
    ask("prune", "--sparsity", "0.5", "--pattern", "1x5").refused(2, "1x16", "write '1x4'")
    ask("prune", "--sparsity", "0.5", "--schedule", "gradual").refused(2, "--retrain 10")
    ask("prune", "--sparsity", "0.5", "--model", "no.safetensors").refused(2, "no.safetensors")
    np.savez(here / "other.npz", x=np.zeros((30, 5)), y=np.arange(30) % 3)
    ask("prune", "--sparsity", "0.5", "--data", "other.npz").refused(4, "[64]")
    assert not (here / "pruned.safetensors").exists()
