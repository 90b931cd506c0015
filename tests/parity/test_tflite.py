"""TFLite: every op alone, every layer in both phases, whole networks, and streams."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from layer_cases import CASES as LAYERS
from layer_cases import arrays, update_graph
from op_cases import CASES as OPS
from tflite_lanes import OP_TOLERANCE, TOLERANCE, assert_agrees, lanes

from edgelearn import workflow
from edgelearn.config import parse_recipe
from edgelearn.errors import UnsupportedOp
from edgelearn.export.verify import error_between
from edgelearn.ir import BATCH, Builder, run
from edgelearn.ir.ops import AddOuter, BatchSize, Keep, Quantize, SparseMatMul
from edgelearn.lowering import to_graph, to_stream_graph, to_train_graph


@pytest.mark.parametrize("case", OPS, ids=str)
@pytest.mark.parametrize("batch", [1, 5])
def test_op_alone(case, batch):
    graph, feeds = case.graph_and_feeds(batch)
    assert_agrees(graph, feeds, batch, tolerance=OP_TOLERANCE)


@pytest.mark.parametrize(("layer", "in_shape", "batch"), LAYERS)
def test_layer_infers_and_learns(layer, in_shape, batch):
    params, x, e, _ = arrays(layer, in_shape, batch)
    graph = update_graph(layer, in_shape, params)
    feeds = {"x": x, "e": e, "rate": np.full((), 0.01, "f4")}
    feeds = {name: feeds[name] for name in graph.inputs}
    assert_agrees(graph, feeds, batch, steps=3)


HEAD = {"kind": "dense", "units": 10, "activation": "softmax"}
NETWORKS = {
    "dense": ((64,), [{"kind": "dense", "units": 16, "activation": "relu"}]),
    "dropout": (
        (64,),
        [{"kind": "dropout", "rate": 0.2}, {"kind": "dense", "units": 16}, {"kind": "dropout"}],
    ),
    "convolutions": (
        (8, 8, 1),
        [
            {"kind": "conv2d", "filters": 6, "learn_projection": True},
            {"kind": "batch_norm"},
            {"kind": "conv2d", "filters": 6, "groups": 6, "stride": 2},
            {"kind": "conv2d", "filters": 8, "kernel": 1, "dilation": 2},
            {"kind": "avg_pool"},
        ],
    ),
    "sequence of images": (
        (4, 4, 4, 1),
        [
            {"kind": "conv2d", "filters": 4, "groups": 1},
            {"kind": "flatten", "keep_steps": True},
            {"kind": "lstm", "units": 6},
        ],
    ),
    "cells": (
        (8, 8),
        [
            {"kind": "mingru", "units": 5, "returns": "sequence"},
            {"kind": "leaky", "units": 6, "returns": "sequence"},
            {"kind": "gru", "units": 5, "returns": "sequence"},
            {"kind": "elman", "units": 5},
        ],
    ),
    "tokens": (
        (64,),
        [
            {"kind": "embedding", "vocabulary": 17, "units": 5},
            {"kind": "conv1d", "filters": 6, "kernel": 5, "stride": 4},
            {"kind": "global_pool", "takes": "max"},
        ],
    ),
}


def network_of(name, digits, over="feature"):
    """A new network on the first digits, in the shape that it is for."""
    shape, layers = NETWORKS[name]
    x = digits.x_train[:100].reshape(-1, *shape)
    data = replace(
        digits, x_train=x, y_train=digits.y_train[:100], x_test=x, y_test=digits.y_train[:100]
    )
    how = {"normalize": "none"} if name == "tokens" else {"normalize": "standard", "over": over}
    tables = {
        "dataset": {"name": "digits"},
        "input": how,
        "layers": [*layers, HEAD],
        "train": {"schedule": "simultaneous", "optimizer": "adam"},
    }
    return workflow.new_model(parse_recipe(tables, "test"), data).network, x.astype(np.float32)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("batch", [1, 4])
def test_network_infers_and_learns(name, batch, digits):
    network, x = network_of(name, digits)
    feeds = {"x": x[:batch]}
    assert_agrees(to_graph(network), feeds, batch)
    feeds |= {"y": digits.y_train[:batch], "lr": np.array(0.01, np.float32)}
    assert_agrees(to_train_graph(network), feeds, batch, steps=5)


@pytest.mark.parametrize("batch", [1, 3])
def test_stream_remembers(batch, digits):
    network, x = network_of("cells", digits, over="channel")
    graph = to_stream_graph(network)
    assert graph.states
    assert_agrees(graph, {"x": x[:batch, 3]}, batch, steps=6)


def test_a_shape_with_too_many_axes_is_refused_by_name():
    pytest.importorskip("ai_edge_litert", reason="the extra tflite is not installed")
    from edgelearn.export.tflite_writer import to_bytes

    b = Builder("deep")
    x = b.input("x", (BATCH, 1, 2, 1, 2, 1, 2))
    graph = b.graph([b.unary("relu", x, name="layer/relu")])
    with pytest.raises(UnsupportedOp, match=r"'layer/relu'.*op Unary.*6 axes"):
        to_bytes(graph)


def test_values_that_are_fed_or_leave_twice_leave_as_copies():
    b = Builder("echo")
    x = b.input("x", (BATCH, 3))
    k = b.constant("k", np.arange(3, dtype=np.float32))
    w, v = b.state("w", np.ones((3, 3), np.float32)), b.state("v", np.ones((3, 3), np.float32))
    u = b.state("u", np.full(2, 7, np.float32))
    new = b.apply(AddOuter(), w, x, x, name="new")
    b.update(w, new)
    b.update(v, new)
    count = b.apply(BatchSize(), x, name="count")
    graph = b.graph([x, new, k, count])
    feeds = {"x": np.full((2, 3), 2, np.float32)}
    assert_agrees(graph, feeds, 2, steps=3)
    for lane, draft in lanes(graph, 2):
        found = lane.run(feeds)
        assert found["count"] == 2, lane.name
        np.testing.assert_array_equal(found["x"], feeds["x"])
        np.testing.assert_array_equal(found[draft.states[u]], np.full(2, 7, np.float32))


def not_read(case):
    """The operator that our own reader does not know, if this op is written with one."""
    if isinstance(case.op, Quantize) and case.op.params.axis is not None:
        return r"'out/round', op ROUND"
    if isinstance(case.op, SparseMatMul) and not case.args[1].constant:
        return "op SCATTER_ND"
    return "op (EQUAL|FLOOR_MOD|BITCAST|LESS)" if isinstance(case.op, Keep) else None


@pytest.mark.parametrize("case", OPS, ids=str)
@pytest.mark.parametrize("batch", [1, 5])
def test_op_is_read_back(case, batch, tmp_path):
    pytest.importorskip("ai_edge_litert", reason="the extra tflite is not installed")
    from edgelearn.export.tflite_reader import read_graph
    from edgelearn.export.tflite_writer import to_bytes

    graph, feeds = case.graph_and_feeds(batch)
    (tmp_path / "alone.tflite").write_bytes(to_bytes(graph, batch=batch))
    if named := not_read(case):
        with pytest.raises(UnsupportedOp, match=named):
            read_graph(tmp_path / "alone.tflite")
        return
    again = read_graph(tmp_path / "alone.tflite")
    assert (again.inputs, again.outputs) == (graph.inputs, graph.outputs)
    want, got = run(graph, feeds).outputs["out"], run(again, feeds).outputs["out"]
    assert error_between(want, got) <= TOLERANCE
