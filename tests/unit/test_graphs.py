"""Random structures: what networkx says of them, and that cells really have them."""

from __future__ import annotations

import builtins
from dataclasses import replace

import networkx as nx
import numpy as np
import pytest

from edgelearn import engine, workflow
from edgelearn.buffers import Buffers
from edgelearn.building import build
from edgelearn.config import parse_recipe, to_tables
from edgelearn.errors import ConfigError, MissingRuntime
from edgelearn.modelfile import from_bundle, to_bundle
from edgelearn.rng import Stream, uniform
from edgelearn.sparsity.graphs import (
    barabasi_albert,
    is_connected,
    properties,
    recurrent_mask,
    watts_strogatz,
)


@pytest.mark.parametrize("rewire", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("nodes", "links"), [(10, 2), (30, 6), (50, 10), (20, 5)])
def test_small_worlds(nodes, links, rewire):
    graph = watts_strogatz(nodes, links, rewire, seed=1)
    assert np.array_equal(graph, graph.T)
    assert not graph.diagonal().any()
    assert graph.sum() == 2 * nodes * (links // 2)  # as many edges as the ring
    assert is_connected(graph)
    ring = nx.to_numpy_array(nx.watts_strogatz_graph(nodes, links, 0)) > 0
    assert np.array_equal(graph, ring) == (rewire == 0)


def test_rewiring_leaves_about_its_share_of_the_ring():
    ring, graph = (watts_strogatz(200, 8, rewire, seed=3) for rewire in (0, 0.25))
    assert (graph & ring).sum() / ring.sum() == pytest.approx(0.75, abs=0.05)


@pytest.mark.parametrize(("nodes", "links"), [(10, 1), (30, 3), (50, 5)])
def test_scale_free_graphs(nodes, links):
    graph = barabasi_albert(nodes, links, seed=1)
    assert np.array_equal(graph, graph.T)
    assert not graph.diagonal().any()
    assert graph.sum() == 2 * links * (nodes - links)
    assert is_connected(graph)


def test_nodes_with_many_links_get_more():
    """Degrees as networkx draws them, mean over 40 graphs: far more spread than in small worlds."""
    ours = [barabasi_albert(100, 2, seed).sum(axis=1).max() for seed in range(40)]
    theirs = [max(d for _, d in nx.barabasi_albert_graph(100, 2, seed=s).degree) for s in range(40)]
    assert np.mean(ours) == pytest.approx(np.mean(theirs), rel=0.15)
    assert np.mean(ours) > 2 * watts_strogatz(100, 4, 1.0, seed=0).sum(axis=1).max()


@pytest.mark.parametrize("make", [barabasi_albert, lambda n, k, *s: watts_strogatz(n, k, 1.0, *s)])
def test_a_structure_follows_from_seed_and_index(make):
    first = make(30, 4, 5, 2)
    assert np.array_equal(first, make(30, 4, 5, 2))
    assert not np.array_equal(first, make(30, 4, 6, 2))
    assert not np.array_equal(first, make(30, 4, 5, 3))


@pytest.mark.parametrize(
    "make",
    [
        lambda: watts_strogatz(10, 1, 0.5, 0),
        lambda: watts_strogatz(10, 10, 0.5, 0),
        lambda: barabasi_albert(10, 0, 0),
        lambda: barabasi_albert(10, 10, 0),
    ],
)
def test_too_few_or_too_many_links(make):
    with pytest.raises(ConfigError, match="to 9 links"):
        make()


def test_a_graph_that_is_never_connected(monkeypatch):
    monkeypatch.setattr("edgelearn.sparsity.graphs.TRIES", 1)
    with pytest.raises(ConfigError, match="connected graph"):
        watts_strogatz(200, 2, 1.0, 0)


def test_properties_by_hand():
    """A path of four nodes."""
    path = np.eye(4, k=1, dtype=bool) | np.eye(4, k=-1, dtype=bool)
    found = properties(path)
    assert (found["nodes"], found["edges"], found["diameter"], found["layers"]) == (4, 3, 3, 4)
    assert (found["source_nodes"], found["sink_nodes"]) == (1, 1)
    assert found["density"] == 0.5
    assert found["average_shortest_path_length"] == pytest.approx(10 / 6)
    assert found["degree_mean"] == pytest.approx(0.5)
    assert found["degree_var"] == pytest.approx(1 / 27)
    assert found["eccentricity_mean"] == 2.5
    star = barabasi_albert(6, 5, 0)
    assert properties(star)["source_nodes"] == 1
    assert properties(star)["sink_nodes"] == 5


def test_properties_without_networkx(monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name == "networkx":
            raise ImportError
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingRuntime, match="edgelearn\\[sparse\\]"):
        properties(barabasi_albert(5, 1, 0))


CELLS = {
    "tanh": {"kind": "elman"},
    "relu": {"kind": "elman", "activation": "relu"},
    "gru": {"kind": "gru"},
    "lstm": {"kind": "lstm"},
}


def recipe(cell, structure, units=8):
    tables = {
        "dataset": {"name": "digits"},
        "layers": [
            {**cell, "units": units, "returns": "sequence", "structure": structure},
            {"kind": "gru", "units": 4},
            {"kind": "dense", "units": 3, "activation": "softmax"},
        ],
    }
    return parse_recipe(tables, "recipe")


def network(cell, structure, units=8):
    return build(recipe(cell, structure, units), (2, units), ["a", "b", "c"], None)


@pytest.mark.parametrize("kind", ["watts_strogatz", "barabasi_albert"])
@pytest.mark.parametrize("cell", CELLS)
def test_a_unit_hears_its_neighbours_only(cell, kind):
    """What one unit alone saw at the first step reaches, at the second, whom the graph says."""
    made = network(CELLS[cell], {"graph": kind, "links": 2})
    params = made.blocks[0].params
    graph = params["u"][:, :8] != 0
    for gate in range(params["u"].shape[1] // 8):
        assert np.array_equal(params["u"][:, gate * 8 : (gate + 1) * 8] != 0, graph)
    assert np.array_equal(recurrent_mask(graph & ~np.eye(8, dtype=bool), 1), graph)
    params["w"] *= np.tile(np.eye(8, dtype=np.float32), params["w"].shape[1] // 8)  # one input each
    params["b"] += 0.5  # so that relu passes
    buffers = Buffers(made, 1)
    x = uniform(1, Stream.INIT, 0, (1, 2, 8), 0.1)
    before = buffers.forward(0, x).a[0, 1].copy()
    for unit in range(8):
        moved = x.copy()
        moved[0, 0, unit] += 1
        after = buffers.forward(0, moved).a[0, 1]
        assert np.array_equal(after != before, graph[unit])


def test_structure_is_kept_in_learning_and_in_the_file(digits):
    made = recipe({"kind": "gru"}, {"graph": "watts_strogatz", "links": 2})
    assert parse_recipe(to_tables(made), "again") == made
    digits = replace_shape(digits)
    model = workflow.new_model(made, digits)
    zeros = model.network.blocks[0].params["u"] == 0
    assert zeros.any()
    buffers = Buffers(model.network, 4)
    loaded = buffers.load(digits.x_train, digits.y_train, np.arange(4))
    before = model.network.blocks[0].params["u"].copy()
    engine.train_step(buffers, *loaded, 0.1, [0, 1, 2])
    after = model.network.blocks[0].params["u"]
    assert not after[zeros].any()
    assert not np.array_equal(before, after)
    again = from_bundle(to_bundle(model), "again")
    assert np.array_equal(again.network.blocks[0].masks["u"] == 0, zeros)


def replace_shape(digits):
    """The digits 0, 1, 2 as sequences of two halves of 8 pixels."""
    chosen = {}
    for part in ("train", "test"):
        y = getattr(digits, f"y_{part}")
        x = getattr(digits, f"x_{part}")[y < 3]
        chosen |= {f"x_{part}": x[:, 16:32].reshape(-1, 2, 8), f"y_{part}": y[y < 3]}
    return replace(digits, **chosen, classes=("0", "1", "2"))


@pytest.mark.parametrize(
    ("layer", "in_shape"),
    [({"kind": "mingru", "units": 4}, (4, 5)), ({"kind": "conv2d", "filters": 3}, (4, 5, 1))],
)
def test_a_layer_without_recurrent_weights_has_no_structure(layer, in_shape):
    head = {"kind": "dense", "units": 3, "activation": "softmax"}
    layers = [{**layer, "structure": {"graph": "barabasi_albert"}}, head]
    made = parse_recipe({"dataset": {"name": "digits"}, "layers": layers}, "recipe")
    with pytest.raises(ConfigError, match=r"structure.*from unit to unit"):
        build(made, in_shape, ["a", "b", "c"], None)
