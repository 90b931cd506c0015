"""Projections of many classes that are made a chunk at a time and never held."""

from __future__ import annotations

import dataclasses
import statistics
import tracemalloc

import numpy as np
import pytest
from tolerances import ENGINE_F32

from edgelearn import engine, workflow
from edgelearn.buffers import Buffers
from edgelearn.building import build
from edgelearn.config import parse_recipe
from edgelearn.controls import Control, training_bytes
from edgelearn.errors import ConfigError
from edgelearn.evaluation import evaluate
from edgelearn.ir import run
from edgelearn.lowering import to_exit_graph, to_train_graph
from edgelearn.targets import SignRows, projection

CLASSES, UNITS, CHUNK, BATCH = 1000, 128, 64, 16
STEPS = 5
NAMES = tuple(str(c) for c in range(CLASSES))


def recipe_of(loss="cross_entropy", chunk=CHUNK, classes=CLASSES, **local):
    hidden = {"kind": "dense", "units": UNITS, "loss": loss, "projection": "sign", **local}
    if chunk:
        hidden["chunk"] = chunk
    head = {"kind": "dense", "units": classes, "activation": "softmax"}
    train = {"batch": BATCH, "schedule": "simultaneous"}
    layers = [hidden, head]
    return parse_recipe({"dataset": {"name": "digits"}, "layers": layers, "train": train}, "recipe")


def network_of(data, **settings):
    return workflow.new_model(recipe_of(**settings), data).network


@pytest.fixture(scope="module")
def many(digits):
    """The digits, and 990 classes of which there is no sample."""
    return dataclasses.replace(digits, classes=NAMES)


@pytest.mark.parametrize(("classes", "units"), [(1000, 256), (7, 3), (1, 1), (130, 65)])
@pytest.mark.parametrize("chunk", [1, 64, 1000])
def test_rows_are_those_of_the_whole_matrix_to_the_bit(classes, units, chunk):
    rows = SignRows(classes, units, 2.0, 9, 3, min(chunk, classes))
    whole = projection("sign", classes, units, 2.0, 9, 3)
    assert np.array_equal(rows.whole(), whole)
    made, work = np.zeros((0, units), np.float32), np.full(rows.work_size(0), np.nan, np.float32)
    for part, some in rows._chunks(work):
        assert len(some) <= chunk
        assert part.start == len(made)
        made = np.concatenate([made, some])
    assert np.array_equal(made, whole)


@pytest.mark.parametrize("loss", ["cross_entropy", "hinge", "squared_hinge"])
def test_learning_is_the_same_as_with_the_whole_matrix(many, loss):
    networks = [network_of(many, loss=loss, chunk=chunk) for chunk in (CHUNK, None)]
    losses = []
    for network in networks:
        buffers = Buffers(network, BATCH)
        for step in range(STEPS):
            loaded = buffers.load(many.x_train, many.y_train, np.arange(BATCH) + step * BATCH)
            losses.append(engine.train_step(buffers, *loaded, 0.01, [0, 1]))
    assert losses[:STEPS] == pytest.approx(losses[STEPS:], abs=1e-5)
    by_chunk, whole = (network.stored() for network in networks)
    for name, value in whole.items():
        np.testing.assert_allclose(by_chunk[name], value, atol=ENGINE_F32)
    marks = [evaluate(network, many.x_test, many.y_test) for network in networks]
    assert marks[0].layers[0].accuracy == marks[1].layers[0].accuracy


def test_the_graph_holds_it_as_a_constant(many):
    network = network_of(many)
    graph = to_train_graph(network)
    assert graph.constants["dense1.p"].shape == (CLASSES, UNITS)
    buffers, rows = Buffers(network, BATCH), np.arange(BATCH)
    feeds = {
        "x": many.x_train[rows].astype(np.float32),
        "y": many.y_train[rows],
        "lr": np.array(0.01, np.float32),
    }
    result = run(graph, feeds)
    engine.train_step(buffers, *buffers.load(many.x_train, many.y_train, rows), 0.01, [0, 1])
    for name, value in network.stored().items():
        np.testing.assert_allclose(result.states[name], value, atol=ENGINE_F32)
    assert "dense1.p" in to_exit_graph(network).constants


def test_memory_is_that_of_one_chunk(many):
    train = recipe_of().train
    by_chunk, whole = (network_of(many, chunk=chunk) for chunk in (CHUNK, None))
    assert not by_chunk.fixed()
    saved = training_bytes(whole, train) - training_bytes(by_chunk, train)
    # A chunk may cost less than its size: the head works in the same room when its turn comes.
    assert 4 * UNITS * (CLASSES - CHUNK - BATCH) <= saved <= 4 * UNITS * CLASSES
    assert saved > 0.9 * 4 * UNITS * (CLASSES - 100)


def test_a_step_allocates_far_less_than_the_matrix(many):
    network = network_of(many)
    buffers = Buffers(network, BATCH)
    loaded = buffers.load(many.x_train, many.y_train, np.arange(BATCH))
    engine.train_step(buffers, *loaded, 0.01, [0])  # compiles
    peaks = []
    for _ in range(3):
        tracemalloc.start()
        engine.train_step(buffers, *loaded, 0.01, [0])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert statistics.median(peaks) < 4 * CHUNK * UNITS
    assert 10 * statistics.median(peaks) < 4 * CLASSES * UNITS


MISTAKES = {
    "not of signs": {"projection": "gauss"},
    "a distance": {"loss": "l2"},
    "similarity": {"loss": "predsim"},
    "learned": {"learn_projection": True},
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named(mistake):
    with pytest.raises(ConfigError, match="chunk beside projection 'sign'"):
        build(recipe_of(**MISTAKES[mistake]), (64,), NAMES, None)


def test_more_rows_than_classes_are_all_of_them(digits):
    network = network_of(digits, classes=10, chunk=64)
    assert network.blocks[0].readout.projection.chunk == 10


@pytest.mark.parametrize("method", ["drtp", "dfa"])
def test_controls_that_need_the_matrix(many, method):
    with pytest.raises(ConfigError, match="no chunk of it"):
        Control(network_of(many), method, batch=4, seed=0)
    Control(network_of(many), "bp", batch=4, seed=0)
