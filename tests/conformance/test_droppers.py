"""Every layer that acts by chance: engine = interpreter = stock runtime, and chance is fair."""

from __future__ import annotations

import numpy as np
import pytest
from layer_cases import arrays, scratch

from edgelearn.export.onnx_writer import to_bytes
from edgelearn.ir import BATCH, Builder, run
from edgelearn.layers import Dropper, examples
from edgelearn.rng import PERIOD
from edgelearn.runtimes.onnx import OnnxSession

KEY = 0x1234_5678_9ABC_DEF0
DROPPERS = [
    pytest.param(layer, in_shape, batch, id=f"{i}-{layer.kind}-batch{batch}")
    for i, (layer, in_shape) in enumerate(examples())
    for batch in (1, 32)
    if isinstance(layer, Dropper)
]
every = pytest.mark.parametrize(("layer", "in_shape", "batch"), DROPPERS)


def test_there_are_some():
    assert DROPPERS


def dropped(layer, in_shape, batch, step, key=KEY):
    """The input, and what the layer makes of it in a step."""
    _, x, _, out = arrays(layer, in_shape, batch)
    out.fill(np.nan)
    return x, layer.drop(x, out, key, step).a


@every
def test_engine_interpreter_and_runtime_drop_the_same(layer, in_shape, batch):
    b = Builder("drop")
    x, step = b.input("x", (BATCH, *in_shape)), b.input("step", (), "int64")
    graph = b.graph([b.rename(layer.emit_drop(b, x, KEY, step).a, "a")])
    session = OnnxSession(to_bytes(graph))
    for number in (0, 1, 2, 1000, PERIOD - 1):
        x, a = dropped(layer, in_shape, batch, number)
        feeds = {"x": x, "step": np.array(number)}
        assert np.array_equal(run(graph, feeds).outputs["a"], a)
        assert np.array_equal(session.run(feeds)["a"], a)


@every
def test_step_0_is_inference(layer, in_shape, batch):
    params, x, _, out = arrays(layer, in_shape, batch)
    before = layer.forward(params, x, out, scratch(layer, in_shape, batch)).a.copy()
    assert np.array_equal(dropped(layer, in_shape, batch, 0)[1], before)


@every
def test_steps_and_keys_differ_and_the_mean_stays(layer, in_shape, batch):
    first, again = (dropped(layer, in_shape, 400, 1)[1].copy() for _ in range(2))
    assert np.array_equal(first, again)
    for other in (dropped(layer, in_shape, 400, 2), dropped(layer, in_shape, 400, 1, KEY + 1)):
        assert not np.array_equal(first, other[1])
    x, total = dropped(layer, in_shape, batch, 1)[0], np.zeros((batch, *in_shape))
    for step in range(1, 2001):
        total += dropped(layer, in_shape, batch, step)[1]
    assert np.abs(total / 2000 - x).max() < 0.1  # 4 deviations at a rate of 0.5: sqrt(1 / 2000)
