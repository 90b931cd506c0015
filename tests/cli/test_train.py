"""`edgelearn train`: what it prints, what it refuses before it starts, and how it is stopped."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from edgelearn import modelfile, workflow
from edgelearn.config import parse_recipe
from edgelearn.errors import EdgelearnError
from edgelearn.progress import Observer

KEYS = [
    *("model", "recipe", "seed", "epochs", "samples", "seconds", "samples_per_second"),
    *("accuracy", "loss", "working_set_bytes", "peak_rss_bytes", "layers", "history"),
]
QUICK = ("-s", "train.epochs=1")


def weights(path):
    return modelfile.load(path).network.stored()


def same(a, b):
    return a.keys() == b.keys() and all(a[k].tobytes() == b[k].tobytes() for k in a)


# What it gives


def test_the_default_learns_the_digits(ask, here):
    done = ask("train", "--json", "-s", "train.epochs=3")
    found = done.json
    assert list(found) == KEYS
    assert [list(layer) for layer in found["layers"]] == [
        ["name", "kind", "params", "accuracy"]
    ] * 2
    assert found["model"] == "model.safetensors"
    assert (found["recipe"], found["seed"], found["epochs"]) == ("digits-mlp", 0, 3)
    assert found["samples"] == 1258
    assert found["accuracy"] > 0.9
    assert found["layers"][-1]["accuracy"] == found["accuracy"]
    assert found["samples_per_second"] > 0
    assert found["peak_rss_bytes"] > found["working_set_bytes"] > 50_000
    assert [p.name for p in here.iterdir()] == ["model.safetensors"]
    model = modelfile.load(here / "model.safetensors")
    assert model.standing is None
    assert model.card["accuracy"] == found["accuracy"]
    assert "loss" in done.err
    assert "Traceback" not in done.err


def test_what_a_person_reads(ask):
    done = ask("train", *QUICK)
    assert done.code == 0
    for words in ("digits-mlp: test accuracy", "dense1", "8,320", "samples/s", "KiB", "peak RSS"):
        assert words in done.out
    assert "model        model.safetensors" in done.out


def test_a_recipe_with_overrides(ask, small, here):
    done = ask("train", small, "--out", "größe.safetensors", "-s", "train.seed=5", "--json")
    assert done.json["model"] == "größe.safetensors"
    assert (done.json["recipe"], done.json["seed"], done.json["samples"]) == ("small", 5, 48)
    assert modelfile.load(here / "größe.safetensors").recipe.train.seed == 5


def test_the_same_recipe_gives_the_same_bytes(ask, small, here):
    """But for what was measured: time and memory stand in the card."""
    ask("train", small, "--out", "a.safetensors")
    ask("train", small, "--out", "b.safetensors")
    assert same(weights(here / "a.safetensors"), weights(here / "b.safetensors"))


def test_other_data(ask, small, here):
    rng = np.random.default_rng(1)
    y = np.arange(45) % 3
    np.savez(here / "other.npz", x=rng.normal(size=(45, 7)), y=y, classes=np.array(["a", "b", "c"]))
    assert ask("train", small, "--data", "other.npz", "--json").json["samples"] == 36
    model = modelfile.load(here / "model.safetensors")
    assert model.network.classes == ("a", "b", "c")
    assert model.network.in_shape == (7,)
    assert model.recipe.dataset.path == "other.npz"


@pytest.mark.parametrize(
    "change",
    [
        {"x": lambda x: x > 0},
        {"x": lambda x: (x * 10).astype(np.uint8)},
        {"x": lambda x: x.astype(np.float16)},
        {"x": lambda x: x.astype(">f8")},
        {"x": lambda x: x * 1e30},
        {"x": lambda x: x[:, :1]},
        {"x": np.ones_like},
        {"x": lambda x: x.reshape(60, 5, 1, 1)},
        {"y": lambda y: y.astype(np.uint8)},
        {"y": lambda y: y.astype(float)},
    ],
)
@pytest.mark.parametrize("batch", [1, 4096])
def test_unusual_data_is_learned_without_a_warning(ask, small, here, change, batch):
    arrays = dict(np.load(here / "data.npz"))
    for key, function in change.items():
        arrays[key] = function(arrays[key])
    np.savez(here / "data.npz", **arrays)
    done = ask("train", small, "--json", "-s", f"train.batch={batch}")
    assert 0 <= done.json["accuracy"] <= 1
    assert "Warning" not in done.err


def test_classes_without_a_training_sample_are_named(ask, small, here):
    arrays = dict(np.load(here / "data.npz"), classes=np.array(["a", "b", "[c]", "rare"]))
    np.savez(here / "data.npz", **arrays)
    small.write_text(small.read_text().replace("units = 3", "units = 4"))
    done = ask("train", small)
    assert done.code == 0
    assert "note: no training sample of 1 class: 'rare'" in done.err


def test_mnist_files_as_data(ask, here, mnist_folder):
    """A folder of IDX files; one pass over 60,000 images by a very small network."""
    recipe = here / "r.toml"
    recipe.write_text(
        'dataset = { name = "mnist" }\ninput = { normalize = "minmax", over = "all" }\n'
        '[[layers]]\nkind = "dense"\nunits = 10\nactivation = "softmax"\n'
        "[train]\nepochs = 1\nbatch = 128\nlr = 0.5\n"
    )
    by_name = ask("train", recipe, "--json").json
    by_path = ask("train", recipe, "--json", "--data", mnist_folder).json
    assert by_name["accuracy"] == by_path["accuracy"] > 0.85


def test_what_is_told_of_each_epoch(ask, small, here):
    """On stderr one line a stage at least, in the report and in the file every epoch."""
    done = ask("train", small, "--json", "-s", "train.validation=0.2")
    assert [epoch["layer"] for epoch in done.json["history"]] == ["dense1"] * 2 + ["dense2"] * 2
    for epoch in done.json["history"]:
        (local,), (held_out,) = epoch["accuracies"].values(), epoch["held_out"].values()
        assert 0 <= local <= 1
        assert 0 <= held_out <= 1
    number = r"\d[\d,]*"
    line = (
        r"dense2, epoch 2/2: loss \d\.\d{4}, local accuracy \d+\.\d%, "
        rf"held-out accuracy \d+\.\d%, {number} samples/s, [\d.]+ KiB, \d+\.\d s"
    )
    assert re.search(line, done.err), done.err
    described = ask("inspect", "model.safetensors", "--json").json
    assert described["history"] == done.json["history"]
    assert "history" not in described["card"]


INFINITE = ("-s", "train.schedule=simultaneous", "-s", "train.lr_schedule=infinite")


def test_a_stage_may_end_early(ask, small):
    wide = ("-s", "train.epochs=50", "-s", "train.validation=0.2", *INFINITE)
    plain = ask("train", small, "--json", *wide).json
    early = ask("train", small, "--json", *wide, "-s", "train.patience=2").json
    assert len(plain["history"]) == 50
    assert len(early["history"]) < 50
    assert early["working_set_bytes"] > plain["working_set_bytes"]


def test_a_model_on_its_plateau_goes_on(ask, small, here):
    ask("train", small, *INFINITE)
    before = (here / "model.safetensors").read_bytes()
    more = ("train", "model.safetensors", "--json", "--out", "new.safetensors")
    done = ask(*more, "--more", 3, "--anneal", 1).json
    assert (done["epochs"], len(done["history"])) == (6, 6)
    assert (here / "model.safetensors").read_bytes() == before
    np.savez(here / "new.npz", **np.load(here / "data.npz"))
    again = ask("train", "new.safetensors", "--json", "--more", 1, "--data", "new.npz").json
    assert again["epochs"] == 7
    model = modelfile.load(here / "model.safetensors")
    assert model.recipe.dataset.path == "new.npz"


# What it refuses, before it begins


@pytest.fixture
def kept(here):
    """The program must leave these two files as they are."""
    files = {"model.safetensors": b"old model", "model.ckpt.safetensors": b"old checkpoint"}
    for name, content in files.items():
        (here / name).write_bytes(content)
    before = set(here.iterdir())
    yield
    for name, content in files.items():
        assert (here / name).read_bytes() == content
    assert {p for p in here.iterdir() if ".tmp" in p.name} <= before


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["none.toml"], ["E2003 recipe 'none.toml'", "no such file"]),
        (["."], ["E2003 recipe '.'", "directory"]),
        ([""], ["E2003 recipe"]),
        (["--data", "none.npz"], ["E2003 data 'none.npz'"]),
        (["--data", "none"], ["E2003 data 'none'"]),
        (["--data", "model.safetensors"], ["E2002 data", ".npz", "'.safetensors'"]),
        (["--data", "."], ["E2003 data folder", "train-images-idx3-ubyte"]),
        (["--out", "none/model.safetensors"], ["E2004 output", "no such file or directory"]),
        (["--out", "."], ["E2004 output '.'", "folder"]),
        (["--out", ""], ["E2004 output"]),
        (["--out", "x" * 300], ["E2004 output", "too long"]),
        (["-s", "train"], ["E2006 option -s 'train'", "train.epochs=5"]),
        (["-s", "train.epochs=abc"], ["E2001", "epochs", "'abc'"]),
        (["-s", "train.epoch=5"], ["E2001", "did you mean 'epochs'"]),
        (["-s", "layers.0.units=5"], ["E2006"]),
        (["-s", "dataset.name=minst"], ["E2002", "write 'mnist'"]),
        (["-s", "train.lr=inf"], ["E2001", "lr"]),
        (["--budget", "10"], ["E2005 recipe 'digits-mlp'", "10 bytes", "98736 bytes"]),
        (["--budget", "abc"], ["E2001 option --budget", "'abc'"]),
        (["--budget", ""], ["E2001 option --budget"]),
        (["--budget", "-5"], ["E2001 option --budget", "'-5'"]),
        (["--budget", "nan"], ["E2001 option --budget"]),
        (["--budget", "24XB"], ["E2001 option --budget", "MiB"]),
        (["model.safetensors"], ["E2006 model 'model.safetensors'", "--more", "got neither"]),
        (["model.safetensors", "--more", "1", "-s", "a.b=1"], ["E2006", "no -s"]),
        (["--anneal", "1"], ["E2006 option --anneal", "a model"]),
        (["r.toml", "--more", "1"], ["E2006 option --more", "a model"]),
        (["--resume", "--more", "1"], ["E2006 option --more", "a model"]),
        (["-s", "train.patience=2"], ["E2001", "[train], patience", "validation = 0.1"]),
        (["-s", "train.lr_schedule={kind='cosine',warmup=9999}"], ["E2001 train.lr_schedule"]),
        (["--resume", "r.toml"], ["E2006 option --resume", "no recipe"]),
        (["--resume", "-s", "train.epochs=2"], ["E2006 option --resume", "no -s"]),
        (["--resume", "--out", "new"], ["E2003 checkpoint 'new.ckpt.safetensors'", "begin anew"]),
    ],
)
def test_mistakes_in_what_is_asked(ask, args, words):
    ask("train", *args).refused(2, *words)


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("args", [["--json"], []])
def test_a_damaged_checkpoint(ask, args):
    ask("train", "--resume", *args).refused(3, "E3001 model 'model.ckpt.safetensors'")


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize(
    ("old", "new", "code", "words"),
    [
        ("units = 3", "units = 4", 2, ["layer 'dense2'", "3 units", "4 units"]),
        ("units = 3", "units = 0", 2, ["[[layers]] 2, units", ">= 1"]),
        ("softmax", "tanh", 2, ["no softmax", 'activation = "softmax"']),
        ("units = 6", 'units = 6\nactivation = "softmax"', 2, ["last layer only"]),
        ("units = 6", "unit = 6", 2, ["[[layers]] 1", "did you mean 'units'"]),
        ("[[layers]]", "[layers]", 2, ["TOML"]),
        ("data.npz", "none.npz", 2, ["E2003 data 'none.npz'"]),
        ("npz", "zip", 2, ["E2002", "npz"]),
    ],
)
def test_mistakes_in_a_recipe(ask, small, old, new, code, words):
    text = small.read_text()
    assert old in text
    small.write_text(text.replace(old, new))
    done = ask("train", small)
    done.refused(code, *words)


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (
            {"x": np.where(np.eye(60, 5) > 0, np.nan, 1)},
            ["E4002", "row 1, feature 1", "nan (5 such"],
        ),
        ({"x": np.full((60, 5), 1e39)}, ["E4002", "1e+39"]),
        ({"x": np.ones((60, 5), complex)}, ["E4001", "complex128"]),
        ({"x": np.ones((59, 5))}, ["E4001", "59 labels"]),
        ({"y": np.zeros(60, int)}, ["E4002", "two classes"]),
        ({"y": np.array(["a"] * 60)}, ["E4002", "'classes'"]),
        ({"y": np.arange(60) * 10**9}, ["E4002", "row 2"]),
    ],
)
def test_mistakes_in_the_data(ask, small, here, arrays, words):
    np.savez(here / "data.npz", **dict(np.load(here / "data.npz")) | arrays)
    ask("train", small, "--json").refused(4, "data 'data", *words)


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_run_that_diverges_saves_nothing(ask, small, flags):
    small.write_text(small.read_text().replace("units = 6", 'units = 6\nactivation = "relu"'))
    ask("train", small, "-s", "train.lr=1e38", *flags).refused(3, "E3005", "lower train.lr")


@pytest.mark.usefixtures("kept")
def test_a_truncated_archive(ask, small, here):
    content = (here / "data.npz").read_bytes()
    (here / "data.npz").write_bytes(content[: len(content) // 2])
    ask("train", small).refused(4, "E4003 data 'data.npz'")


def test_nothing_is_trained_when_the_output_cannot_be_written(ask, monkeypatch):
    """Hours of work must not end in "no such folder"."""
    monkeypatch.setattr(workflow, "train", lambda *_: pytest.fail("trained"))
    monkeypatch.setattr("edgelearn.datasets.load", lambda *_: pytest.fail("loaded"))
    ask("train", "--out", "none/model.safetensors").refused(2, "E2004")


def test_a_budget_says_what_would_fit(ask, small):
    """The batch that the message names fits, and one more does not."""
    need = ask("train", small, "--json").json["working_set_bytes"]
    assert ask("train", small, "--budget", need).code == 0
    done = ask("train", small, "--budget", need - 1)
    done.refused(2, "E2005", f"at most {need - 1} bytes", f"{need} bytes at batch 8")
    less = need - 100
    batch = int(re.search(r"train\.batch=(\d+) fits", ask("train", small, "--budget", less).err)[1])
    assert batch < 8
    fitting = ask("train", small, "--budget", less, "-s", f"train.batch={batch}", "--json")
    assert fitting.json["working_set_bytes"] <= less
    ask("train", small, "--budget", less, "-s", f"train.batch={batch + 1}").refused(2, "E2005")
    ask("train", small, "--budget", "10 B").refused(2, "use fewer units")
    assert ask("train", small, "--budget", "24MB").code == 0


def test_a_full_disk_keeps_the_old_model(ask, small, here, monkeypatch):
    ask("train", small)
    before = (here / "model.safetensors").read_bytes()

    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    done = ask("train", small, "-s", "train.seed=1")
    assert done.code == 2
    assert "E2004 output 'model.safetensors'" in done.err
    assert (here / "model.safetensors").read_bytes() == before
    assert not list(here.glob(".*.tmp"))


# Signals

LONG = ("-s", "train.epochs=40", "-s", "train.batch=4")


@pytest.fixture(scope="module")
def uninterrupted(digits):
    """The weights of the long run without a stop."""
    recipe = workflow.embedded_recipe(LONG[1::2])
    from edgelearn.progress import Observer

    model, _ = workflow.train(workflow.new_model(recipe, digits), digits, Observer())
    return model.network.stored()


def after_first_progress(process):
    """Wait until the first layer is trained; the second takes about as long."""
    timer = threading.Timer(60, process.kill)
    timer.start()
    line = process.stderr.readline()
    timer.cancel()
    assert line.startswith("dense1, epoch 40/40"), line


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_a_signal_leaves_a_checkpoint(started, ask, here, uninterrupted, number, code):
    (here / "model.safetensors").write_bytes(b"old model")
    process = started("train", "--json", *LONG)
    after_first_progress(process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert out == ""
    assert err.splitlines()[-1] == (
        "stopped; go on with: edgelearn train --resume --out model.safetensors"
    )
    assert "Traceback" not in err
    assert (here / "model.safetensors").read_bytes() == b"old model"
    checkpoint = modelfile.load(here / "model.ckpt.safetensors")
    assert checkpoint.standing.progress.stage == 1
    assert not same(checkpoint.network.stored(), uninterrupted)
    done = ask("train", "--resume", "--json")
    assert list(done.json) == KEYS
    assert same(weights(here / "model.safetensors"), uninterrupted)
    assert [p.name for p in here.iterdir()] == ["model.safetensors"]


def test_a_run_can_be_stopped_again_and_again(started, here, uninterrupted):
    """Wherever it is stopped, also before the first step: the end is the same."""
    arguments = ("train", *LONG)
    for stops in range(20):
        process = started(*arguments)
        time.sleep(1.0 + 0.4 * stops)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        if (here / "model.safetensors").exists():
            break  # done, even if the signal came while the interpreter ended
        assert process.returncode == 130
        if (here / "model.ckpt.safetensors").exists():
            modelfile.load(here / "model.ckpt.safetensors")
            arguments = ("train", "--resume")
    assert same(weights(here / "model.safetensors"), uninterrupted)


def test_resuming_with_other_data_is_refused(started, ask, here, small):
    process = started("train", *LONG)
    after_first_progress(process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143
    ask("train", "--resume", "--data", "data.npz").refused(4, "E4001", "classes of the model")
    assert (here / "model.ckpt.safetensors").exists()


SAVING = """
from pathlib import Path
from edgelearn.files import write_atomic
contents = [Path(name).read_bytes() for name in ("a.safetensors", "b.safetensors")]
print("ready", flush=True)
while True:
    for content in contents:
        write_atomic(Path("model.safetensors"), content)
