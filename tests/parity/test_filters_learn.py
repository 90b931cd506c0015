"""Filters that learn on real images: interpreter = stock runtime = what is read back."""

from __future__ import annotations

import numpy as np
import pytest
from tolerances import ENGINE_F32

from edgelearn.export.onnx_reader import read_graph
from edgelearn.export.onnx_writer import to_bytes
from edgelearn.ir import BATCH, Builder, run
from edgelearn.ir.ops import AddConvOuter, Conv2d, Reshape
from edgelearn.losses import LOSSES
from edgelearn.rng import Stream, uniform
from edgelearn.runtimes.onnx import OnnxSession
from edgelearn.targets import projection

STEPS, SAMPLES, RATE = 20, 16, 0.02


def step_graph(strides, pads):
    """One step of six 3 x 3 filters towards the projected labels of 8 x 8 digits."""
    b = Builder("filters")
    x, y = b.input("x", (BATCH, 8, 8, 1)), b.input("y", (BATCH,), "int64")
    w = b.state("w", uniform(0, Stream.INIT, 0, (3, 3, 1, 6), 0.5))
    a = b.unary("relu", b.apply(Conv2d(strides, pads), x, w))
    shape = b.specs[a].shape
    units = int(np.prod(shape[1:]))
    loss = LOSSES["cross_entropy"]
    p = b.constant("p", projection("orthonormal", 10, units, 1.0, seed=0, layer=0))
    e, _ = loss.emit_error(b, b.apply(Reshape((BATCH, units)), a), y, p)
    d = b.binary("mul", b.apply(Reshape(shape), e), b.unary("sign", a))
    step = b.binary("mul", d, b.scalar(-RATE / SAMPLES))
    b.update(w, b.apply(AddConvOuter(strides, pads), w, x, step, name="w.next"))
    return b.graph([b.rename(a, "a")])


def batches(digits):
    for start in range(0, STEPS * SAMPLES, SAMPLES):
        rows = slice(start, start + SAMPLES)
        x = digits.x_train[rows].reshape(-1, 8, 8, 1).astype(np.float32) / 16
        yield {"x": x, "y": digits.y_train[rows]}


@pytest.mark.parametrize(
    ("strides", "pads"), [((1, 1), (1, 1, 1, 1)), ((2, 2), (0, 0, 0, 0)), ((2, 1), (1, 0, 2, 1))]
)
def test_filters_after_20_steps(digits, tmp_path, strides, pads):
    graph = step_graph(strides, pads)
    path = tmp_path / "filters.onnx"
    path.write_bytes(to_bytes(graph))
    session, again = OnnxSession(path.read_bytes()), read_graph(path)
    first = graph.states[0].init
    by_interpreter = by_runtime = by_reader = first
    for feeds in batches(digits):
        by_interpreter = run(graph, feeds, {"w": by_interpreter}).states["w"]
        by_runtime = session.run({**feeds, "w": by_runtime})["w.next"]
        by_reader = run(again, feeds, {"w": by_reader}).states["w"]
    assert np.abs(by_interpreter - first).max() > 100 * ENGINE_F32
    np.testing.assert_allclose(by_runtime, by_interpreter, atol=ENGINE_F32)
    np.testing.assert_allclose(by_reader, by_interpreter, atol=ENGINE_F32)
