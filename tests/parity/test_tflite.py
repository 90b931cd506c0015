"""TFLite: every op alone, every layer in both phases, whole networks, and streams."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from layer_cases import CASES as LAYERS
from layer_cases import arrays, update_graph
from op_cases import DENSE as OPS
from op_cases import SPARSE
from tflite_lanes import assert_agrees, lanes

from edgelearn import workflow
from edgelearn.config import parse_recipe
from edgelearn.errors import UnsupportedOp
from edgelearn.ir import BATCH, Builder
from edgelearn.ir.ops import AddOuter, BatchSize, Dequantize, Pool2d, Quantize
from edgelearn.lowering import to_graph, to_stream_graph, to_train_graph


@pytest.mark.parametrize("case", OPS, ids=str)
@pytest.mark.parametrize("batch", [1, 5])
def test_op_alone(case, batch):
    graph, feeds = case.graph_and_feeds(batch)
    pools_integers = isinstance(case.op, Pool2d) and case.args[0].dtype != "float32"
    if pools_integers or isinstance(case.op, Quantize | Dequantize):
        with pytest.raises(UnsupportedOp, match=r"export to \.onnx"):
            assert_agrees(graph, feeds, batch)
        return
    assert_agrees(graph, feeds, batch)


@pytest.mark.parametrize("case", SPARSE, ids=str)
def test_sparse_matrices_are_refused(case):
    pytest.importorskip("ai_edge_litert", reason="the extra tflite is not installed")
    from edgelearn.export.tflite_writer import to_bytes

    with pytest.raises(UnsupportedOp, match="sparsify"):
        to_bytes(case.graph_and_feeds(1)[0], batch=1)


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
