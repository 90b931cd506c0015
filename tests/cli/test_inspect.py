"""`edgelearn inspect` on files of ours and of others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgelearn.cli import run


@pytest.fixture(scope="module")
def exported(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training step of the default model, as ONNX."""
    out = tmp_path_factory.mktemp("onnx") / "step.onnx"
    assert run(["export", str(out), "--model", str(model_path), "--phase", "train"]) == 0
    return out


@pytest.fixture(scope="module")
def mnist_onnx(data_folder: Path) -> Path:
    """A small convolutional network made by others."""
    path = data_folder.parent / "models" / "onnx_misc" / "mnist.onnx"
    if not path.is_file():
        pytest.skip("there is no models/onnx_misc/mnist.onnx beside EDGELEARN_DATA")
    return path


def inspected(path, capsys):
    capsys.readouterr()
    assert run(["inspect", str(path), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_our_own_file(model_path, capsys):
    found = inspected(model_path, capsys)
    assert found["bytes"] == model_path.stat().st_size
    infer, train = found["phases"]
    assert (infer["phase"], train["phase"]) == ("infer", "train")
    assert infer["inputs"] == {"x": "float32[batch, 64]"}
    assert infer["ops"]["MatMul"] == 2
    # 64 x 128 and 128 x 10 products; the arena holds the widest two values at once.
    assert infer["macs"] == 64 * 128 + 128 * 10
    assert infer["parameters"] >= 64 * 128 + 128 + 128 * 10 + 10
    assert infer["weights_bytes"] == 4 * infer["parameters"]
    assert 4 * (64 + 128) <= infer["arena_bytes"] <= 4 * (64 + 64 + 128 + 10)
    assert train["states"]["dense1.w"] == "float32[64, 128]"
    assert found["classes"] == [str(n) for n in range(10)]
    assert found["card"]["dataset"] == found["recipe"]["dataset"]["name"] == "digits"


def test_an_exported_file_says_the_same(model_path, exported, capsys):
    ours, theirs = inspected(model_path, capsys), inspected(exported, capsys)
    assert theirs["phases"] == [ours["phases"][1]]
    for key in ("classes", "recipe", "card"):
        assert theirs[key] == ours[key]


def test_a_file_made_by_others(mnist_onnx, capsys):
    found = inspected(mnist_onnx, capsys)
    (infer,) = found["phases"]
    assert infer["macs"] == 28 * 28 * 8 * 25 + 14 * 14 * 16 * 8 * 25 + 2560
    assert infer["parameters"] == 8 * 25 + 8 + 16 * 8 * 25 + 16 + 2570
    assert infer["ops"]["Conv2d"] == infer["ops"]["Pool2d"] == 2
    assert found["classes"] is found["recipe"] is found["card"] is None


def test_text_shows_inputs_operations_and_sizes(model_path, capsys):
    assert run(["inspect", str(model_path)]) == 0
    shown = capsys.readouterr().out
    for part in (
        "x: float32[batch, 64]",
        "2 MatMul",
        "9,472",
        "probabilities",
        "dense1.w",
        "arena",
    ):
        assert part in shown


@pytest.mark.parametrize(
    ("name", "content", "code", "message"),
    [
        ("notes.txt", b"hello", 2, "a .safetensors file of edgelearn, or an .onnx or .tflite file"),
        ("text.onnx", b"hello", 3, "E3001"),
        ("empty.onnx", b"", 3, "E3001"),
        ("text.safetensors", b"hello", 3, "E3001"),
        (None, b"", 2, "no such file"),
    ],
)
def test_files_that_are_no_models(name, content, code, message, tmp_path, capsys):
    path = tmp_path / (name or "absent.onnx")
    if name:
        path.write_bytes(content)
    assert run(["inspect", str(path)]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert path.name in captured.err


def test_recipe_and_card_are_told_without_json(model_path, capsys):
    capsys.readouterr()
    assert run(["inspect", str(model_path)]) == 0
    text = capsys.readouterr().out
    assert "{" not in text
    assert max(map(len, text.splitlines())) <= 140
    for words in ("train                 epochs=3, batch=16", "dense2   dense"):
        assert words in text
