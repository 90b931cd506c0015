"""`edgelearn train` by other methods than its own, on images and on sequences."""

from __future__ import annotations

import numpy as np
import pytest

from edgelearn import modelfile
from edgelearn.ir import plan_arena
from edgelearn.planning import plan_recipe

HEAD = """
[[layers]]
kind = "dense"
units = 10
activation = "softmax"
[train]
epochs = 4
lr = 0.01
schedule = "simultaneous"
optimizer = "adam"
"""
LAYERS = {
    "conv": """[[layers]]
kind = "conv2d"
filters = 8
[[layers]]
kind = "max_pool"
""",
    "gru": """[[layers]]
kind = "gru"
units = 24
""",
}
START = 'name = "small"\ndataset = { format = "npz", path = "images.npz" }\n'
FLOORS = {"bp": 0.85, "fa": 0.8, "dfa": 0.8, "drtp": 0.6}


@pytest.fixture(params=LAYERS)
def recipe(request, here, digits):
    """A recipe for real digits as images or sequences of rows."""
    parts = {
        f"{key}_{part}": getattr(digits, f"{key}_{part}")
        for key in "xy"
        for part in ("train", "test")
    }
    parts |= {key: value.reshape(-1, 8, 8) for key, value in parts.items() if key[0] == "x"}
    np.savez(here / "images.npz", **parts)
    path = here / "small.toml"
    path.write_text(START + LAYERS[request.param] + HEAD)
    return path


@pytest.mark.parametrize("method", FLOORS)
def test_a_control_learns_is_saved_and_evaluated(ask, here, recipe, method):
    report = ask("train", recipe, "--json", "-s", f"train.method={method}").json
    assert report["accuracy"] > FLOORS[method]
    assert modelfile.load(here / "model.safetensors").card["method"].startswith("control: ")
    assert ask("eval", "--json").json["accuracy"] == report["accuracy"]
    assert ask("export", "model.onnx", "--json").json["max_abs_error"]["onnxruntime"] < 1e-4


def test_a_budget_that_backpropagation_breaks(ask, recipe):
    method = ("-s", "train.method=bp", "-s", "train.batch=64")
    need = ask("train", recipe, "--json", *method, "-s", "train.epochs=1").json
    tight = need["working_set_bytes"] * 3 // 4
    ask("train", recipe, *method, "--budget", tight).refused(2, "working set", "-s train.batch=")


@pytest.mark.parametrize("method", ["tpsgd", *FLOORS])
def test_a_plan_is_that_of_the_method(recipe, method):
    recipe.write_text(f'{recipe.read_text()}method = "{method}"\n')
    planned = plan_recipe(recipe)
    suffix = "train" if method == "tpsgd" else method
    assert planned.graphs["train"].name == f"small-{suffix}"
    if method in ("bp", "fa"):
        arena = plan_arena(planned.graphs["train"].bind(planned.batch)).size_bytes
        parameters = sum(state.init.nbytes for state in planned.graphs["train"].states)
        assert planned.working_set_bytes > arena + parameters
