"""Recipes: what is right is read back the same, and each mistake is named where it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgelearn import workflow
from edgelearn.config import (
    BlockConfig,
    InputConfig,
    LocalConfig,
    Recipe,
    TrainConfig,
    parse_recipe,
    read_recipe,
    to_tables,
)
from edgelearn.datasets import Source
from edgelearn.errors import ConfigError, EdgelearnError, MissingFile, OptionError, UnknownName
from edgelearn.layers.dense import Dense

MODELS = Path(__file__).parents[2] / "models"
RECIPES = sorted(p for p in MODELS.glob("*.toml") if "budget" not in p.name)

DATASET = 'dataset = { name = "digits" }\n'
HEAD = '[[layers]]\nkind = "dense"\nunits = 10\nactivation = "softmax"\n'
GOOD = f'name = "r"\n{DATASET}{HEAD}[train]\nepochs = 3\n'


def written(tmp_path, text: str | bytes) -> Path:
    path = tmp_path / "r.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def refused(kind, path, *overrides) -> str:
    with pytest.raises(kind) as caught:
        read_recipe(path, overrides)
    message = str(caught.value)
    assert type(caught.value) is kind
    assert "\n" not in message
    assert caught.value.exit_code == 2
    return message


def test_every_recipe_of_the_project():
    assert len(RECIPES) >= 2
    for path in RECIPES:
        recipe = read_recipe(path)
        assert recipe.name == path.stem
        assert parse_recipe(to_tables(recipe), "again") == recipe


def test_the_embedded_recipe_is_that_of_the_folder():
    assert workflow.embedded_recipe() == read_recipe(MODELS / "digits-mlp.toml")


def test_what_is_left_out_has_its_default(tmp_path):
    recipe = read_recipe(written(tmp_path, DATASET + HEAD))
    assert recipe == Recipe(
        name="model",
        dataset=Source(name="digits"),
        layers=(BlockConfig(Dense(units=10, activation="softmax"), LocalConfig()),),
        input=InputConfig(),
        train=TrainConfig(),
    )


def test_what_is_said_is_taken(tmp_path):
    text = f"""
    name = "grösse"
    dataset = {{ format = "npz", path = "a b.npz" }}
    input = {{ normalize = "minmax", over = "all" }}
    [[layers]]
    kind = "dense"
    units = 7
    activation = "relu"
    loss = "l1"
    projection = "sign"
    gain = 3
    lr_scale = 0.5
    {HEAD}
    [train]
    epochs = 2
    batch = 1
    lr = 1
    lr_schedule = "constant"
    seed = 9
    schedule = "simultaneous"
    """
    recipe = read_recipe(written(tmp_path, text))
    assert recipe.name == "grösse"
    assert recipe.dataset == Source(format="npz", path="a b.npz")
    assert recipe.input == InputConfig(normalize="minmax", over="all")
    hidden = recipe.layers[0]
    assert hidden.layer == Dense(units=7, activation="relu")
    assert hidden.local == LocalConfig(loss="l1", projection="sign", gain=3.0, lr_scale=0.5)
    assert recipe.train == TrainConfig(
        epochs=2, batch=1, lr=1.0, lr_schedule="constant", seed=9, schedule="simultaneous"
    )
    assert parse_recipe(to_tables(recipe), "again") == recipe


@pytest.mark.parametrize("start", [b"\xef\xbb\xbf", b"# a comment\r\n"])
def test_files_of_other_systems(tmp_path, start):
    read_recipe(written(tmp_path, start + GOOD.replace("\n", "\r\n").encode()))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"name = \xff", "utf-8"),
        (b"a = ", "value"),
        (b"a = 1\nb\n", "line 2"),
        (DATASET + DATASET + HEAD, "line 2"),
        ("a = " + "[" * 3000 + "]" * 3000, "TOML"),
        (b"\0", "TOML"),
        (b"PK\x03\x04", "TOML"),
    ],
)
def test_files_that_are_not_toml(tmp_path, text, reason):
    assert reason in refused(ConfigError, written(tmp_path, text))


# Each mistake: what is written, and what the message must say of it.
MISTAKES = {
    "": ["[[layers]]", "got none"],
    DATASET: ["[[layers]]", "got none"],
    DATASET + "layers = []": ["[[layers]]", "got []"],
    DATASET + 'layers = "x"': ["[[layers]]", "'x'"],
    DATASET + "layers = [3]": ["[[layers]] 1", "a table", "got 3"],
    DATASET + '[layers]\nkind = "dense"': ["[[layers]]"],
    HEAD: ["[dataset]", "a table"],
    "dataset = 3\n" + HEAD: ["[dataset]", "a table", "got 3"],
    'dataset = { nme = "x" }\n' + HEAD: ["[dataset]", "'nme'", "did you mean 'name'"],
    "dataset = { path = 3 }\n" + HEAD: ["[dataset]", "path", "str", "got 3"],
    "trian = 3\n" + GOOD: ["'trian'", "did you mean 'train'"],
    "epochs = 3\n" + GOOD: ["'epochs'", "input, layers, name, train"],
    GOOD.replace('"r"', "3"): ["name", "str", "got 3"],
    GOOD.replace("epochs", "epoch"): ["[train]", "'epoch'", "did you mean 'epochs'"],
    GOOD.replace("= 3", "= 0"): ["[train]", "epochs", ">= 1", "got 0"],
    GOOD.replace("= 3", "= -1"): ["[train]", "epochs", ">= 1", "got -1"],
    GOOD.replace("= 3", "= 1.5"): ["[train]", "epochs", "int", "got 1.5"],
    GOOD.replace("= 3", '= "3"'): ["[train]", "epochs", "int", "got '3'"],
    GOOD.replace("= 3", "= true"): ["[train]", "epochs", "int", "got True"],
    GOOD.replace("= 3", "= 2020-01-01"): ["[train]", "epochs", "int"],
    GOOD + "batch = 0": ["batch", ">= 1"],
    GOOD + "batch = 5000": ["batch", "<= 4096"],
    GOOD + "lr = 0": ["lr", "> 0"],
    GOOD + "lr = -0.1": ["lr", "> 0"],
    GOOD + "lr = nan": ["lr", "got nan"],
    GOOD + "lr = inf": ["lr", "got inf"],
    GOOD + "lr = 1e39": ["lr", "1e+38"],
    GOOD + 'lr = "fast"': ["lr", "float", "got 'fast'"],
    GOOD + "seed = -1": ["seed", ">= 0"],
    GOOD + "seed = 9223372036854775808": ["seed", "<= 9223372036854775807"],
    GOOD + 'schedule = "layer-wise"': ["schedule", "simultaneous", "did you mean 'layerwise'"],
    GOOD + "schedule = 1": ["schedule", "layerwise, simultaneous", "got 1"],
    GOOD + 'lr_schedule = "cosin"': ["lr_schedule", "did you mean 'cosine'"],
    GOOD.replace("[train]", "[[train]]"): ["[train]", "a table"],
    GOOD + '[input]\nnormalise = "none"': ["[input]", "did you mean 'normalize'"],
    GOOD + '[input]\nnormalize = "minmaks"': ["[input]", "none, standard", "did you mean 'minmax'"],
    GOOD + '[input]\nover = "features"': ["[input]", "did you mean 'feature'"],
    DATASET + "[[layers]]\nunits = 3": ["[[layers]] 1", "kind"],
    DATASET + "[[layers]]\nkind = 3": ["[[layers]] 1", "kind", "got 3"],
    DATASET + '[[layers]]\nkind = ["dense"]': ["[[layers]] 1", "kind"],
    DATASET + '[[layers]]\nkind = "dense"': ["[[layers]] 1", "'units'", "got none"],
    GOOD.replace("units = 10", "units = 0"): ["[[layers]] 1", "units", ">= 1"],
    GOOD.replace("units = 10", "units = -3"): ["[[layers]] 1", "units", ">= 1"],
    GOOD.replace("units = 10", "units = 10.0"): ["[[layers]] 1", "units", "int", "got 10.0"],
    GOOD.replace("units = 10", "units = 99999999999999999999"): ["units", "<="],
    GOOD.replace("units", "unit"): ["[[layers]] 1", "'unit'", "did you mean 'units'"],
    GOOD.replace("softmax", "sofmax"): ["[[layers]] 1", "activation", "did you mean 'softmax'"],
    DATASET + HEAD + 'los = "l2"': ["[[layers]] 1", "did you mean 'loss'"],
    DATASET + HEAD + 'loss = "nll"': [
        "[[layers]] 1",
        "loss",
        "cross_entropy, hinge, huber, l1, l2, mse, predsim",
    ],
    DATASET + HEAD + 'projection = "signs"': ["[[layers]] 1", "did you mean 'sign'"],
    DATASET + HEAD + "gain = 0": ["[[layers]] 1", "gain", "> 0"],
    DATASET + HEAD + "gain = inf": ["[[layers]] 1", "gain", "got inf"],
    DATASET + HEAD + "gain = nan": ["[[layers]] 1", "gain", "got nan"],
    DATASET + HEAD + "lr_scale = -1": ["[[layers]] 1", "lr_scale", ">= 0"],
    DATASET + HEAD + "lr_scale = inf": ["[[layers]] 1", "lr_scale", "got inf"],
    DATASET + HEAD + HEAD + "units = 3\n": ["TOML", "line 10"],
    DATASET + HEAD + HEAD + "wide = 3": ["[[layers]] 2", "'wide'"],
}


@pytest.mark.parametrize("text", MISTAKES)
def test_mistakes_are_named(tmp_path, text):
    path = written(tmp_path, text)
    message = refused(ConfigError, path)
    assert message.startswith(f"E2001 recipe {str(path)!r}")
    assert "Fix: " in message
    for word in MISTAKES[text]:
        assert word in message


def test_an_unknown_kind_of_layer(tmp_path):
    text = GOOD.replace('"dense"', '"dens"')
    message = refused(UnknownName, written(tmp_path, text))
    assert "[[layers]] 1" in message
    assert "write 'dense'" in message


def test_missing_files(tmp_path):
    assert "no such file" in refused(MissingFile, tmp_path / "none.toml")
    assert "directory" in refused(MissingFile, tmp_path)


# Overrides


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("train.epochs=7", {"epochs": 7}),
        ("train.epochs = 7", {"epochs": 7}),
        (" train.epochs=7", {"epochs": 7}),
        ("train.lr=1e-3", {"lr": 0.001}),
        ("train.schedule=simultaneous", {"schedule": "simultaneous"}),
        ('train.schedule="simultaneous"', {"schedule": "simultaneous"}),
    ],
)
def test_overrides(tmp_path, override, changed):
    before = to_tables(read_recipe(written(tmp_path, GOOD)))
    after = to_tables(read_recipe(tmp_path / "r.toml", [override]))
    before["train"] |= changed
    assert after == before


def test_overrides_make_tables_and_the_last_wins(tmp_path):
    path = written(tmp_path, DATASET + HEAD)
    recipe = read_recipe(path, ["train.seed=3", "train.seed=4", "name=a=b", "input.normalize=none"])
    assert (recipe.train.seed, recipe.name, recipe.input.normalize) == (4, "a=b", "none")


@pytest.mark.parametrize(
    "override",
    ["train", "", "=3", "train.=3", "name.x=3", "layers.0.units=3", "train.epochs.x=3", "a.b.c"],
)
def test_overrides_that_are_none(tmp_path, override):
    message = refused(OptionError, written(tmp_path, GOOD), override)
    assert repr(override) in message
    assert "train.epochs=5" in message


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.epochs=abc", ["epochs", "int", "'abc'"]),
        ("train.epochs=", ["epochs", "int", "''"]),
        ("train.epochs=1]", ["epochs", "'1]'"]),
        ("train.epochs=1\nbatch=3", ["epochs", "int"]),
        ("train.epochs=" + "[" * 3000, ["epochs", "int"]),
        ("train.epochs=[1]", ["epochs", "[1]"]),
        ("train.epoch=3", ["did you mean 'epochs'"]),
        ("trian.epochs=3", ["did you mean 'train.epochs'"]),
        ("epochs=3", ["option -s 'epochs=3'", "did you mean 'train.epochs'"]),
        ("normalise=none", ["option -s", "did you mean 'input.normalize'"]),
        ("layers=3", ["[[layers]]", "got 3"]),
        ("train=3", ["[train]", "got 3"]),
    ],
)
def test_overrides_with_wrong_values(tmp_path, override, words):
    message = refused(ConfigError, written(tmp_path, GOOD), override)
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    "tables", [{}, {"layers": None}, {"layers": [None]}, {"layers": [{"kind": None}]}]
)
def test_tables_that_come_from_json(tables):
    with pytest.raises(EdgelearnError):
        parse_recipe(tables, "here")