"""


def test_a_kill_never_leaves_a_damaged_model(ask, small, here):
    """Power may fail at any moment: the old model stands there, or the new one."""
    for name, seed in (("a", 1), ("b", 2)):
        arguments = ("-s", f"train.seed={seed}", "--out", f"{name}.safetensors")
        assert ask("train", small, *arguments).code == 0
        model = modelfile.load(here / f"{name}.safetensors")
        large = {**model.golden, "large": np.full(1 << 21, seed, np.float32)}  # writing takes time
        modelfile.save(here / f"{name}.safetensors", replace(model, golden=large))
    known = [weights(here / "a.safetensors"), weights(here / "b.safetensors")]
    rng = np.random.default_rng(0)
    for wait_s in (*rng.uniform(0.0, 0.06, 8), 2.0):  # the last one is whole on any machine
        with subprocess.Popen(
            [sys.executable, "-c", SAVING], cwd=here, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout.readline() == "ready\n"
            time.sleep(wait_s)
            process.kill()
        if (here / "model.safetensors").exists():
            found = weights(here / "model.safetensors")
            assert any(same(found, one) for one in known)
    assert (here / "model.safetensors").exists()


def test_a_kill_while_training_leaves_the_old_model(started, here):
    (here / "model.safetensors").write_bytes(b"old model")
    process = started("train", *LONG)
    after_first_progress(process)
    process.kill()
    process.communicate()
    assert (here / "model.safetensors").read_bytes() == b"old model"
    assert [p.name for p in here.iterdir()] == ["model.safetensors"]


def test_a_failure_while_saving_is_no_success(ask, small, here, monkeypatch):
    def fail(*_args):
        raise EdgelearnError("here", expected="this", got="that", fix="so")

    monkeypatch.setattr(modelfile, "save", fail)
    done = ask("train", small, "--json")
    assert done.code == 3
    assert done.out == ""
    assert not (here / "model.safetensors").exists()


def test_json_is_one_document_also_through_a_pipe(spawn, small):
    done = spawn("train", small, "--json")
    assert [key for key in json.loads(done.out) if key != "note"] == KEYS


# Recipes by name, and what is said of a run


def test_a_shipped_recipe_by_its_name(ask, here):
    assert ask("train", "digits-mlp", *QUICK, "--json").json["recipe"] == "digits-mlp"
    ask("train", "digits-mpl").refused(2, "recipe 'digits-mpl'", "fashion-cnn", "'digits-mlp'")
    ask("train", "none.toml").refused(2, "recipe 'none.toml'", "the name of a shipped one")
    ask("train", "digits-mlp", "-s", "train.epoch=1").refused(2, "recipe 'digits-mlp', [train]")
    (here / "digits-mlp").mkdir()
    ask("train", "digits-mlp").refused(2, "recipe 'digits-mlp'", "directory")


def test_more_samples_than_there_are(ask, here):
    done = ask("train", *QUICK, "-s", "dataset.samples=5000", "--json")
    assert done.json["samples"] == 1258
    assert done.err.count("note: 5,000 samples are asked for, the data has 1,258\n") == 1
    assert "asked for" not in ask("train", *QUICK, "-s", "dataset.samples=1258").err


@pytest.mark.parametrize(
    ("lr", "words"),
    [
        (500, "it is too sure of wrong answers: a test loss of"),
        (0.5, None),
    ],
)
def test_a_run_that_did_not_learn_says_so(ask, here, lr, words):
    recipe = "-s", f"train.lr={lr}", "-s", "train.epochs=2", "-s", "train.optimizer=sgd"
    done = ask("train", *recipe, "--json")
    if words is None:
        assert "note" not in done.json
        assert "note" not in done.err
    else:
        assert words in done.json["note"]
        assert f"note: {words}" in done.err
        assert f"another train.lr (it is {lr:g})" in done.err


def test_labels_that_mean_nothing_are_not_learned(digits):
    """More right answers than those of one class, but no more than luck gives."""
    y = np.random.default_rng(3).permutation(digits.y_test)
    model = workflow.new_model(workflow.embedded_recipe(QUICK[1:]), digits)
    _, report = workflow.train(model, replace(digits, y_test=y), Observer())
    assert re.match(r"it did not learn: test accuracy \d+\.\d+% is about that of", report.note)


def test_a_regression_that_did_not_learn_says_so(ink, here):
    layers = [{"kind": "dense", "units": 2, "activation": "linear", "loss": "mse"}]
    tables = {"dataset": {"name": "digits"}, "layers": layers, "train": {"epochs": 1, "lr": 1e-9}}
    model = workflow.new_model(parse_recipe(tables, "recipe"), ink)
    _, report = workflow.train(model, ink, Observer())
    assert report.r2 <= 0
    assert "no better than always saying the mean" in report.note


def test_a_termination_before_a_run_is_one_line(started, model_path):
    """Wherever the program is: here it waits for samples."""
    process = started("predict", "--model", model_path, "-")
    process.stdin.write(",".join(["0"] * 64) + "\n")
    process.stdin.flush()
    assert process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (143, "terminated\n")
