"""Recurrent layers: engine = Graph = runtime, exact gradients, masks. New ones are found."""

from __future__ import annotations

import numpy as np
import pytest
from layer_cases import scratch
from sequence_cases import CLASSES, learned, readout_of
from tolerances import ENGINE_F32, GRADIENT

from edgelearn.export.onnx_writer import to_bytes
from edgelearn.ir import BATCH, Builder, run
from edgelearn.layers import SequenceLearner, examples
from edgelearn.rng import Stream, uniform
from edgelearn.runtimes.onnx import OnnxSession

CASES = [
    pytest.param(layer, in_shape, batch, id=f"{i}-{layer.kind}-batch{batch}")
    for i, (layer, in_shape) in enumerate(examples())
    if isinstance(layer, SequenceLearner)
    for batch in (1, 3, 8)
]
EXACT = [case for case in CASES if case.values[0].exact]


def samples(layer, in_shape, batch):
    """Sequences, the later ones with padding if the layer has a mask, and labels."""
    x = uniform(1, Stream.INIT, 1, (batch, *in_shape), 1.0)
    if layer.masked:
        for n in range(batch):
            length = max(1, in_shape[0] - n)
            x[n, :, -1] = np.arange(in_shape[0]) < length
            x[n, length:, :-1] = 0
    return x, np.arange(batch, dtype=np.int64) % CLASSES


def copies(params):
    return {key: value.copy() for key, value in params.items()}


def learn_graph(layer, in_shape, params, readout):
    b = Builder("sequence")
    x = b.input("x", (BATCH, *in_shape))
    values = readout.loss.task == "values"
    y = b.input("y", (BATCH, CLASSES)) if values else b.input("y", (BATCH,), "int64")
    rate = b.input("rate", ())
    kept = {k: b.constant(k, v) for k, v in params.items() if k in layer.constants}
    names = {k: b.state(k, v) for k, v in params.items() if k not in layer.constants}
    p = b.state("p", readout.projection)
    learning = layer.emit_learn(b, names | kept, x, y, readout, p)
    for key, value in learning.descend(rate, {**names, "p": p}).items():
        b.update({**names, "p": p}[key], value)
    return b.graph([b.rename(learning.trace.a, "a")])


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize(("layer", "in_shape", "batch"), CASES)
def test_engine_graph_and_runtime_learn_the_same(layer, in_shape, batch, loss):
    x, labels = samples(layer, in_shape, batch)
    params, readout = layer.init(in_shape, 0, 0), readout_of(layer, in_shape, loss=loss)
    if readout.loss.task == "values":
        labels = uniform(3, Stream.INIT, 3, (batch, CLASSES), 1.0)
    graph = learn_graph(layer, in_shape, params, readout)
    feeds = {"x": x, "y": labels, "rate": np.full((), 0.1, np.float32)}
    result = run(graph, feeds)
    outputs = OnnxSession(to_bytes(graph)).run(feeds)
    before = {**params, "p": readout.projection}
    into = copies(before)
    a, _ = learned(layer, params, x, labels, readout, 0.1, into)
    np.testing.assert_allclose(result.outputs["a"], a, atol=ENGINE_F32)
    np.testing.assert_allclose(outputs["a"], a, atol=ENGINE_F32)
    for state in graph.states:
        np.testing.assert_allclose(result.states[state.input], into[state.input], atol=ENGINE_F32)
        np.testing.assert_allclose(outputs[state.output], into[state.input], atol=ENGINE_F32)
        assert not np.array_equal(
            into[state.input], {**params, "p": readout.projection}[state.input]
        )


@pytest.mark.parametrize(("layer", "in_shape", "batch"), CASES)
def test_learning_makes_the_same_activation_as_inference(layer, in_shape, batch):
    x, labels = samples(layer, in_shape, batch)
    params, readout = layer.init(in_shape, 0, 0), readout_of(layer, in_shape, learns=False)
    a, _ = learned(layer, params, x, labels, readout, 0.1, copies(params))
    out = np.empty_like(a)
    layer.forward(params, x, out, scratch(layer, in_shape, batch))
    np.testing.assert_allclose(a, out, atol=ENGINE_F32)
    seen = layer.judged(out)
    assert seen.shape == (batch, layer.view(in_shape).size)


@pytest.mark.parametrize(("layer", "in_shape", "batch"), EXACT)
def test_exact_gradients_follow_finite_differences(layer, in_shape, batch):
    """Of the local loss after the whole sequence, by every weight, through all steps."""
    x, labels = samples(layer, in_shape, batch)
    params, readout = layer.init(in_shape, 0, 0), readout_of(layer, in_shape, learns=False)
    into = {key: np.zeros_like(value) for key, value in params.items()}
    learned(layer, params, x, labels, readout, -1.0, into)

    def loss(moved):
        idle = {key: np.zeros_like(value) for key, value in params.items()}
        return learned(layer, moved, x, labels, readout, 0.0, idle)[1]

    for key, gradient in into.items():
        scale = max(float(np.abs(gradient).max()), 1.0)
        for flat in {0, gradient.size // 3, gradient.size // 2, gradient.size - 1}:
            place, losses = np.unravel_index(flat, gradient.shape), []
            for sign in (1, -1):
                moved = copies(params)
                moved[key][place] += sign * 1e-2
                losses.append(loss(moved))
            slope = (losses[0] - losses[1]) / 2e-2
            assert abs(slope - gradient[place]) <= 5 * GRADIENT * scale


@pytest.mark.parametrize(("layer", "in_shape", "batch"), CASES)
def test_padding_changes_nothing(layer, in_shape, batch):
    if not layer.masked or layer.returns == "sequence":
        return
    x, labels = samples(layer, in_shape, batch)
    params, readout = layer.init(in_shape, 0, 0), readout_of(layer, in_shape, learns=False)
    whole = {key: np.zeros_like(value) for key, value in params.items()}
    a, _ = learned(layer, params, x, labels, readout, -1.0, whole)
    apart = {key: np.zeros_like(value) for key, value in params.items()}
    for n in range(batch):
        length = int(x[n, :, -1].sum())
        short = np.ascontiguousarray(x[n : n + 1, :length])
        alone, _ = learned(layer, params, short, labels[n : n + 1], readout, -1.0, apart)
        np.testing.assert_allclose(alone[0], a[n], atol=ENGINE_F32)
    for key, value in whole.items():
        np.testing.assert_allclose(value, apart[key], atol=ENGINE_F32 * 10)


@pytest.mark.parametrize(("layer", "in_shape", "batch"), CASES)
def test_work_space_does_not_grow_with_the_length(layer, in_shape, batch):
    steps = (64, 4096)
    shapes = [(n, *in_shape[1:]) for n in steps]
    assert layer.scratch_size(shapes[0], batch) == layer.scratch_size(shapes[1], batch)
    assert layer.readout_rows(shapes[0], batch) == layer.readout_rows(shapes[1], batch)
