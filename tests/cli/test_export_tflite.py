"""`edgelearn export model.tflite`, and what a stock runtime makes of the file."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from edgelearn import modelfile, workflow
from edgelearn.cli import run
from edgelearn.config import parse_recipe
from edgelearn.progress import Observer

litert = pytest.importorskip(
    "ai_edge_litert.interpreter", reason="the extra tflite is not installed"
)

HEAD = {"kind": "dense", "units": 10, "activation": "softmax"}
LEARNERS = {
    "mlp": ((64,), [{"kind": "dense", "units": 32, "activation": "tanh"}]),
    "cnn": ((8, 8, 1), [{"kind": "conv2d", "filters": 8}, {"kind": "max_pool"}]),
    "rnn": ((8, 8), [{"kind": "gru", "units": 16}]),
}


@pytest.mark.parametrize("phase", ["infer", "train"])
def test_json_lists_errors_by_runtime_and_delegate(phase, model_path, tmp_path, capfd):
    out = tmp_path / "model.tflite"
    code = run(["export", str(out), "--model", str(model_path), "--phase", phase, "--json"])
    shown = capfd.readouterr()
    assert code == 0
    assert shown.err == ""
    found = json.loads(shown.out)
    assert found["format"] == "tflite"
    assert found["bytes"] == out.stat().st_size
    assert {"ai-edge-litert/xnnpack", "ai-edge-litert/builtin"} <= found["max_abs_error"].keys()
    assert all(0 <= error <= 1e-6 for error in found["max_abs_error"].values())
    assert len(found["runtimes"]) == len(found["max_abs_error"])


def test_the_file_says_what_it_is(model_path, tmp_path):
    from ai_edge_litert import schema_py_generated as schema  # noqa: TID251

    out = tmp_path / "step.tflite"
    run(["export", str(out), "--model", str(model_path), "--phase", "train", "--batch", "4"])
    model = schema.ModelT.InitFromPackedBuf(out.read_bytes())
    texts = {m.name.decode(): bytes(model.buffers[m.buffer].data) for m in model.metadata}
    assert texts["edgelearn.phase"] == b"train"
    assert json.loads(texts["edgelearn.states"])["dense1.w"] == "dense1.w.next"
    assert json.loads(texts["edgelearn.classes"]) == [str(n) for n in range(10)]


def test_what_a_kernel_reads_is_aligned(model_path, tmp_path):
    from ai_edge_litert import schema_py_generated as schema  # noqa: TID251

    out = tmp_path / "model.tflite"
    run(["export", str(out), "--model", str(model_path)])
    content = out.read_bytes()
    model = schema.Model.GetRootAs(content)
    places = [model.Buffers(i).DataAsNumpy() for i in range(1, model.BuffersLength())]
    start = np.frombuffer(content, np.uint8).ctypes.data
    assert len(places) > 4
    assert {(data.ctypes.data - start) % 16 for data in places} == {0}


@pytest.mark.parametrize("kind", LEARNERS)
def test_a_stock_runtime_learns(kind, tmp_path, digits):
    """From new weights, on real digits, with nothing but LiteRT."""
    shape, layers = LEARNERS[kind]
    parts = {f"x_{p}": getattr(digits, f"x_{p}").reshape(-1, *shape) for p in ("train", "test")}
    train = {"schedule": "simultaneous", "optimizer": "adam"}
    tables = {"dataset": {"name": "digits"}, "layers": [*layers, HEAD], "train": train}
    model = workflow.new_model(parse_recipe(tables, kind), replace(digits, **parts))
    modelfile.save(tmp_path / "new.safetensors", model)
    out = tmp_path / "step.tflite"
    arguments = ["export", str(out), "--model", str(tmp_path / "new.safetensors")]
    assert run([*arguments, "--phase", "train", "--batch", "32"]) == 0
    interpreter = litert.Interpreter(str(out))
    step = interpreter.get_signature_runner("serving_default")
    weights = interpreter.get_signature_runner("initial")()
    x, y, right = parts["x_train"].astype(np.float32), digits.y_train, []
    for turn in range(150):
        rows = np.arange(turn * 32, (turn + 1) * 32) % len(x)
        found = step(x=x[rows], y=y[rows], lr=np.array(0.01, np.float32), **weights)
        weights = {name: found[f"{name}.next"] for name in weights}
        right.append((found["probabilities"].argmax(axis=1) == y[rows]).mean())
    assert np.mean(right[:3]) < 0.4
    assert np.mean(right[-10:]) > 0.8


def test_without_the_extra_it_says_what_to_install(model_path, tmp_path, capsys, monkeypatch):
    for name in [n for n in sys.modules if n.startswith(("edgelearn.export.tflite", "ai_edge"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    code = run(["export", str(tmp_path / "m.tflite"), "--model", str(model_path)])
    assert code == 3
    assert "pip install" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("phase", ["infer", "train"])
def test_a_wrong_file_is_not_kept(phase, model_path, tmp_path, capsys, monkeypatch):
    from edgelearn.export import tflite_target

    right = tflite_target.to_bytes

    def wrong(graph, **options):
        states = tuple(replace(s, init=s.init + np.float32(1e-3)) for s in graph.states)
        constants = {k: v + np.float32(1e-3) for k, v in graph.constants.items()}
        return right(replace(graph, states=states, constants=constants), **options)

    monkeypatch.setattr(tflite_target, "to_bytes", wrong)
    arguments = ["export", str(tmp_path / "m.tflite"), "--model", str(model_path)]
    assert run([*arguments, "--phase", phase]) == 1
    assert "E1001" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["weights", "full"])
def test_a_sure_model_in_int8_is_kept_and_still_right(kind, tmp_path, digits):
    recipe = workflow.embedded_recipe(("train.seed=1",))  # all its epochs, so that logits are large
    model, report = workflow.train(workflow.new_model(recipe, digits), digits, Observer())
    whole, path = report.accuracy, tmp_path / "model.safetensors"
    modelfile.save(path, model)
    out = tmp_path / "small.tflite"
    assert run(["export", str(out), "--model", str(path), "--int8", kind]) == 0
    predict = litert.Interpreter(str(out)).get_signature_runner("serving_default")
    x = digits.x_test.astype(np.float32)
    chosen = [predict(x=row[None])["probabilities"].argmax() for row in x]
    assert np.mean(np.array(chosen) == digits.y_test) == pytest.approx(whole, abs=0.01)
