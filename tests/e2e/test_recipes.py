"""Every recipe: trained, exported in both phases, simulated, checked; and what it must reach."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgelearn import datasets, shipped, workflow
from edgelearn.cli import run
from edgelearn.config import read_recipe
from edgelearn.progress import Observer

MODELS = Path(__file__).parents[2] / "models"
RECIPES = sorted(p for p in MODELS.glob("*.toml") if not p.name.endswith(".budget.toml"))


def data_of(path, request):
    """Skip unless the recipe's data is shipped or at hand."""
    name = read_recipe(path).dataset.name
    if name not in ("digits", "reber"):
        request.getfixturevalue("mnist_folder" if name == "mnist" else "data_folder")


def test_there_are_recipes():
    assert {p.stem for p in RECIPES} >= {"digits-mlp", "mnist-mlp"}


def test_every_recipe_is_shipped_under_its_name():
    assert shipped.names() == [path.stem for path in RECIPES]
    for path in RECIPES:
        assert shipped.shipped_recipe(path.stem) == read_recipe(path)


def test_recipes_are_part_of_the_package():
    """`models` is the package's folder of recipes, which a wheel holds: there is no second copy."""
    setuptools = pytest.importorskip("setuptools", reason="not installed: nothing is built here")
    found = setuptools.find_namespace_packages(str(MODELS.parent), include=["edgelearn*"])
    assert "edgelearn.recipes" in found
    assert (MODELS.parent / "edgelearn" / "recipes").resolve() == MODELS


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_from_recipe_to_simulation(path, request, tmp_path, monkeypatch, capsys):
    data_of(path, request)
    monkeypatch.chdir(tmp_path)
    short = ("-s", "train.epochs=1", "-s", "dataset.samples=500")
    assert run(["train", str(path), *short, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["samples"] <= 500
    assert "accuracy" in report or "r2" in report
    for phase in ("infer", "train"):
        assert run(["export", f"{phase}.onnx", "--phase", phase, "--json"]) == 0
        exported = json.loads(capsys.readouterr().out)
        assert exported["bytes"] == Path(f"{phase}.onnx").stat().st_size
        assert run(["simulate", f"{phase}.onnx", "--device", "rpi-4b", "--json"]) == 0
        (simulated,) = json.loads(capsys.readouterr().out)
        assert run(["simulate", "--device", "rpi-4b", "--phase", phase, "--json"]) == 0
        (ours,) = json.loads(capsys.readouterr().out)
        if phase == "infer":
            assert simulated["weights_bytes"] == ours["weights_bytes"]


LEARNS = {
    "cifar-cnn": ("dataset.samples=3000", "train.epochs=3"),
    "fashion-rows-mingru": ("dataset.samples=4000", "train.epochs=3"),
    "keyword-mingru": ("train.epochs=3",),
    "activity-gru": ("dataset.samples=2000", "train.epochs=2"),
}


@pytest.mark.parametrize("name", LEARNS)
def test_hidden_layers_learn_what_helps(name, data_folder):
    """Beside its control: the same layers, frozen as they were drawn, under a head that learns."""
    found = {}
    for method in ("tpsgd", "shallow"):
        recipe = read_recipe(MODELS / f"{name}.toml", (*LEARNS[name], f"train.method={method}"))
        dataset = datasets.load(recipe.dataset)
        _, report = workflow.train(workflow.new_model(recipe, dataset), dataset, Observer())
        found[method] = report.accuracy
    assert found["tpsgd"] > found["shallow"] + 0.01


def test_digits_reach_965_in_three_seeds(digits):
    accuracies = []
    for seed in range(3):
        recipe = workflow.embedded_recipe((f"train.seed={seed}",))
        model = workflow.new_model(recipe, digits)
        _, report = workflow.train(model, digits, Observer())
        accuracies.append(report.accuracy)
        assert report.seconds < 30
    assert sum(accuracies) / 3 >= 0.965


@pytest.mark.slow
def test_mnist_reaches_97(mnist_folder):
    recipe = read_recipe(MODELS / "mnist-mlp.toml")
    dataset = datasets.load(recipe.dataset)
    model = workflow.new_model(recipe, dataset)
    _, report = workflow.train(model, dataset, Observer())
    assert report.accuracy >= 0.97
