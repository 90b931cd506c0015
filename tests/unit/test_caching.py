"""Cached inputs: the same to the bit as inputs that are made again in every step, and counted."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from edgelearn import trainer, workflow
from edgelearn.buffers import Buffers
from edgelearn.caching import cache_bytes, largest_cache
from edgelearn.config import parse_recipe, to_tables
from edgelearn.errors import OverBudget
from edgelearn.progress import Observer
from edgelearn.stages import run_bytes, stages
from edgelearn.trainer import fit

HIDDEN = {"kind": "dense", "units": 24}
HEAD = {"kind": "dense", "units": 10, "activation": "softmax"}
DEEP = [HIDDEN, HIDDEN, HIDDEN, HEAD]
JOINED = [
    HIDDEN,
    HIDDEN,
    {**HIDDEN, "inputs": ["dense1", "dense2"]},
    {**HIDDEN, "learn": False},
    HEAD,
]
WIDE = [{**HIDDEN, "units": 200}, HEAD]  # OpenBLAS rounds otherwise in batches of other sizes
NORMED = [HIDDEN, {"kind": "batch_norm", "memory": 50.0}, HIDDEN, HIDDEN, HEAD]
IMAGES = [{"kind": "conv2d", "filters": 4}, {"kind": "max_pool"}, HIDDEN, HEAD]


def recipe_of(layers, **train):
    tables = to_tables(workflow.embedded_recipe())
    tables["layers"] = layers
    tables["train"] |= {"epochs": 2, "batch": 32, **train}
    return parse_recipe(tables, "recipe")


def trained(recipe, data, monkeypatch):
    """What was reached, and how many samples were run from their beginning."""
    count = 0
    original = Buffers.load

    def load(self, x, y, rows):
        nonlocal count
        count += len(rows)
        return original(self, x, y, rows)

    model, history = workflow.new_model(recipe, data), []
    monkeypatch.setattr(Buffers, "load", load)
    observer = Observer(on_epoch=history.append)
    fit(model.network, data.x_train, data.y_train, recipe.train, observer=observer)
    monkeypatch.undo()
    return model.network.stored(), history, count


@pytest.fixture(scope="module")
def images(digits):
    """The digits as images."""
    from dataclasses import replace

    shape = (-1, 8, 8)
    x_train, x_test = digits.x_train.reshape(shape), digits.x_test.reshape(shape)
    return replace(digits, x_train=x_train, x_test=x_test)


@pytest.mark.parametrize("batch", [1, 7, 100, 500, 2000])
@pytest.mark.parametrize(
    "layers",
    [DEEP, JOINED, WIDE, NORMED, IMAGES],
    ids=["deep", "joined", "wide", "normed", "images"],
)
def test_the_same_to_the_bit(digits, images, monkeypatch, layers, batch):
    data = images if layers is IMAGES else digits
    plain, told, runs = trained(recipe_of(layers, batch=batch), data, monkeypatch)
    recipe = recipe_of(layers, batch=batch, cache_bytes=10_000_000)
    cached, again, fewer = trained(recipe, data, monkeypatch)
    assert told == again
    for name, value in plain.items():
        assert np.array_equal(cached[name], value)
    assert fewer < runs or batch == 2000


def test_each_stage_runs_every_sample_once_and_ragged_batches_again(digits, monkeypatch):
    recipe = recipe_of(DEEP, cache_bytes=10_000_000)
    _, _, runs = trained(recipe, digits, monkeypatch)
    samples = len(digits.x_train)
    made = samples - samples % 32 + 32  # the last batch is filled up
    assert runs == 2 * samples + 3 * (made + 2 * (samples % 32))


def test_a_cache_that_does_not_fit_is_not_made(digits, monkeypatch):
    small = 4 * 24 * len(digits.x_train)
    assert trained(recipe_of(DEEP, cache_bytes=small - 1), digits, monkeypatch)[2] == 8 * 1258
    assert trained(recipe_of(DEEP, cache_bytes=small), digits, monkeypatch)[2] < 8 * 1258


def test_what_is_cached_is_counted(digits):
    recipe = recipe_of(DEEP)
    network = workflow.new_model(recipe, digits).network
    plan = stages(network, recipe.train)
    assert [cache_bytes(network, learning, 100) for learning in plan] == [0, 9600, 9600, 9600]
    assert cache_bytes(network, [0, 1], 100) == 0
    assert largest_cache(network, plan, 100, 9599) == 0
    assert largest_cache(network, plan, 100, 20_000) == 9600
    assert largest_cache(network, plan, None, 20_000) == 20_000
    assert largest_cache(network, plan[:1], None, 20_000) == 0
    cached = msgspec.structs.replace(recipe.train, cache_bytes=20_000)
    without = run_bytes(network, recipe.train)
    assert run_bytes(network, cached, 100) == without + 9600
    assert run_bytes(network, cached) == without + 20_000


def test_what_follows_the_data_is_not_cached(digits, monkeypatch):
    """Batch normalisation moves with every step of the layer that reads it."""
    layers = [HIDDEN, {"kind": "batch_norm"}, HIDDEN, {"kind": "batch_norm"}, HEAD]
    plain = trained(recipe_of(layers), digits, monkeypatch)
    cached = trained(recipe_of(layers, cache_bytes=10_000_000), digits, monkeypatch)
    assert cached[2] == plain[2]
    assert cached[1] == plain[1]


def test_a_budget_asks_to_leave_it_out(digits):
    recipe = recipe_of(DEEP, cache_bytes=10_000_000)
    need = run_bytes(workflow.new_model(recipe, digits).network, recipe.train, len(digits.x_train))
    workflow.require_budget(recipe, digits, need)
    with pytest.raises(OverBudget, match=r"-s train\.cache_bytes=0 fits"):
        workflow.require_budget(recipe, digits, need - 1)


def test_simultaneous_learning_has_no_cache(digits, monkeypatch):
    monkeypatch.setattr(trainer, "Cache", lambda *_: pytest.fail("made"))
    trained(recipe_of(DEEP, cache_bytes=10_000_000, schedule="simultaneous"), digits, monkeypatch)
