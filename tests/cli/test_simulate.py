"""`edgelearn simulate` and `edgelearn devices`."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from onnx_files import convolutions

from edgelearn import cli
from edgelearn.config import parse_recipe
from edgelearn.datasets import describe
from edgelearn.export.onnx_writer import to_bytes
from edgelearn.lowering import to_graph
from edgelearn.planning import blank_network
from firmware_sim.devices import device_ids

KEYS = {
    *("device", "phase", "method", "threads", "latency_s", "latency_low_s", "latency_high_s"),
    *("arena_bytes", "weights_bytes", "peak_ram_bytes", "flash_bytes", "energy_j", "fits"),
    *("calibrated", "nodes", "batch", "states_bytes", "runtime", "precision", "basis", "bound_s"),
    *("energy_low_j", "energy_high_j", "source"),
}


def simulated(capsys, *args):
    assert cli.run(["simulate", *map(str, args), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_one_report_for_each_device_and_phase(capsys, model_path):
    reports = simulated(capsys, model_path, "--device", "rpi-4b", "--device", "stm32h743")
    assert [(r["device"], r["phase"]) for r in reports] == [
        ("rpi-4b", "infer"),
        ("rpi-4b", "train"),
        ("stm32h743", "infer"),
        ("stm32h743", "train"),
    ]
    assert all(set(r) == KEYS for r in reports)
    first = reports[0]
    assert first["calibrated"] is False
    assert [r["basis"] for r in reports] == ["extrapolated", "extrapolated", "bound", "bound"]
    assert first["latency_high_s"] is None
    assert first["latency_low_s"] == first["bound_s"]
    assert first["latency_s"] == pytest.approx(sum(n["seconds"] for n in first["nodes"]))
    assert sum(n["macs"] for n in first["nodes"]) == 64 * 128 + 128 * 10
    parameters = 64 * 128 + 128 + 128 * 10 + 10
    assert first["weights_bytes"] == 4 * (parameters + 2 * 64), "with the normaliser"


def test_training_takes_the_batch_of_the_recipe(capsys, model_path):
    [train] = simulated(capsys, model_path, "--device", "rpi-5", "--phase", "train")
    [same] = simulated(capsys, model_path, "--device", "rpi-5", "--phase", "train", "--batch", "16")
    [more] = simulated(capsys, model_path, "--device", "rpi-5", "--phase", "train", "--batch", "32")
    assert train == same
    assert more["arena_bytes"] > same["arena_bytes"]


def test_an_exported_file_needs_the_same(capsys, model_path, tmp_path):
    out = tmp_path / "model.onnx"
    assert cli.run(["export", str(out), "--model", str(model_path)]) == 0
    capsys.readouterr()
    [own] = simulated(capsys, model_path, "--device", "rpi-4b", "--phase", "infer")
    [onnx] = simulated(capsys, out, "--device", "rpi-4b")
    for key in ("arena_bytes", "weights_bytes", "latency_s"):
        assert onnx[key] == pytest.approx(own[key]), key


def test_without_options_it_is_useful(capsys, model_path, monkeypatch):
    monkeypatch.chdir(model_path.parent)
    assert cli.run(["simulate"]) == 0
    printed = capsys.readouterr()
    assert "rpi-zero-2w" in printed.out
    assert "stm32h743" in printed.out
    assert ">= " in printed.out
    assert "extrapolated" in printed.out
    assert "a lower bound" in printed.err
    assert "nobody knows" in printed.err
    assert "calibrated" not in printed.err, "only what the table shows is explained"
    assert "140 MB" in printed.err


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["--device", "rpi-9"], 2, "E2002"),
        (["--device", "rpi4b"], 2, "write 'rpi-4b'"),
        (["--device", "./none.toml"], 2, "E2003"),
        (["--phase", "fly"], 2, "fly"),
        (["--device", "rpi-4b", "--threads", "5"], 2, "expected 1 to 4"),
        (["--device", "rpi-4b", "--batch", "0"], 2, "E2006"),
        (["--runtime", "tflit"], 2, "write 'tflite'"),
        (["--precision", "int4"], 2, "int4"),
    ],
)
def test_mistakes(capsys, model_path, args, code, says):
    assert cli.run(["simulate", str(model_path), *args]) == code
    printed = capsys.readouterr()
    assert says in printed.err
    assert printed.out == ""


def test_files_that_are_not_models(capsys, model_path, tmp_path):
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(model_path.read_bytes()[:1000])
    (tmp_path / "model.tflite").write_bytes(b"TFL3")
    (tmp_path / "model.pb").write_bytes(b"TFL3")
    for file, code, says in (
        ("none.safetensors", 2, "edgelearn train"),
        ("none.onnx", 2, "no such file"),
        ("model.pb", 2, "the suffix '.pb'"),
        ("model.tflite", 3, "E3001"),
        ("broken.safetensors", 3, "E3001"),
    ):
        assert cli.run(["simulate", str(tmp_path / file)]) == code, file
        assert says in capsys.readouterr().err


def test_our_own_model_needs_neither_numba_nor_onnx(model_path):
    code = (
        "import sys; from edgelearn import cli; "
        f"assert cli.run(['simulate', {str(model_path)!r}, '--json']) == 0; "
        "print({'numba', 'onnx', 'onnxruntime'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "set()\n"


def test_an_interval_is_shown_and_explained(capsys, tmp_path):
    convolutions(tmp_path / "tall.onnx", 4)
    args = [str(tmp_path / "tall.onnx"), "--device", "rpi-4b", "--runtime", "tflite"]
    assert cli.run(["simulate", *args, "--threads", "4"]) == 0
    printed = capsys.readouterr()
    assert re.search(r"[\d.]+ ms \([\d.]+ ms to [\d.]+ ms\) +calibrated +tflite-2", printed.out)
    assert re.search(r"[\d.]+ mJ \([\d.]+ mJ to [\d.]+ mJ\)", printed.out)
    assert "calibrated: this runtime was measured on this device" in printed.err
    assert "bound:" not in printed.err
    [report] = simulated(capsys, *args, "--threads", "4")
    assert report["source"].startswith("github:")


def test_explain_shows_where_the_time_goes(capsys, tmp_path):
    convolutions(tmp_path / "tall.onnx", 20)
    args = [str(tmp_path / "tall.onnx"), "--device", "rpi-4b", "--runtime", "ncnn"]
    assert cli.run(["simulate", *args, "--explain"]) == 0
    shown = capsys.readouterr().out.partition("where the time goes")[2]
    shares = [float(share) for share in re.findall(r"([\d.]+)%", shown)]
    assert len(shares) == 16, "15 nodes and the rest"
    assert sum(shares) == pytest.approx(100, abs=1)
    assert "others" in shown
    [report] = simulated(capsys, *args)
    assert report["latency_s"] == pytest.approx(sum(n["seconds"] for n in report["nodes"]))


def test_nothing_known_of_int8_is_said(capsys, tmp_path):
    convolutions(tmp_path / "tall.onnx", 1)
    args = [str(tmp_path / "tall.onnx"), "--device", "rpi-zero-w", "--precision", "int8"]
    assert cli.run(["simulate", *args]) == 0
    assert re.search(r"unknown +bound", capsys.readouterr().out)


def test_200_nodes_take_less_than_a_second_of_processor_time(tmp_path):
    """Start-up included; processor time, because other work may keep a machine waiting."""
    convolutions(tmp_path / "tall.onnx", 100)
    args = ["simulate", str(tmp_path / "tall.onnx"), "--device", "rpi-4b", "--json"]
    code = f"from edgelearn import cli; raise SystemExit(cli.run({args!r}))"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert len(json.loads(done.stdout)[0]["nodes"]) >= 200
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1


def test_devices(capsys):
    assert cli.run(["devices"]) == 0
    shown = capsys.readouterr().out
    assert all(device in shown for device in device_ids())
    assert cli.run(["devices", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [d["id"] for d in listed] == device_ids()
    assert all(d["clock_hz"]["source"] for d in listed)


def test_one_device_shows_every_source(capsys):
    assert cli.run(["devices", "rpi-4b"]) == 0
    shown = capsys.readouterr().out
    assert "clock_hz = 1.8e+09 (high): github.com/ThomasKaiser/sbc-bench" in shown
    assert re.search(
        r"measured with ncnn, float32, threads 1: 22 networks, within .*Tencent", shown
    )
    assert cli.run(["devices", "rpi-9"]) == 2


def test_repeated_time_steps_are_one_line(capsys, model_path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    layers = [
        {"kind": "gru", "units": 6, "masked": True},
        {"kind": "dense", "units": 2, "activation": "softmax"},
    ]
    recipe = parse_recipe({"dataset": {"name": "reber"}, "layers": layers}, "recipe")
    steps = describe(recipe.dataset).in_shape[0]
    network = blank_network(recipe, describe(recipe.dataset))
    Path("model.onnx").write_bytes(to_bytes(to_graph(network)))
    assert cli.run(["simulate", "model.onnx", "--device", "stm32h743"]) == 0
    done = capsys.readouterr().out
    assert re.search(r"gru1/matmul x (\d+) \d+% ", done)
    assert int(re.search(r"gru1/matmul x (\d+)", done)[1]) >= steps - 1
    assert cli.run(["simulate", "model.onnx", "--device", "stm32h743", "--json"]) == 0
    (report,) = json.loads(capsys.readouterr().out)
    names = [node["name"] for node in report["nodes"]]
    assert len(names) == len(set(names))
    assert len(names) > steps


def test_int8_is_told_of_inference_only_and_changes_no_memory(capsys, model_path):
    args = ["simulate", str(model_path), "--device", "rpi-4b", "--precision", "int8"]
    assert cli.run(args) == 0
    shown = capsys.readouterr()
    assert "train" not in shown.out
    assert ">= 0" not in shown.out, "no bound is known of integers"
    assert "--precision changes the time only" in shown.err
    assert cli.run([*args, "--phase", "train"]) == 2
    assert "a training step is not quantised" in capsys.readouterr().err
