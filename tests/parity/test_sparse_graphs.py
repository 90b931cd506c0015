"""A pruned network without its zeros computes and learns the same: interpreter and runtime."""

from __future__ import annotations

import numpy as np
import onnx  # noqa: TID251  the checker is an oracle of its own
import pytest
from masked_networks import BATCH, PATTERNS, STACKS, pruned
from tolerances import ENGINE_F32

from edgelearn.export.onnx_reader import read_graph
from edgelearn.export.onnx_writer import names_of, to_bytes
from edgelearn.ir import plan_arena, run
from edgelearn.ir.ops import ApplyMask, SparseAddOuter, SparseMatMul
from edgelearn.ir.structure import Structure
from edgelearn.lowering import to_graph, to_train_graph
from edgelearn.passes.sparsify import sparsify
from edgelearn.rng import Stream, uniform
from edgelearn.runtimes.onnx import OnnxSession

STEPS = 4
every_network = pytest.mark.parametrize("name", STACKS)
every_optimizer = pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
every_pattern = pytest.mark.parametrize("pattern", PATTERNS)


def sparse(graph):
    return sparsify(graph, least_bytes=0)


def kinds(graph):
    return {type(node.op) for node in graph.nodes}


def structures(graph):
    """By the name of a parameter, and of what an optimiser remembers of it."""
    found = {}
    for node in graph.nodes:
        if isinstance(node.op, SparseMatMul):
            _, values, *parts = node.inputs
            arrays = [graph.constants[name] for name in parts]
            found[values] = Structure((node.op.fan_in, node.op.units), node.op.block, *arrays)
    return found


def feeds(network, step):
    x = uniform(5, Stream.INIT, step, (BATCH, *network.in_shape), 1.0)
    y = (np.arange(BATCH) + step) % 3
    return {"x": x, "y": y, "lr": np.array(0.01, np.float32)}


@every_pattern
@every_optimizer
@every_network
def test_a_step_learns_the_same(name, optimizer, pattern):
    network, _ = pruned(name, optimizer, pattern)
    whole = to_train_graph(network)
    graph = sparse(whole)
    content = to_bytes(graph)
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    session = OnnxSession(content)
    dense = {state.input: state.init for state in whole.states}
    kept = {state.input: state.init for state in graph.states}
    by_runtime, names = dict(kept), names_of(graph).states
    assert names == names_of(whole).states
    for step in range(STEPS):
        fed = feeds(network, step)
        dense = run(whole, fed, dense).states
        kept = run(graph, fed, kept).states
        outputs = session.run({**fed, **by_runtime})
        by_runtime = {key: outputs[after] for key, after in names.items()}
    places = structures(graph)
    for key, value in dense.items():
        own = places.get(key) or places.get(key.rsplit(".", 1)[0])
        wanted = own.take(value) if own else value
        np.testing.assert_allclose(kept[key], wanted, atol=ENGINE_F32)
        np.testing.assert_allclose(by_runtime[key], wanted, atol=ENGINE_F32)
        if key in places:
            assert not value[own.mask() == 0].any()
    assert places


@every_pattern
@every_network
def test_inference_answers_the_same(name, pattern):
    network, _ = pruned(name, "sgd", pattern)
    whole = to_graph(network)
    graph = sparse(whole)
    assert SparseMatMul in kinds(graph)
    fed = {"x": feeds(network, 0)["x"]}
    (wanted,) = run(whole, fed).outputs.values()
    (found,) = run(graph, fed).outputs.values()
    np.testing.assert_allclose(found, wanted, atol=ENGINE_F32)
    (by_runtime,) = OnnxSession(to_bytes(graph)).run(fed).values()
    np.testing.assert_allclose(by_runtime, wanted, atol=ENGINE_F32)


@pytest.mark.parametrize("name", ["dense", "gru", "lstm", "elman"])
def test_weights_move_in_place_and_only_those_that_are_kept(name):
    network, _ = pruned(name, "sgd", "1x4")
    whole = to_train_graph(network).bind(BATCH)
    graph = sparse(whole)
    assert ApplyMask not in kinds(graph)
    assert SparseAddOuter in kinds(graph)
    assert {state.output for state in graph.states} <= plan_arena(graph).on_state.keys()
    assert plan_arena(graph).size_bytes <= plan_arena(whole).size_bytes
    macs = [sum(g.macs(node) for node in g.nodes) for g in (whole, graph)]
    assert macs[1] < 0.8 * macs[0]


@pytest.mark.parametrize("name", ["dense", "gru"])
@pytest.mark.parametrize("lower", [to_graph, to_train_graph])
def test_a_file_is_read_back_without_zeros(name, lower, tmp_path):
    network, _ = pruned(name, "momentum", "1x4")
    graph = sparse(lower(network))
    path = tmp_path / "sparse.onnx"
    path.write_bytes(to_bytes(graph))
    again = read_graph(path)
    fed = {key: value for key, value in feeds(network, 0).items() if key in graph.inputs}
    expected, found = run(graph, fed), run(again, fed)
    for key, value in {**expected.outputs, **expected.states}.items():
        np.testing.assert_array_equal({**found.outputs, **found.states}[key], value)
    products = [sum(isinstance(n.op, SparseMatMul) for n in g.nodes) for g in (graph, again)]
    assert products[0] == products[1]
    assert structures(again).keys() == structures(graph).keys()
