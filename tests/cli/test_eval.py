"""`edgelearn eval`: accuracy, confusion, and models and data that do not fit."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest

from edgelearn import modelfile
from edgelearn.ir import Builder, store
from edgelearn.ir.store import Bundle

KEYS = ["model", "accuracy", "loss", "samples", "confusion", "layers"]


@pytest.fixture
def model(model_path, here):
    """The model of the digits, where the program looks for it."""
    return shutil.copy(model_path, here / "model.safetensors")


@pytest.fixture
def small_model(ask, small, here):
    """A model of three classes and five features."""
    assert ask("train", small).code == 0
    return here / "model.safetensors"


def test_json(ask, model, trained):
    found = ask("eval", "--json").json
    assert list(found) == KEYS
    assert found["samples"] == 539
    confusion = np.array(found["confusion"])
    assert confusion.shape == (10, 10)
    assert confusion.sum() == 539
    assert np.trace(confusion) / 539 == pytest.approx(found["accuracy"])
    assert found["accuracy"] == trained.card["accuracy"]
    assert found["loss"] == pytest.approx(trained.card["loss"])
    assert [layer["name"] for layer in found["layers"]] == ["dense1", "dense2"]


def test_what_a_person_reads(ask, model):
    done = ask("eval")
    assert done.code == 0
    assert done.err == ""
    for words in ("accuracy ", "539 samples", "dense2", "true class"):
        assert words in done.out


@pytest.mark.parametrize("limit", ["0", "0.5"])
def test_a_threshold_that_is_met(ask, model, limit):
    assert ask("eval", "--fail-under", limit).code == 0


@pytest.mark.parametrize("limit", ["1", "0.9999", "nan"])
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_threshold_that_is_not_met(ask, model, limit, flags):
    done = ask("eval", "--fail-under", limit, *flags)
    assert done.code == 1
    assert done.err.startswith("E1002 model 'model.safetensors': expected an accuracy")
    assert len(done.err.splitlines()) == 1
    assert "accuracy" in done.out


def test_a_threshold_that_is_just_met(ask, model):
    accuracy = ask("eval", "--json").json["accuracy"]
    assert ask("eval", "--fail-under", accuracy).code == 0
    assert ask("eval", "--fail-under", np.nextafter(accuracy, 1)).code == 1


# Models


@pytest.mark.parametrize(
    ("name", "content", "code", "words"),
    [
        ("none.safetensors", None, 2, ["E2003 model", "no such file", "edgelearn train"]),
        (".", None, 2, ["E2003 model '.'", "a folder"]),
        ("empty.safetensors", b"", 3, ["E3001 model", "longer than the file"]),
        ("text.safetensors", b"hello, world", 3, ["E3001 model", "damaged"]),
        ("model.pickle", b"\x80\x04\x95\x0b\0\0\0\0\0\0\0\x8c\x05hello\x94.", 3, ["E3001"]),
        ("list.safetensors", b"\x02\0\0\0\0\0\0\0[]", 3, ["E3001"]),
    ],
)
def test_files_that_are_no_model(ask, here, name, content, code, words):
    if content is not None:
        (here / name).write_bytes(content)
    ask("eval", "--model", name, "--json").refused(code, *words)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_model(ask, model, here, part):
    content = model.read_bytes()
    model.write_bytes(content[: int(part * len(content))])
    ask("eval").refused(3, "E3001 model 'model.safetensors'", "train or copy the model again")


def test_a_model_with_a_flipped_bit(ask, model):
    content = bytearray(model.read_bytes())
    content[-100] ^= 1
    model.write_bytes(bytes(content))
    ask("eval").refused(3, "E3001", "digest")


def test_a_model_of_another_program(ask, here):
    from safetensors.numpy import save_file

    save_file({"w": np.zeros(3, np.float32)}, here / "model.safetensors", {"format": "pt"})
    ask("eval").refused(3, "E3001", "another program")


def test_a_graph_that_is_no_model(ask, here):
    b = Builder("g")
    graph = b.graph([b.unary("neg", b.input("x", (-1, 2)))])
    store.write(here / "model.safetensors", Bundle({"infer": graph}, {"classes": ["a"]}))
    ask("eval").refused(3, "E3001", "'recipe'")


# Data


def test_other_data(ask, small_model, here):
    rng = np.random.default_rng(1)
    y = np.arange(40) % 3
    np.savez(here / "other.npz", x=rng.normal(size=(40, 5)) + np.eye(3, 5)[y] * 4, y=y)
    found = ask("eval", "--data", "other.npz", "--json").json
    assert found["samples"] == 8
    assert len(found["confusion"]) == 3


def test_data_that_lacks_the_last_classes(ask, small_model, here):
    np.savez(here / "two.npz", x=np.random.default_rng(1).normal(size=(40, 5)), y=np.arange(40) % 2)
    assert len(ask("eval", "--data", "two.npz", "--json").json["confusion"]) == 3


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": np.ones((60, 4))}, ["E4001", "shape [5]", "[4]"]),
        ({"x": np.ones((60, 5, 1))}, ["E4001", "[5, 1]"]),
        ({"y": np.arange(60) % 4}, ["E4001", "classes of the model, 0, 1, 2, got 0, 1, 2, 3"]),
        ({"classes": np.array(["a", "b", "c"])}, ["E4001", "got a, b, c"]),
        ({"x": np.full((60, 5), np.nan)}, ["E4002", "row 1, feature 1"]),
    ],
)
def test_data_that_does_not_fit(ask, small_model, here, arrays, words):
    np.savez(here / "other.npz", **dict(np.load(here / "data.npz")) | arrays)
    ask("eval", "--data", "other.npz").refused(4, *words)


def test_the_data_of_the_recipe_is_gone(ask, small_model, here):
    (here / "data.npz").unlink()
    ask("eval").refused(2, "E2003 data 'data.npz'")


def test_probabilities_that_are_not_finite(ask, small, here):
    small.write_text(small.read_text().replace("units = 6", 'units = 6\nactivation = "relu"'))
    ask("train", small)
    loaded = modelfile.load(here / "model.safetensors")
    for value in loaded.network.stored().values():
        np.multiply(value, np.float32(1e30), out=value)
    modelfile.save(here / "model.safetensors", loaded)
    np.savez(here / "large.npz", x=np.full((60, 5), 3e38), y=np.arange(60) % 3)
    ask("eval", "--data", "large.npz", "--json").refused(3, "E3005", "finite probabilities")
    np.save(here / "large.npy", np.full((1, 5), 3e38))
    ask("predict", "large.npy", "--json").refused(4, "E4002 large.npy, sample 1", "not finite")


@pytest.mark.parametrize(
    "names",
    [["true class", "true", "[/red]"], [":smile:", "[bold]", "\u00e4"], ["a" * 90, "b", ""]],
)
def test_names_of_classes_are_shown_as_they_are(ask, small, here, names):
    np.savez(here / "data.npz", **np.load(here / "data.npz"), classes=np.array(names))
    assert ask("train", small).code == 0
    done = ask("eval")
    assert done.code == 0
    table = done.out.partition("confusion")[2].splitlines()[2:]
    assert re.split(r"\s{2,}", table[0].strip()) == ["true class", *filter(None, names)]
    assert [line.split("  ")[0].strip() for line in table[2:5]] == names
    assert ask("eval", "--json").code == 0


# Where the result goes


def test_a_reader_that_has_seen_enough(started, model):
    process = started("eval")
    process.stdin.close()
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(60) == 0


@pytest.mark.parametrize("args", [["eval"], ["eval", "--json"], ["train", "--help"]])
def test_a_full_disk_is_no_success(started, model, args):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        process = started(*args, stdout=full)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err.startswith("E2004 output: ")
    assert len(err.splitlines()) == 1
