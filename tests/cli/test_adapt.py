"""`edgelearn adapt`, and answers at an early layer."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from edgelearn import modelfile


@pytest.fixture
def model(model_path, here):
    """The model of the digits, where the program looks for it."""
    return shutil.copy(model_path, here / "model.safetensors")


@pytest.fixture
def shifted(digits, here):
    """The digits upside down."""
    path = here / "shifted.npz"
    np.savez(
        path,
        x_train=digits.x_train[:300, ::-1],
        y_train=digits.y_train[:300],
        x_test=digits.x_test[:, ::-1],
        y_test=digits.y_test,
    )
    return path


def test_a_shifted_domain_is_learned(ask, model, shifted, here):
    found = ask("adapt", "--data", shifted, "--json").json
    assert found["kept"] == "all"
    assert found["test_after"] > found["test_before"] + 0.3
    adapted = modelfile.load(here / "adapted.safetensors")
    assert adapted.card["adapted"]["kept"] == "all"
    assert ask("eval", "--model", "adapted.safetensors", "--data", shifted, "--json").json[
        "accuracy"
    ] == pytest.approx(found["test_after"])


def test_what_a_person_reads(ask, model, shifted):
    done = ask("adapt", "--data", shifted, "--layers", "last")
    assert done.code == 0
    for words in ("held-out samples  75 of 300", "kept              last", "test accuracy"):
        assert words in done.out
    done = ask("adapt", "--data", shifted, "--no-guard", "--layers", "1", "--epochs", "1")
    assert "held-out" not in done.out


def test_mistakes(ask, model, shifted, here):
    ask("adapt", "--data", shifted, "--layers", "7").refused(2, "dense1, dense2", "'7'")
    ask("adapt", "--data", "no.npz").refused(2, "no.npz")
    np.savez(here / "other.npz", x=np.zeros((30, 5)), y=np.arange(30) % 3)
    ask("adapt", "--data", "other.npz").refused(4, "[64]")
    np.savez(here / "few.npz", x=np.zeros((10, 64)), y=np.arange(10) % 3)
    ask("adapt", "--data", "few.npz").refused(4, "20 or more", "got 8")
    assert not (here / "adapted.safetensors").exists()


def test_answers_at_an_early_layer(ask, model, digits, here):
    np.save(here / "x.npy", digits.x_test[:30])
    whole = ask("predict", "x.npy", "--json").json
    early = ask("predict", "x.npy", "--exit-at", "0.95", "--json").json
    assert {guess["layer"] for guess in early} == {"dense1", "dense2"}
    for before, guess in zip(whole, early, strict=True):
        if guess["layer"] == "dense2":
            assert guess["class"] == before["class"]
    line = ask("predict", "x.npy", "--exit-at", "0").out.splitlines()[0]
    assert line.split("\t")[2] == "dense1"


def test_what_early_answers_cost(ask, model):
    found = ask("eval", "--exit-at", "0.95", "--json").json
    first, last = found["exits"]
    assert first["macs"] <= found["macs"] <= last["macs"]
    assert found["all_macs"] < last["macs"]
    assert [e["layer"] for e in found["exits"]] == ["dense1", "dense2"]
    done = ask("eval", "--exit-at", "0.95")
    assert "MACs a sample" in done.out
    assert "95% sure" in done.out
