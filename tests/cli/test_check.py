"""`edgelearn check`: verdicts, exit codes, and one clear message for each mistake."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from onnx_files import convolutions

from edgelearn import cli
from edgelearn.ir import store

WEIGHTS = 4 * (64 * 128 + 128 + 128 * 10 + 10 + 2 * 64)
SAMPLE = Path(__file__).parents[2] / "models" / "digits-mlp.budget.toml"


@pytest.fixture
def folder(model_path, tmp_path):
    """A folder that holds the trained model."""
    shutil.copy(model_path, tmp_path / "model.safetensors")
    return tmp_path


def check(folder, budgets, *args, head='file = "model.safetensors"', targets='["rpi-4b"]'):
    lines = "\n".join(f"  {budget}" for budget in budgets)
    text = f'[check]\ntargets = {targets}\n[[check.model]]\nname = "m"\n{head}\n'
    config = folder / "edgelearn.toml"
    config.write_text(f"{text}  [check.model.budget]\n{lines}\n")
    return cli.run(["check", "--config", str(config), *args])


def verdicts(capsys):
    return {c["metric"]: c["verdict"] for c in json.loads(capsys.readouterr().out)["checks"]}


def test_exact_sizes_gate_to_the_byte(capsys, folder):
    assert check(folder, [f"infer.weights = {WEIGHTS}"], "--json") == 0
    assert verdicts(capsys) == {"infer.weights": "pass"}
    assert check(folder, [f"infer.weights = {WEIGHTS - 1}"], "--json") == 1
    assert verdicts(capsys) == {"infer.weights": "fail"}
    assert check(folder, [f'infer.weights = ["warn", {WEIGHTS - 1}]'], "--json") == 0
    assert verdicts(capsys) == {"infer.weights": "warn"}


def test_the_json_keys(capsys, folder):
    assert check(folder, ["infer.weights = 1", 'infer.latency = "1 s"'], "--format", "json") == 1
    result = json.loads(capsys.readouterr().out)
    assert result["passed"] is False
    weights, latency = result["checks"]
    assert weights == {
        "name": "m",
        "target": None,
        "metric": "infer.weights",
        "value": WEIGHTS,
        "budget": 1,
        "verdict": "fail",
        "kind": "exact",
        "bound": [WEIGHTS, WEIGHTS],
    }
    assert latency["target"] == "rpi-4b"
    assert latency["kind"] == "estimated"
    assert latency["bound"] == [latency["value"], None]


def test_a_lower_bound_proves_only_a_breach(capsys, folder):
    assert check(folder, ['infer.latency_p90 = "1 ns"', "infer.weights = 1e6"], "--json") == 1
    assert verdicts(capsys) == {"infer.latency_p90": "fail", "infer.weights": "pass"}
    assert check(folder, ['infer.latency_p90 = "1 s"', "infer.weights = 1e6"], "--json") == 0
    assert verdicts(capsys) == {"infer.latency_p90": "unproven", "infer.weights": "pass"}


def test_nothing_proven_is_not_a_pass(capsys, folder):
    assert check(folder, ['infer.latency_p90 = "1 s"'], "--json") == 3
    printed = capsys.readouterr()
    assert json.loads(printed.out)["passed"] is False
    assert "only lower bounds" in printed.err


def check_latency(folder, limit, lines=""):
    convolutions(folder / "tall.onnx", 4)
    targets = f'["rpi-4b"]\n{lines}'
    head = 'file = "tall.onnx"\nphases = ["infer"]'
    return check(folder, [f"infer.latency = {limit}"], "--json", head=head, targets=targets)


def test_a_latency_is_proven_kept_broken_or_neither(capsys, folder):
    """By the interval of the runtime that is named, and only if it was measured on such cores."""
    named = 'runtime = "tflite"\nthreads = 4'
    assert check_latency(folder, 10, named) == 0
    found = json.loads(capsys.readouterr().out)["checks"][0]
    low, high = found["bound"]
    assert found["verdict"] == "pass"
    assert low < found["value"] < high < 10 * low
    assert check_latency(folder, high * 1.01, named) == 0
    assert verdicts(capsys) == {"infer.latency": "pass"}
    assert check_latency(folder, found["value"], named) == 3
    assert verdicts(capsys) == {"infer.latency": "unproven"}
    assert check_latency(folder, low * 0.99, named) == 1
    assert verdicts(capsys) == {"infer.latency": "fail"}


@pytest.mark.parametrize("lines", ["", 'runtime = "onnxruntime"\nthreads = 4'])
def test_without_measurements_of_the_runtime_nothing_is_proven_kept(capsys, folder, lines):
    assert check_latency(folder, 10, lines) == 3
    assert verdicts(capsys) == {"infer.latency": "unproven"}


def test_a_runtime_must_be_known(capsys, folder):
    assert check_latency(folder, 10, 'runtime = "ncn"') == 2
    assert "write 'ncnn'" in capsys.readouterr().err


def test_every_metric_of_a_trained_model(capsys, folder):
    budgets = [
        *(f"{phase}.{key} = '1 GB'" for phase in ("infer", "train") for key in ("arena", "flash")),
        *("train.working_set = '1 GB'", "train.peak_rss = '4 GB'", "export.onnx.size = '1 MB'"),
        *("train.peak_ram = '1 GB'", "accuracy.min = 0.5"),
    ]
    assert check(folder, budgets, "--json") == 0
    checks = {c["metric"]: c for c in json.loads(capsys.readouterr().out)["checks"]}
    assert checks["accuracy.min"]["kind"] == checks["train.peak_rss"]["kind"] == "measured"
    assert checks["train.working_set"]["kind"] == "exact"
    out = folder / "m.onnx"
    assert cli.run(["export", str(out), "--model", str(folder / "model.safetensors")]) == 0
    assert checks["export.onnx.size"]["value"] == out.stat().st_size


def test_accuracy_below_its_floor_fails(capsys, folder):
    assert check(folder, ["accuracy.min = 0.9999"], "--json") == 1
    assert verdicts(capsys) == {"accuracy.min": "fail"}


def test_one_check_for_each_target(capsys, folder):
    targets = '["rpi-4b", "stm32h743"]'
    assert check(folder, ["infer.peak_ram = 1024"], "--json", targets=targets) == 1
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert [(c["target"], c["verdict"]) for c in checks] == [
        ("rpi-4b", "fail"),
        ("stm32h743", "pass"),
    ], "a microcontroller keeps the weights in flash"


def test_an_onnx_file(capsys, folder):
    out = folder / "model.onnx"
    assert cli.run(["export", str(out), "--model", str(folder / "model.safetensors")]) == 0
    capsys.readouterr()
    size = out.stat().st_size
    budgets = [f"export.onnx.size = {size}", f"infer.weights = {WEIGHTS}"]
    assert check(folder, budgets, head='file = "model.onnx"') == 0
    assert check(folder, ["train.working_set = 9"], head='file = "model.onnx"') == 2
    assert check(folder, ["train.arena = 9"], head='file = "model.onnx"') == 2
    assert check(folder, ["accuracy.min = 0.5"], head='file = "model.onnx"') == 2


def test_the_text_and_why(capsys, folder):
    assert check(folder, ["infer.weights = 1", 'infer.latency = "1 s"'], "--why") == 1
    shown = capsys.readouterr()
    assert "fail" in shown.out
    assert "unproven" in shown.out
    assert "0 pass, 0 warn, 1 fail, 1 unproven" in shown.out
    assert "infer.weights: dense1.w 32 KiB" in shown.out
    assert "infer.latency on rpi-4b: dense1" in shown.out


@pytest.mark.parametrize(
    ("budgets", "options", "code", "says"),
    [
        (["infer.arenas = 1"], {}, 2, "did you mean 'infer.arena'?"),
        (['infer.arena = "1 kb"'], {}, 2, "did you mean 'kB'?"),
        ([], {}, 2, "an empty budget"),
        (["infer.arena = 1"], {"targets": '["rpi4b"]'}, 2, "write 'rpi-4b'"),
        (["infer.arena = 1"], {"targets": '["board.toml"]'}, 2, "board.toml"),
        (["infer.latency = 1"], {"targets": "[]"}, 2, "[check] targets"),
        (["infer.arena = 1"], {"head": 'file = "none.onnx"'}, 3, "no such file"),
        (["infer.arena = 1"], {"head": 'recipe = "none.toml"'}, 2, "none.toml"),
        (["infer.arena = 1"], {"head": 'file = "m.tflite"'}, 3, "m.tflite"),
        (["infer.arena = 1"], {"head": ""}, 2, "either recipe or file"),
        (['regress = { infer.arena = "+2 %" }'], {}, 2, "cannot make"),
    ],
)
def test_mistakes(capsys, folder, budgets, options, code, says):
    assert check(folder, budgets, **options) == code
    printed = capsys.readouterr()
    assert says in printed.err
    assert printed.out == ""


def test_a_model_that_was_not_trained_to_the_end(capsys, folder):
    path = folder / "model.safetensors"
    bundle = store.read(path)
    store.write(path, store.Bundle(bundle.graphs, {**bundle.meta, "card": {}}, bundle.extra))
    assert check(folder, ["accuracy.min = 0.5"]) == 3
    assert "--resume" in capsys.readouterr().err


def test_without_a_budget_file(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.run(["check"]) == 2
    assert "edgelearn check --init" in capsys.readouterr().err


def test_init_writes_budgets_that_the_model_keeps(capsys, folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert cli.run(["check", "--init"]) == 0
    written = (folder / "edgelearn.toml").read_text()
    assert 'infer.weights = "48 KiB"' in written, "38.04 KiB and 25 %"
    assert cli.run(["check"]) == 0
    capsys.readouterr()
    assert cli.run(["check", "--init"]) == 2
    assert "E2004" in capsys.readouterr().err
    assert (folder / "edgelearn.toml").read_text() == written


def test_init_without_a_model(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.run(["check", "--init"]) == 2
    assert "edgelearn train" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_sample_budget_is_kept(capsys):
    assert cli.run(["check", "--config", str(SAMPLE), "--json"]) == 0
    assert set(verdicts(capsys).values()) == {"pass", "unproven"}
