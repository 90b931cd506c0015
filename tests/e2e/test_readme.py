"""What the README says works: its commands are typed, its Python is run, its recipe is parsed."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgelearn.cli import COMMANDS, run
from edgelearn.config import parse_recipe
from edgelearn.strict import parse_toml

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(language: str) -> list[str]:
    return [body for kind, body in BLOCK.findall(README.read_text("utf-8")) if kind == language]


def test_every_command_and_program_runs(tmp_path, monkeypatch, digits, capfd):
    monkeypatch.chdir(tmp_path)
    x = digits.x_test.astype(np.float32)
    np.savez("samples.npz", x=x, y=digits.y_test)
    typed = 0
    for body in blocks("console"):
        for line in body.splitlines():
            program, *arguments = shlex.split(line.removeprefix("$ "))
            assert program == "edgelearn"
            assert run(arguments) == 0, (line, capfd.readouterr())
            typed += 1
    assert typed >= 6
    for body in blocks("python"):
        subprocess.run([sys.executable, "-c", body], check=True)
    for name in ("learned.npz", "learned_tflite.npz"):
        assert np.load(name)["dense1.w"].shape == (64, 128)


def test_the_recipe_is_one():
    for body in blocks("toml"):
        recipe = parse_recipe(parse_toml(body.encode(), "README"), "README")
        assert recipe.name == "digits-mlp"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_named(command):
    assert command in README.read_text("utf-8")


def test_every_place_in_the_file_map_exists():
    section = README.read_text("utf-8").split("## File map")[1].split("\n## ")[0]
    for row in section.splitlines():
        if not row.startswith("| `"):
            continue
        for name in re.findall(r"`([^`]+)`", row.split("|")[1]):
            root = README.parent
            assert (root / name).exists() or (root / "edgelearn" / name).exists(), name
