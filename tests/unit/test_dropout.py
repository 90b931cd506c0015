"""Dropout in networks: when it acts, what it draws, and that a run can be stopped and resumed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from control_cases import batches

from edgelearn import engine, workflow
from edgelearn.buffers import Buffers
from edgelearn.caching import cache_bytes
from edgelearn.config import parse_recipe
from edgelearn.errors import ConfigError, GraphError, UnsupportedOp
from edgelearn.export.onnx_reader import read_graph
from edgelearn.export.onnx_writer import to_bytes, to_model
from edgelearn.ir import run
from edgelearn.ir.ops import Keep
from edgelearn.lowering import to_graph, to_train_graph
from edgelearn.rng import PERIOD, drawn
from edgelearn.trainer import fit

DROP = {"kind": "dropout", "rate": 0.25}
HIDDEN = {"kind": "dense", "units": 24}
HEAD = {"kind": "dense", "units": 10, "activation": "softmax"}


def model_of(digits, *layers, **train):
    tables = {"dataset": {"name": "digits"}, "layers": [*layers, HEAD], "train": train}
    return workflow.new_model(parse_recipe(tables, "recipe"), digits)


def plain_drawn(key, step, count):
    """The same numbers in Python's own integers, written from the description alone."""
    low, high = key % 2**31, key >> 31
    found = []
    for n in range(count):
        y = (low + step * 0x3504F333 + n * 0x5E3779B9) % 2**31
        z = y + (high + step * 0x5A827999) % 2**31
        x = ((y * y + y) >> 12) % 2**31
        x = ((x * x + z) >> 12) % 2**31
        found.append(((x * x + y) >> 12) % 2**24)
    return found


@pytest.mark.parametrize("key", [0, 1, 2**31, 2**62 - 1])
@pytest.mark.parametrize("step", [0, 1, PERIOD - 1])
def test_the_numbers_are_those_of_the_description(key, step):
    assert drawn(key, step, 50).tolist() == plain_drawn(key, step, 50)


def test_the_numbers_never_change():
    """What a resumed run or an exported step drops is part of the format."""
    assert drawn(2**62 - 1, PERIOD - 1, 2).tolist() == [13262385, 7702495]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_elements_and_steps_do_not_know_of_each_other(share):
    """Every correlation of a table of steps and elements is within that of fair chance."""
    steps, count = 500, 1024
    kept = np.stack([drawn(99, step, count) < share * 2**24 for step in range(1, steps + 1)])
    z = (kept - share) / np.sqrt(share * (1 - share))
    assert abs(z.mean()) * np.sqrt(z.size) < 4
    for axis in (0, 1):
        assert (z.mean(axis) ** 2).mean() * z.shape[axis] == pytest.approx(1, abs=0.2)
    for lag in (1, 2, 3, 8, 64, 256):
        for pairs in (z[:, lag:] * z[:, :-lag], z[lag:] * z[:-lag]):
            assert abs(pairs.mean()) * np.sqrt(pairs.size) < 5
    edges = np.linalg.svd(z[:, :250] / np.sqrt(steps), compute_uv=False)[[0, -1]]
    np.testing.assert_allclose(edges, 1 + np.array([1, -1]) * np.sqrt(0.5), atol=0.05)


def test_it_acts_while_those_that_read_it_learn(digits):
    network = model_of(digits, DROP, HIDDEN, DROP, DROP, HIDDEN).network
    assert network.acting([1]) == [0]
    assert network.acting([4]) == [2, 3]
    assert network.acting([5]) == []
    assert network.acting(network.learning()) == [0, 2, 3]
    assert [b.chance is None for b in network.learning_only([4]).blocks[:4:2]] == [True, False]
    keys = [network.blocks[index].chance for index in (0, 2, 3)]
    assert all(a != b for a, b in itertools.combinations(keys, 2))


def test_two_branches_read_one_dropout(digits):
    branches = [{**HIDDEN, "name": n, "inputs": ["dropout1"]} for n in ("a", "b")]
    join = {**HIDDEN, "inputs": ["a", "b"]}
    network = model_of(digits, DROP, *branches, join).network
    assert [network.acting([i]) for i in (1, 2, 3)] == [[0], [0], []]


