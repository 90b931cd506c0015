"""`edgelearn export --int8` as a user meets it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edgelearn import modelfile, workflow
from edgelearn.cli import run
from edgelearn.export.describe import read_model
from edgelearn.runtimes.onnx import run_onnx


def exported(capsys, model, out, *arguments):
    code = run(["export", str(out), "--model", str(model), *arguments, "--json"])
    shown = capsys.readouterr()
    return code, json.loads(shown.out) if shown.out else None, shown.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("weights",),
        ("full",),
        ("full", "--calibration", "percentile", "--samples", "64"),
        ("full", "--calibration", "mse"),
    ],
    ids=" ".join,
)
def test_accuracy_before_and_after_is_told(arguments, model_path, tmp_path, capsys, digits):
    out = tmp_path / "small.onnx"
    code, found, _ = exported(capsys, model_path, out, "--int8", *arguments)
    assert code == 0
    report = found["int8"]
    assert report["mark"] == "accuracy"
    assert report["tested"] == len(digits.y_test)
    assert abs(report["drop"]) < 1
    assert report["samples"] == (
        0 if arguments[0] == "weights" else 64 if "64" in arguments else 256
    )
    assert report["integer_macs"] == (report["macs"] if arguments[0] == "full" else 0)
    assert report["macs"] == 64 * 128 + 128 * 10
    assert {"Unary tanh", "Softmax"} <= {kept["op"] for kept in report["kept_float"]}
    assert all(kept["reason"] and kept["nodes"] for kept in report["kept_float"])
    assert found["bytes"] == out.stat().st_size < found["dense_bytes"] / 2
    chosen = run_onnx(out, {"x": digits.x_test.astype(np.float32)})["probabilities"].argmax(axis=1)
    by_file = (chosen == digits.y_test).mean()
    assert by_file == pytest.approx(report["after"], abs=0.01)


def test_text_says_what_was_lost_and_what_is_left(model_path, tmp_path, capsys):
    out = tmp_path / "small.onnx"
    assert run(["export", str(out), "--model", str(model_path), "--int8", "full"]) == 0
    shown = capsys.readouterr().out
    told = "100.0% of MACs have integers"
    for words in ("before", "in int8", "times smaller", told, "Unary tanh: a curve"):
        assert words in shown


def test_too_much_lost_leaves_the_old_file(model_path, tmp_path, capsys, monkeypatch):
    from edgelearn import quantizing

    out = tmp_path / "small.onnx"
    out.write_text("old")
    marks = iter([0.9, 0.88, 0.9, 0.88])
    monkeypatch.setattr(quantizing, "_mark", lambda *_: next(marks))
    code, _, err = exported(capsys, model_path, out, "--int8", "full")
    assert code == 1
    assert "E1002" in err
    assert "at most 1 points" in err
    assert "2.00" in err
    assert out.read_text() == "old"
    code, found, _ = exported(capsys, model_path, out, "--int8", "full", "--max-drop", "3")
    assert (code, found["int8"]["drop"]) == (0, pytest.approx(2))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--calibration", "mse"), "--int8 full beside it"),
        (("--samples", "9"), "--int8 full beside it"),
        (("--max-drop", "2"), "--int8 beside it"),
        (("--data", "x.npz"), "--int8 beside it"),
        (("--int8", "weights", "--calibration", "mse"), "got --int8 weights"),
        (("--int8", "full", "--phase", "train"), "learn in float32"),
        (("--int8", "half"), "half"),
        (("--int8", "full", "--samples", "0"), "0"),
    ],
)
def test_user_mistakes(arguments, words, model_path, tmp_path, capsys):
    code, _, err = exported(capsys, model_path, tmp_path / "m.onnx", *arguments)
    assert code == 2
    assert words in err
    assert not any(tmp_path.iterdir())


def test_a_training_step_names_what_to_do(model_path, tmp_path, capsys):
    arguments = ("--int8", "weights", "--phase", "train")
    assert exported(capsys, model_path, tmp_path / "m.onnx", *arguments)[0] == 2


def test_data_of_another_shape_is_refused(model_path, tmp_path, capsys):
    np.savez(
        tmp_path / "data.npz", x=np.ones((20, 5)) * np.arange(20)[:, None], y=np.arange(20) % 10
    )
    arguments = ("--int8", "full", "--data", str(tmp_path / "data.npz"))
    code, _, err = exported(capsys, model_path, tmp_path / "m.onnx", *arguments)
    assert code == 4
    assert "[64]" in err


def test_a_stream_is_calibrated_over_whole_sequences(digits, tmp_path, capsys):
    from recurrent_networks import as_steps, recipe_of

    data = as_steps(digits, 8)
    np.savez(
        tmp_path / "rows.npz",
        **{k: getattr(data, k) for k in ("x_train", "y_train", "x_test", "y_test")},
    )
    model = workflow.new_model(recipe_of({"kind": "gru", "units": 16}), data)
    modelfile.save(tmp_path / "m.safetensors", model)
    out = tmp_path / "stream.onnx"
    code, found, err = exported(
        capsys,
        tmp_path / "m.safetensors",
        out,
        *("--int8", "full", "--form", "stream", "--data", str(tmp_path / "rows.npz")),
    )
    assert code == 0, err
    assert found["int8"]["macs"] == (8 + 16) * 48 + 32 * 10
    (graph,) = read_model(out).graphs.values()
    assert graph.specs["x"].shape == (-1, 8)
    assert {state.init.dtype.name for state in graph.states} == {"float32"}


def test_what_was_written_is_inspected_and_simulated(model_path, tmp_path, capsys):
    out = tmp_path / "small.onnx"
    run(["export", str(out), "--model", str(model_path), "--int8", "full"])
    capsys.readouterr()
    assert run(["inspect", str(out), "--json"]) == 0
    [phase] = json.loads(capsys.readouterr().out)["phases"]
    assert phase["weights_bytes"] < 64 * 128 + 128 * 10 + 4 * 300
    assert phase["ops"]["Quantize"] == 2
    assert run(["simulate", str(out), "--device", "rpi-4b"]) == 0
