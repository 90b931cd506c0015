"""`edgelearn simulate --method emulate`: the exported C on the core of a device."""

from __future__ import annotations

import json
import shutil

import pytest

from edgelearn.cli import run

TOOLS = ["arm-none-eabi-gcc", "qemu-system-arm"]
needs_tools = pytest.mark.skipif(
    not all(map(shutil.which, TOOLS)),
    reason="apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm",
)


def simulate(model, *options):
    return run(["simulate", str(model), "--method", "emulate", *options])


@needs_tools
def test_both_functions_are_measured(model_path, capfd):
    assert simulate(model_path, "--device", "stm32l4r5", "--json") == 0
    predict, learn = json.loads(capfd.readouterr().out)
    assert (predict["function"], learn["function"]) == ("predict", "learn")
    assert predict["core"] == "Cortex-M4F"
    assert 64 * 128 < predict["instructions"] < learn["instructions"]
    assert predict["max_abs_error"] <= 1e-5
    weights = 4 * (64 * 128 + 128 + 128 * 10 + 10)
    assert weights < predict["ram_bytes"] < 1.1 * weights
    assert weights < predict["flash_bytes"]


@needs_tools
def test_inference_alone_needs_no_ram_for_weights(model_path, capfd):
    assert simulate(model_path, "--device", "stm32l4r5", "--phase", "infer", "--json") == 0
    (row,) = json.loads(capfd.readouterr().out)
    assert row["ram_bytes"] == 768
    assert simulate(model_path, "--device", "stm32l4r5", "--phase", "infer") == 0
    shown = capfd.readouterr()
    assert "Cortex-M4F" in shown.out
    assert "instructions" in shown.out


def test_a_core_that_is_not_emulated(model_path, capsys):
    assert simulate(model_path, "--device", "jetson-agx-orin") == 2
    assert "Cortex-M4F" in capsys.readouterr().err


def test_threads(model_path, capsys):
    assert simulate(model_path, "--threads", "2") == 2
    assert "leave out --threads" in capsys.readouterr().err


def test_what_to_install(model_path, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert simulate(model_path, "--device", "stm32l4r5") == 3
    assert "apt-get install gcc-arm-none-eabi" in capsys.readouterr().err
