"""The engine with what is left of pruned matrices learns as it does under masks, in less memory."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest
from tolerances import ENGINE_F32

from edgelearn import engine
from edgelearn.buffers import Buffers
from edgelearn.building import build
from edgelearn.config import parse_recipe
from edgelearn.evaluation import predict
from edgelearn.ir import run
from edgelearn.layers import Sparse, examples, kinds, places_of
from edgelearn.lowering import to_train_graph
from edgelearn.masking import PruneConfig, choose_masks, masked, ready
from edgelearn.modelfile import Model, from_bundle, to_bundle
from edgelearn.passes.sparsify import sparsify
from edgelearn.rng import Stream, uniform

CLASSES, STEPS, LR = 3, 20, 0.01
TOLERANCE = {"sgd": ENGINE_F32, "momentum": ENGINE_F32, "adam": LR / 100}
"""Adam's first step divides a gradient by itself: of one that is about 0 the roundings count."""
OBJECTS = 8192
"""Bytes of Python's own objects in a step."""
HEAD = {"kind": "dense", "units": CLASSES, "activation": "softmax"}
CELLS = ("gru", "lstm", "elman", "jordan")
STACKS = {
    "dense": ([{"kind": "dense", "units": 192}, {"kind": "dense", "units": 96}], (144,)),
    "tall": ([{"kind": "dense", "units": 40, "learn_projection": True}], (1100,)),
    **{
        kind: (
            [
                {"kind": kind, "units": 128, "returns": "sequence"},
                {"kind": kind, "units": 96, "learn_projection": True},
            ],
            (6, 64),
        )
        for kind in CELLS
    },
}


def recipe(name, optimizer="sgd"):
    layers, _ = STACKS[name]
    tables = {
        "name": name,
        "dataset": {"name": "digits"},
        "layers": [*layers, HEAD],
        "train": {"optimizer": optimizer},
    }
    return parse_recipe(tables, name)


def pruned(name, optimizer, pattern, sparsity=0.9):
    """The network under masks."""
    network = build(recipe(name, optimizer), STACKS[name][1], ["a", "b", "c"], None)
    masks = choose_masks(network, PruneConfig(pattern=pattern), sparsity)
    return masked(network, masks)


def learn(network, batch, steps=STEPS):
    buffers = Buffers(network, batch)
    x = uniform(5, Stream.INIT, 0, (steps * batch, *network.in_shape), 1.0)
    y = np.arange(len(x), dtype=np.int64) % CLASSES
    for step in range(steps):
        rows = np.arange(step * batch, (step + 1) * batch)
        engine.train_step(buffers, *buffers.load(x, y, rows), LR, network.learning())


def held_bytes(network):
    """Of all that is there without buffers: parameters, their places, what is remembered."""
    stored = sum(value.nbytes for value in network.stored().values())
    return stored + sum(block.masks_bytes for block in network.blocks)


@pytest.mark.parametrize("pattern", ["unstructured", "1x4"])
@pytest.mark.parametrize("batch", [1, 6])
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("name", STACKS)
def test_what_is_left_learns_the_same(name, optimizer, batch, pattern):
    under_masks = pruned(name, optimizer, pattern)
    network = pruned(name, optimizer, pattern).compact()
    assert any(places_of(block.params) for block in network.blocks)
    before = {key: value.copy() for key, value in network.whole().stored().items()}
    learn(under_masks, batch)
    learn(network, batch)
    after, expected = network.whole().stored(), under_masks.stored()
    for block in network.blocks:
        for key in block.learned():
            name = f"{block.name}.{key}"
            np.testing.assert_allclose(after[name], expected[name], atol=TOLERANCE[optimizer])
            assert not np.array_equal(after[name], before[name])
    x = uniform(7, Stream.INIT, 0, (9, *network.in_shape), 1.0)
    said = predict(network, x), predict(under_masks, x)
    np.testing.assert_allclose(*said, atol=TOLERANCE[optimizer])


