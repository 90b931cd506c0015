"""`edgelearn export` as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from edgelearn.cli import run
from edgelearn.export.onnx_reader import read_bundle
from edgelearn.runtimes.onnx import run_onnx

KEYS = {"path", "format", "bytes", "dense_bytes", "max_abs_error", "runtimes", "refused"}


def last_line(text):
    return text.strip().splitlines()[-1]


@pytest.mark.parametrize("phase", ["infer", "train"])
def test_json_says_what_was_verified(phase, model_path, tmp_path, capsys):
    out = tmp_path / "model.onnx"
    code = run(["export", str(out), "--model", str(model_path), "--phase", phase, "--json"])
    assert code == 0
    found = json.loads(capsys.readouterr().out)
    assert found.keys() == KEYS
    assert found["format"] == "onnx"
    assert found["bytes"] == out.stat().st_size
    assert 0 <= found["max_abs_error"]["onnxruntime"] <= 1e-5
    assert found["runtimes"][0].startswith("onnxruntime ")


def test_text_names_the_file_and_the_runtime(model_path, tmp_path, capsys):
    out = tmp_path / "model.onnx"
    assert run(["export", str(out), "--model", str(model_path)]) == 0
    shown = capsys.readouterr().out
    assert str(out) in shown
    assert "verified on onnxruntime" in shown


def test_the_file_classifies_alone_and_says_what_it_is(model_path, tmp_path, digits):
    out = tmp_path / "model.onnx"
    run(["export", str(out), "--model", str(model_path)])
    x = digits.x_test.astype(np.float32)
    chosen = run_onnx(out, {"x": x})["probabilities"].argmax(axis=1)
    assert (chosen == digits.y_test).mean() > 0.9
    meta = read_bundle(out).meta
    assert meta["classes"] == [str(n) for n in range(10)]
    assert meta["recipe"]["name"] == "digits-mlp"
    assert meta["card"]["dataset"] == "digits"


def test_a_stock_runtime_learns_from_the_training_file(model_path, tmp_path, digits):
    """From weights of zero in the head, on real digits, with nothing but onnxruntime."""
    import onnxruntime  # noqa: TID251  the user's own code

    out = tmp_path / "step.onnx"
    run(["export", str(out), "--model", str(model_path), "--phase", "train"])
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(out), options)
    after = json.loads(session.get_modelmeta().custom_metadata_map["edgelearn.states"])
    weights = {
        name: np.zeros_like(v) for name, v in default_values(out).items() if "dense2" in name
    }
    losses = []
    for start in range(0, 640, 32):
        rows = slice(start, start + 32)
        feeds = {"x": digits.x_train[rows].astype(np.float32), "y": digits.y_train[rows]}
        found = session.run(None, {**feeds, "lr": np.array(0.5, np.float32), **weights})
        names = [o.name for o in session.get_outputs()]
        results = dict(zip(names, found, strict=True))
        weights = {name: results[output] for name, output in after.items()}
        losses.append(float(results["loss"]))
    assert losses[0] == pytest.approx(np.log(10), abs=1e-4)
    assert losses[-1] < 1


def default_values(path):
    (graph,) = read_bundle(path).graphs.values()
    return {state.input: state.init for state in graph.states}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["model.pb"], 2, "ends in .onnx or .tflite or .c"),
        (["model"], 2, "ends in .onnx"),
        (["model.onnx", "--opset", "9"], 2, "13 to 21"),
        (["model.onnx", "--batch", "4"], 2, "option --batch"),
        (["model.tflite", "--opset", "17"], 2, "option --opset"),
        (["model.tflite", "--batch", "0"], 2, "x>=1"),
        (["model.onnx", "--phase", "dream"], 2, "dream"),
        (["nowhere/model.onnx"], 2, "E2004"),
    ],
)
def test_user_mistakes(arguments, code, message, model_path, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["export", *arguments, "--model", str(model_path)]) == code
    assert message in last_line(capsys.readouterr().err)
    assert not any(tmp_path.iterdir())


def test_a_missing_model_says_how_to_make_one(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["export", "model.onnx"]) == 2
    assert "edgelearn train" in last_line(capsys.readouterr().err)


def test_a_truncated_model_leaves_the_old_file(model_path, tmp_path, capsys):
    (tmp_path / "cut.safetensors").write_bytes(model_path.read_bytes()[:-1000])
    (tmp_path / "m.onnx").write_text("old")
    code = run(["export", str(tmp_path / "m.onnx"), "--model", str(tmp_path / "cut.safetensors")])
    assert code == 3
    assert "E3001" in last_line(capsys.readouterr().err)
    assert (tmp_path / "m.onnx").read_text() == "old"


def test_a_parity_failure_is_exit_code_1(model_path, tmp_path, capsys, monkeypatch):
    from edgelearn.export import exporter

    monkeypatch.setitem(exporter.TOLERANCES, ("onnx", "float32"), -1.0)
    assert run(["export", str(tmp_path / "m.onnx"), "--model", str(model_path)]) == 1
    assert "E1001" in last_line(capsys.readouterr().err)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["export", "inspect"])
def test_help_is_quick_and_shows_an_example(command):
    code = (
        "import sys; from edgelearn.cli import run; "
        f"run([{command!r}, '--help']); print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"edgelearn {command} " in done.stdout.split("Example:")[1]
    assert not {"numba", "onnx", "onnxruntime", "numpy"} & set(done.stderr.split())


def test_exporting_never_loads_numba(model_path, tmp_path):
    arguments = ["export", str(tmp_path / "m.onnx"), "--model", str(model_path)]
    code = (
        "import sys; from edgelearn.cli import run; "
        f"assert run({arguments!r}) == 0; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numba", "llvmlite"} & set(done.stdout.split())
    assert done.stderr == ""


def test_an_onnx_file_needs_no_batch(model_path, tmp_path, capsys):
    out = tmp_path / "model.onnx"
    assert run(["export", str(out), "--model", str(model_path), "--batch", "4"]) == 2
    assert "takes any number of samples" in capsys.readouterr().err


def test_a_folder_is_no_name_of_a_file(model_path, capsys):
    assert run(["export", ".", "--model", str(model_path)]) == 2
    assert "write 'model.onnx'" in capsys.readouterr().err
