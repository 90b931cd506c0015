"""Reverse mode: the rule of every op, and every layer, against central differences in float64."""

from __future__ import annotations

import numpy as np
import pytest
from layer_cases import arrays
from op_cases import CASES
from slopes import PRECISE, places, run64, slope

from edgelearn.ir import BATCH, Builder, run
from edgelearn.ir.ops import Gather, Pool2d, Reduce, Slice
from edgelearn.layers import examples
from edgelearn.passes.backward import Backward

LAYERS = [
    pytest.param(layer, in_shape, id=f"{i}-{layer.kind}")
    for i, (layer, in_shape) in enumerate(examples())
]


def weighed(b, out, batch):
    """A loss: `out` times weights drawn at random, summed; its name, its error, the weights."""
    spec = b.specs[out]
    weights = np.random.default_rng(3).normal(size=spec.bind(batch).shape).astype(np.float32)
    error = b.input("weights", spec.shape)
    loss = b.binary("mul", out, error)
    if spec.shape:
        loss = b.apply(Reduce("sum", tuple(range(len(spec.shape)))), loss)
    return loss, error, weights


def check(b, out, given, batch):
    """All errors that reverse mode finds in `given` follow the slopes of a loss of `out`."""
    nodes = list(b.nodes)
    sources = [name for name, value in given.items() if value.dtype == np.float32]
    back = Backward(b, sources)
    loss, error, weights = weighed(b, out, batch)
    back.send(out, error)
    back.walk(nodes)
    errors = {name: back.error(name) for name in sources if back.wants(out)}
    graph = b.graph([loss, *filter(None, errors.values())])
    given = {**given, "weights": weights}
    values = run64(graph, given)
    for name, value in errors.items():
        found = np.zeros(given[name].shape) if value is None else values[value]
        assert found.shape == given[name].shape
        scale = max(1.0, float(np.abs(found).max(initial=0)))
        for place in places(found.size):
            if given[name].flat[place] == 0:  # where functions may have corners
                continue
            expected = slope(graph, given, loss, name, place)
            assert abs(found.flat[place] - expected) <= PRECISE * scale, (name, place)
    return errors


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_op(case):
    b, feeds = case.built(5)
    given = {**feeds, **b.graph(["out"]).constants}
    check(b, "out", given, 5)


@pytest.mark.parametrize(("layer", "in_shape"), LAYERS)
def test_every_layer_by_parameters_and_input(layer, in_shape):
    params, x, _, _ = arrays(layer, in_shape, 3)
    b = Builder("layer")
    names = {key: b.state(key, value) for key, value in params.items()}
    a = layer.emit(b, names, b.input("x", (BATCH, *in_shape))).a
    errors = check(b, a, {"x": x, **params}, 3)
    assert None not in errors.values()
