"""Every layer alone: interpreter = stock runtime, and the same after a trip through the store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from layer_cases import CASES, arrays, update_graph
from tolerances import ENGINE_F32

from edgelearn.export.onnx_writer import to_bytes
from edgelearn.ir import run, store
from edgelearn.ir.store import Bundle
from edgelearn.runtimes.onnx import OnnxSession


def feeds_for(layer, in_shape, batch):
    params, x, e, _ = arrays(layer, in_shape, batch)
    return update_graph(layer, in_shape, params), {"x": x, "e": e, "rate": np.full((), 0.01, "f4")}


@pytest.mark.parametrize(("layer", "in_shape", "batch"), CASES)
def test_runtime_agrees(layer, in_shape, batch):
    graph, feeds = feeds_for(layer, in_shape, batch)
    expected = run(graph, feeds)
    outputs = OnnxSession(to_bytes(graph)).run(feeds)
    np.testing.assert_allclose(outputs["a"], expected.outputs["a"], atol=ENGINE_F32)
    for state in graph.states:
        after = expected.states[state.input]
        np.testing.assert_allclose(outputs[state.output], after, atol=ENGINE_F32)


@pytest.mark.parametrize(("layer", "in_shape", "batch"), CASES)
def test_store_round_trip(layer, in_shape, batch):
    graph, feeds = feeds_for(layer, in_shape, batch)
    content = store.to_bytes(Bundle({"train": graph}, {}))
    again = store.from_bytes(content, Path("layer.safetensors")).graphs["train"]
    before, after = run(graph, feeds), run(again, feeds)
    assert np.array_equal(before.outputs["a"], after.outputs["a"])
    for name, value in before.states.items():
        assert np.array_equal(value, after.states[name])