@pytest.mark.parametrize("name", STACKS)
def test_the_graph_of_it_learns_the_same(name):
    network = pruned(name, "momentum", "1x4").compact()
    graph = sparsify(to_train_graph(network))
    states = {state.input: state.init.copy() for state in graph.states}
    x = uniform(5, Stream.INIT, 0, (4, *network.in_shape), 1.0)
    y = np.arange(4, dtype=np.int64) % CLASSES
    feeds = {"x": x, "y": y, "lr": np.array(0.01, np.float32)}
    buffers = Buffers(network, 4)
    for _ in range(STEPS):
        states = run(graph, feeds, states).states
        engine.train_step(buffers, *buffers.load(x, y, np.arange(4)), 0.01, network.learning())
    for key, value in network.stored().items():
        if key in states:  # others are constants
            np.testing.assert_allclose(states[key], value, atol=ENGINE_F32)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("pattern", ["unstructured", "1x4"])
@pytest.mark.parametrize("name", ["dense", "tall", "gru", "lstm", "elman"])
def test_parameters_take_a_quarter_of_the_memory(name, optimizer, pattern):
    """At 90 % zeros, places and the head included; in the plan, and in what Python counts."""
    under_masks = pruned(name, optimizer, pattern)
    whole = masked(under_masks, {})
    under_masks.compact()  # fills Python's caches
    gc.collect()
    tracemalloc.start()
    network = under_masks.compact()
    traced, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    shared = sum(v.nbytes for k, v in network.stored().items() if v is under_masks.stored()[k])
    assert held_bytes(network) < 0.25 * held_bytes(whole)
    assert traced < held_bytes(network) - shared + 2 * OBJECTS
    planned = [engine.working_set_bytes(n, 1) for n in (whole, network)]
    gradients = [held_bytes(n) for n in (whole, network)]
    assert planned[0] - planned[1] >= gradients[0] - gradients[1]


@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("name", STACKS)
def test_a_step_allocates_nothing(name, batch):
    network = pruned(name, "sgd", "1x4").compact()
    buffers = Buffers(network, batch)
    x = uniform(5, Stream.INIT, 0, (batch, *network.in_shape), 1.0)
    y, rows = np.arange(batch, dtype=np.int64) % CLASSES, np.arange(batch)

    def step():
        engine.train_step(buffers, *buffers.load(x, y, rows), 0.01, network.learning())

    for _ in range(10):
        step()
    tracemalloc.start()
    step()
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    step()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - before <= OBJECTS


def test_a_file_comes_back_as_what_is_left():
    network = pruned("gru", "adam", "1x4").compact()
    learn(network, 2, steps=3)
    model = Model(network, recipe("gru", "adam"), None, {}, {})
    again = from_bundle(to_bundle(model), "again").network
    for key, value in network.stored().items():
        np.testing.assert_array_equal(again.stored()[key], value)
    for one, other in zip(network.blocks, again.blocks, strict=True):
        assert places_of(one.params).keys() == places_of(other.params).keys()


def test_controls_learn_whole_matrices():
    network = pruned("dense", "sgd", "1x4")
    train = recipe("dense").train
    for method, sparse in (("tpsgd", True), ("shallow", True), ("bp", False), ("drtp", False)):
        found = ready(network.compact(), type(train)(method=method))
        assert any(places_of(block.params) for block in found.blocks) == sparse


def test_there_and_back_nothing_changes():
    network = pruned("lstm", "adam", "1x4", 0.95)
    learn(network, 2, steps=2)
    again = network.compact().whole()
    for one, other in zip(network.blocks, again.blocks, strict=True):
        for key, value in one.params.items():
            np.testing.assert_array_equal(other.params[key], value)
        for key, mask in one.masks.items():
            np.testing.assert_array_equal(other.masks[key], mask)


def test_layers_that_can_are_those_that_are_tested():
    able = {layer.kind for layer, _ in examples() if isinstance(layer, Sparse)}
    assert able == {*CELLS, "dense"} <= kinds().keys()