def test_inference_does_not_know_of_it(digits):
    with_it, without = (model_of(digits, *layers).network for layers in ([DROP, HIDDEN], [HIDDEN]))
    kinds = [[type(n.op) for n in to_graph(network).nodes] for network in (with_it, without)]
    assert kinds[0] == kinds[1]


def test_the_step_is_counted_and_a_rate_of_0_is_inference(digits):
    network = model_of(digits, DROP, HIDDEN, DROP).network
    graph = to_train_graph(network)
    x = digits.x_train[:8].astype(np.float32)
    feeds = {"x": x, "y": digits.y_train[:8], "lr": np.array(0, np.float32)}
    quiet = run(graph, feeds, {"step": np.array(5, np.float32)})
    expected = run(to_graph(network), {"x": x}).outputs["probabilities"]
    assert np.array_equal(quiet.outputs["probabilities"], expected)
    assert quiet.states["step"] == 5
    feeds["lr"] = np.array(0.1, np.float32)
    before = run(graph, feeds, {"step": np.array(PERIOD - 2, np.float32)})
    assert before.states["step"] == PERIOD - 1
    assert run(graph, feeds, before.states).states["step"] == 0
    assert not np.array_equal(before.outputs["probabilities"], expected)


def test_the_engine_begins_again_where_the_graph_does(digits):
    network = model_of(digits, DROP, HIDDEN).network
    graph = to_train_graph(network)
    states = {s.input: s.init.copy() for s in graph.states}
    states["step"] = np.array(PERIOD - 3, np.float32)
    buffers = Buffers(network, 8)
    buffers.step = PERIOD - 3
    for rows in batches(5, 8):
        x, y = digits.x_train[rows].astype(np.float32), digits.y_train[rows]
        states = run(graph, {"x": x, "y": y, "lr": np.array(0.1, np.float32)}, states).states
        loaded = buffers.load(digits.x_train, digits.y_train, rows)
        engine.train_step(buffers, *loaded, 0.1, network.learning())
    for name, value in network.stored().items():
        np.testing.assert_allclose(states[name], value, atol=1e-5)


def test_what_it_drops_is_not_kept_in_a_cache(digits):
    network = model_of(digits, HIDDEN, DROP, HIDDEN, HIDDEN).network
    assert cache_bytes(network, [2], 100) == 0
    assert cache_bytes(network, [3], 100) == 4 * 24 * 100


def test_each_step_of_a_run_has_its_number(digits, monkeypatch):
    """Also in later stages and epochs: no step drops what another one did."""
    model = model_of(digits, DROP, HIDDEN, DROP, epochs=2, batch=500)
    seen = []
    original = Buffers.drop

    def drop(self, index, x):
        seen.append((index, self.step))
        return original(self, index, x)

    monkeypatch.setattr(Buffers, "drop", drop)
    fit(model.network, digits.x_train, digits.y_train, model.recipe.train)
    assert seen == [(0, n) for n in range(1, 7)] + [(2, n) for n in range(7, 13)]


@pytest.mark.parametrize("rate", [-0.1, 1, 1.5])
def test_rates_that_leave_nothing_are_refused(rate):
    tables = {"dataset": {"name": "digits"}, "layers": [{**DROP, "rate": rate}, HEAD]}
    with pytest.raises(ConfigError, match="rate"):
        parse_recipe(tables, "recipe")


@pytest.mark.parametrize(("share", "key"), [(0, 0), (2**24 + 1, 0), (1, -1), (1, 2**62)])
def test_an_operation_that_cannot_be_is_refused(share, key):
    with pytest.raises(GraphError, match="op Keep"):
        Keep(share, key)


def test_a_file_with_another_function_of_that_name_is_refused(digits, tmp_path):
    """The reader takes our function by its name: so it must be ours to the byte."""
    graph = to_train_graph(model_of(digits, DROP, HIDDEN).network)
    path = tmp_path / "step.onnx"
    path.write_bytes(to_bytes(graph))
    assert [n.op for n in read_graph(path).nodes if isinstance(n.op, Keep)]
    model = to_model(graph)
    model.functions[0].node[0].attribute[0].i += 1
    path.write_bytes(model.SerializeToString())
    with pytest.raises(UnsupportedOp, match="function of the model's own"):
        read_graph(path)
