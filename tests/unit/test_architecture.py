"""What may be imported, and what importing costs: looked at in fresh interpreters."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("numba", "llvmlite", "onnx", "onnxruntime", "ai_edge_litert", "tflite_runtime")


def modules_after(code: str) -> set[str]:
    shown = f"{code}\nimport sys\nprint(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "code",
    [
        "import edgelearn",
        "import edgelearn.ir.store",
        "import edgelearn.cli",
        "import edgelearn.layers; edgelearn.layers.kinds()",
        "import edgelearn.lowering, edgelearn.engine, edgelearn.planning",
        "import edgelearn.workflow; edgelearn.workflow.embedded_recipe()",
        "import firmware_sim.devices, firmware_sim.report, firmware_sim.budgets",
    ],
)
def test_nothing_heavy_is_loaded(code):
    assert not modules_after(code) & set(HEAVY)


def test_training_loads_numba():
    """The other tests would pass if Numba were never used."""
    assert "numba" in modules_after("from edgelearn import kernels; kernels.dense")


def test_cli_help_loads_click_and_little_else():
    loaded = modules_after("import edgelearn.cli; edgelearn.cli.run(['--help'])")
    assert not loaded & {*HEAVY, "numpy", "rich", "msgspec", "safetensors"}
