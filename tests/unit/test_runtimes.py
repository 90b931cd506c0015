"""The two runtimes behind their shims: real files, and what is said when they are missing."""

from __future__ import annotations

import math
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from edgelearn.errors import DataShapeError, MissingRuntime, ModelFileError
from edgelearn.export.onnx_writer import to_bytes
from edgelearn.ir import BATCH, Builder
from edgelearn.runtimes import onnx, tflite


@pytest.fixture(scope="module")
def models(data_folder: Path) -> Path:
    """Model files made by others, beside the folder of data sets."""
    folder = data_folder.parent / "models"
    if not folder.is_dir():
        pytest.skip("there is no folder models beside EDGELEARN_DATA")
    return folder


@pytest.fixture(scope="module")
def sine(models: Path) -> Path:
    """A network that approximates the sine, trained by others."""
    pytest.importorskip("ai_edge_litert", reason="the extra tflite is not installed")
    return models / "tflite_micro" / "hello_world_float.tflite"


@pytest.fixture(scope="module")
def rectify():
    b = Builder("rectify")
    return to_bytes(b.graph([b.unary("relu", b.input("x", (BATCH, 2)))]))


@pytest.mark.parametrize("key", [0, "serving_default_dense_input:0"])
def test_tflite_runs_a_real_file(sine, key):
    angles = np.array([[0.5], [1.5], [3.0], [5.0]], np.float32)
    (got,) = tflite.run_tflite(sine, {key: angles}).values()
    np.testing.assert_allclose(got, np.sin(angles), atol=0.12)


@pytest.mark.parametrize(
    "feeds",
    [
        {},
        {1: np.zeros((1, 1), np.float32)},
        {0: np.zeros((1, 2), np.float32)},
        {0: np.zeros((1, 1), np.float64)},
        {0: np.zeros((1, 1), np.float32), "other": np.zeros(1, np.float32)},
    ],
)
def test_tflite_inputs_that_do_not_fit(sine, feeds):
    with pytest.raises(DataShapeError, match="serving_default_dense_input"):
        tflite.run_tflite(sine, feeds)


def test_tflite_files_that_are_damaged(tmp_path, models, sine):
    (tmp_path / "cut.tflite").write_bytes(sine.read_bytes()[:100])
    for path in (tmp_path / "cut.tflite", models / "tflite_micro" / "person_detect.tflite"):
        with pytest.raises(ModelFileError, match=path.name):
            tflite.run_tflite(path, {})


def fake_runtimes(monkeypatch, *installed):
    for module in tflite.RUNTIMES.values():
        found = types.ModuleType(module) if module in installed else None
        monkeypatch.setitem(sys.modules, module, found)


def test_no_tflite_runtime(monkeypatch):
    fake_runtimes(monkeypatch)
    with pytest.raises(MissingRuntime, match="pip install ai-edge-litert"):
        tflite.version()


def test_the_new_name_is_taken_first(monkeypatch):
    fake_runtimes(monkeypatch, *tflite.RUNTIMES.values())
    monkeypatch.setattr(tflite, "installed", lambda _: "9.9")
    assert tflite.version() == "ai-edge-litert 9.9"


@pytest.mark.parametrize(
    ("runtime", "numpy", "works"),
    [("2.14.0", "2.4.6", False), ("2.14.0", "1.26.4", True), ("2.17.0", "2.4.6", True)],
)
def test_the_old_runtime_and_numpy_2(monkeypatch, runtime, numpy, works):
    fake_runtimes(monkeypatch, tflite.RUNTIMES["tflite-runtime"])
    monkeypatch.setattr(tflite, "installed", lambda _: runtime)
    monkeypatch.setattr(tflite.np, "__version__", numpy)
    if works:
        assert tflite.version() == f"tflite-runtime {runtime}"
    else:
        with pytest.raises(MissingRuntime, match="built for NumPy 1"):
            tflite.version()


def test_onnx_from_bytes_and_from_a_file(rectify, tmp_path):
    (tmp_path / "m.onnx").write_bytes(rectify)
    feeds = {"x": np.array([[-1, 2]], np.float32)}
    for source in (rectify, tmp_path / "m.onnx"):
        assert onnx.run_onnx(source, feeds)["relu"].tolist() == [[0, 2]]


@pytest.mark.parametrize(
    "feeds",
    [
        {},
        {"x": np.zeros((1, 3), np.float32)},
        {"x": np.zeros((1, 2), np.float64)},
        {"x": np.zeros((1, 2), np.float32), "z": np.zeros(1, np.float32)},
    ],
)
def test_onnx_inputs_that_do_not_fit(rectify, feeds):
    with pytest.raises(DataShapeError, match="ONNX model"):
        onnx.run_onnx(rectify, feeds)


def test_onnx_files_that_are_damaged(rectify, tmp_path):
    (tmp_path / "cut.onnx").write_bytes(rectify[:-20])
    with pytest.raises(ModelFileError, match=r"cut\.onnx"):
        onnx.OnnxSession(tmp_path / "cut.onnx")
    with pytest.raises(ModelFileError):
        onnx.OnnxSession(b"nothing")


def test_no_onnxruntime(monkeypatch, rectify):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingRuntime, match="pip install onnxruntime"):
        onnx.OnnxSession(rectify)


def test_the_version_has_numbers():
    assert math.prod(int(part) >= 0 for part in onnx.version().split(".")[:2])
