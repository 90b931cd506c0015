"""Exported C as firmware uses it: its functions, its slots, other compilers, what it refuses."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from c_programs import SANITIZED, files_of, tool
from tolerances import C_F32

from edgelearn import workflow
from edgelearn.config import parse_recipe
from edgelearn.export.c_program import to_program
from edgelearn.export.c_target import split
from edgelearn.ir import run
from edgelearn.lowering import to_graph, to_train_graph
from edgelearn.runtimes import cc

MAIN = Path(__file__).parent.parent / "c_slots_main.c"


@pytest.fixture(scope="module")
def program(trained):
    graphs = split(to_train_graph(trained.network))
    return to_program("model", graphs)


@pytest.mark.parametrize(
    "command",
    [
        ["gcc", "-std=c99", *SANITIZED],
        ["gcc", "-std=c99", "-O3"],
        ["clang", "-std=c99", "-O2", "-Wno-unused-command-line-argument"],
        ["g++", "-std=c++11", "-O1", "-x", "c++"],
    ],
    ids=lambda command: f"{command[0]}{command[2]}",
)
def test_saved_loaded_and_refused(program, tmp_path, command):
    """A power cut at many places, spoilt bytes, NaN, infinity, labels that do not exist."""
    compiler = [tool(command[0]), *command[1:], *cc.STRICT[1:]]
    files = {**files_of(program), "slots.c": MAIN.read_text()}
    made = cc.build(tmp_path, files, compiler, of=["model.c", "slots.c"])
    line = subprocess.run([made], check=False, timeout=60).returncode
    assert line == 0, f"c_slots_main.c, a check near line {line} (mod 256)"


@pytest.mark.parametrize("hidden", ["dense", "dropout", "batch_norm"])
def test_predict_is_inference_with_what_was_learned(hidden, digits):
    """Nothing is dropped by chance, nothing follows the data, at whatever step learning is."""
    layers = [{"kind": "dense", "units": 9}, {"kind": hidden}] if hidden != "dense" else []
    layers = [*layers, {"kind": "dense", "units": 10, "activation": "softmax"}]
    recipe = parse_recipe({"dataset": {"name": "digits"}, "layers": layers}, "small")
    network = workflow.new_model(recipe, digits).network
    graphs = split(to_train_graph(network))
    x, y = digits.x_train[:4].astype(np.float32), digits.y_train[:4]
    states = {}
    for _ in range(3):
        feeds = {"x": x, "y": y, "lr": np.array(0.1, np.float32)}
        states = run(graphs["learn"], feeds, states).states
    assert graphs["predict"].inputs == ("x",)
    got = run(graphs["predict"], {"x": x}, states).outputs["probabilities"]
    learned = {name: value for name, value in states.items() if name != "step"}
    wanted = run(to_graph(network.with_arrays(learned)), {"x": x}).outputs["probabilities"]
    np.testing.assert_allclose(got, wanted, atol=C_F32)
    assert ("step" in states) == (hidden == "dropout")
