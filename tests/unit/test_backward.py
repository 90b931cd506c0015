"""Reverse mode: the rule of every op, and every layer, against central differences in float64."""

from __future__ import annotations

import numpy as np
import pytest
from layer_cases import arrays
from op_cases import DENSE
from slopes import PRECISE, places, run64, slope
from tolerances import ENGINE_F32

from edgelearn.ir import BATCH, Builder, run
from edgelearn.ir.ops import (
    BatchSize,
    Concat,
    Conv2d,
    ConvTranspose2d,
    MatMul,
    OneHot,
    Pool2d,
    Reduce,
    Slice,
    Transpose,
)
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


@pytest.mark.parametrize("case", DENSE, ids=str)
def test_every_op(case):
    b, feeds = case.built(5)
    if b.specs["out"].dtype != "float32":
        return
    errors = check(b, "out", {**feeds, **b.graph(["out"]).constants}, 5)
    sources = any(arg.dtype == "float32" for arg in case.args)
    rough = isinstance(case.op, BatchSize) or getattr(case.op, "kind", "") == "sign"
    assert bool(errors) == (sources and not rough)


@pytest.mark.parametrize(("layer", "in_shape"), LAYERS)
def test_every_layer_by_parameters_and_input(layer, in_shape):
    params, x, _, _ = arrays(layer, in_shape, 3)
    if hasattr(layer, "vocabulary"):
        x += np.float32(0.25)  # between two tokens, where the slope is 0
    b = Builder("layer")
    names = {key: b.state(key, value) for key, value in params.items()}
    a = layer.emit(b, names, b.input("x", (BATCH, *in_shape))).a
    errors = check(b, a, {"x": x, **params}, 3)
    assert all(errors[key] for key in params)


def parts_that_overlap(b, x):
    parts = [b.apply(Slice(1, start, start + 3), x) for start in (0, 2, 4)]
    return b.binary("mul", b.binary("mul", parts[0], parts[1]), parts[2])


def parts_of_two_axes(b, x):
    first = b.apply(Slice(1, 1, 2), x)
    return b.binary("mul", b.apply(Slice(0, 1, 2), x), first)


def read_many_times(b, x):
    square = b.binary("mul", x, x)
    return b.binary("add", b.binary("mul", square, x), b.unary("tanh", b.binary("sub", x, square)))


def mean_of_samples(b, x):
    turned = b.apply(Transpose((1, 0)), x)
    return b.binary("mul", turned, b.apply(Reduce("mean", (-1,), keepdims=True), turned))


def shares_of_samples(b, x):
    total = b.apply(Reduce("sum", (0,)), x)
    return b.apply(Concat(1), b.binary("div", x, total), x)


@pytest.mark.parametrize(
    "emit", [parts_that_overlap, read_many_times, mean_of_samples, shares_of_samples]
)
def test_values_with_several_readers(emit):
    b = Builder("several")
    out = emit(b, b.input("x", (BATCH, 7)))
    check(b, out, {"x": np.random.default_rng(1).uniform(0.5, 2, (4, 7)).astype(np.float32)}, 4)


def test_parts_along_different_axes():
    b = Builder("axes")
    out = parts_of_two_axes(b, b.input("x", (3, 4)))
    check(b, out, {"x": np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)}, 1)


@pytest.mark.parametrize("kind", ["max", "min"])
@pytest.mark.parametrize("factor", [0.1, 1.5, -0.5, "y"])
def test_a_value_against_a_part_of_itself(kind, factor):
    """One of these is a leaky relu, whose slope follows from its output; some only look so."""
    rng = np.random.default_rng(5)
    given = {"x": rng.normal(size=(4, 6)), "y": rng.uniform(0.1, 2, 6)}
    b = Builder("leak")
    x = b.input("x", (BATCH, 6))
    b.input("y", (6,))
    part = b.binary("mul", x, factor if factor == "y" else b.scalar(factor))
    given = {key: value.astype(np.float32) for key, value in given.items()}
    check(b, b.binary(kind, x, part), given, 4)


def errors_by(b, out, x):
    """The error of input ``x``, worth `x`, that ones at `out` send."""
    nodes, back = list(b.nodes), Backward(b, ["x"])
    back.send(out, b.scalar(1))
    back.walk(nodes)
    error = back.error("x")
    return run(b.graph([error]), {"x": x}).outputs[error]


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (Pool2d("max", (2, 2), (2, 2)), [[0.25, 0.25, 0], [0.25, 0.25, 0], [0, 0, 0]]),
        (Pool2d("max", (2, 2)), [[0.25, 0.5, 0.25], [0.75, 1, 0.25], [0, 0, 1]]),
        (Pool2d("max", (2, 2), (2, 2), (1, 1, 0, 0)), [[1, 0.5, 0.5], [1, 0, 0], [0, 0, 1]]),
    ],
)
def test_equal_maxima_share_what_their_window_gets(op, expected):
    b = Builder("ties")
    x = b.input("x", (BATCH, 3, 3, 1))
    image = np.float32([[2, 2, 2], [2, 2, 2], [1, 1, 3]])
    found = errors_by(b, b.apply(op, x), np.tile(image[:, :, None], (2, 1, 1, 1)))
    np.testing.assert_allclose(found[1, :, :, 0], expected)


def test_equal_elements_share_a_maximum():
    b = Builder("ties")
    x = b.input("x", (BATCH, 4))
    found = errors_by(b, b.apply(Reduce("max", (1,)), x), np.float32([[3, 1, 3, 3]]))
    np.testing.assert_allclose(found, [[1 / 3, 0, 1 / 3, 1 / 3]], rtol=1e-6)


@pytest.mark.parametrize(
    ("op", "x", "w"),
    [
        (MatMul(), (5, 3), (3, 4)),
        (MatMul(transpose_a=True), (3, 5), (3, 4)),
        (MatMul(transpose_b=True), (5, 3), (4, 3)),
        (Conv2d((2, 1), (1, 0, 2, 1)), (2, 7, 6, 4), (3, 2, 4, 3)),
        (ConvTranspose2d((7, 6)), (2, 5, 4, 3), (3, 3, 4, 3)),
    ],
    ids=str,
)
def test_another_weight_on_the_way_to_the_input(op, x, w):
    """The error of the input is that of the other weight, the error of the weight its own."""
    rng = np.random.default_rng(6)
    feeds = {"x": rng.normal(size=x).astype(np.float32)}
    matrices = {name: rng.normal(size=w).astype(np.float32) for name in ("w", "v")}

    def errors(met, weight):
        b = Builder("feedback")
        source = b.input("x", x)
        for name, value in matrices.items():
            b.constant(name, value)
        out = b.apply(op, source, met)
        nodes, back = list(b.nodes), Backward(b, ["x", met], weight)
        back.send(out, b.scalar(1))
        back.walk(nodes)
        return [run(b.graph([e]), feeds).outputs[e] for e in (back.error("x"), back.error(met))]

    by_input, by_weight = errors("w", lambda name: {"w": "v"}.get(name, name))
    assert np.array_equal(by_input, errors("v", lambda name: name)[0])
    assert np.array_equal(by_weight, errors("w", lambda name: name)[1])


def recurrent(steps):
    """A weight and a bias that every step reads, and their loss's error."""
    b = Builder("steps")
    h = b.input("x", (BATCH, 3))
    rng = np.random.default_rng(2)
    w = b.state("w", rng.normal(size=(3, 3)).astype(np.float32))
    c = b.state("c", rng.normal(size=3).astype(np.float32))
    for _ in range(steps):
        h = b.unary("tanh", b.binary("add", b.matmul(h, w), c))
    return b, h


def test_a_weight_of_many_steps_moves_by_errors_through_its_old_value():
    x = np.random.default_rng(4).normal(size=(5, 3)).astype(np.float32)
    b, h = recurrent(4)
    nodes, back = list(b.nodes), Backward(b, ["w", "c"])
    back.send(h, b.scalar(1))
    back.walk(nodes)
    graph = b.graph([back.error("w"), back.error("c")])
    slopes = dict(zip("wc", run(graph, {"x": x}).outputs.values(), strict=True))
    b, h = recurrent(4)
    nodes, back = list(b.nodes), Backward(b, ["w", "c"])
    back.send(h, b.scalar(1))
    rate = b.input("rate", ())
    for name, value in back.walk(nodes, rate, {"w": "w", "c": "c"}).items():
        b.update(name, value)
    graph = b.graph([h])
    after = run(graph, {"x": x, "rate": np.array(0.1, np.float32)}).states
    for state in graph.states:
        expected = state.init - 0.1 * slopes[state.input]
        np.testing.assert_allclose(after[state.input], expected, atol=ENGINE_F32)


def test_only_what_leads_to_a_source_is_visited():
    b = Builder("frozen")
    x, y = b.input("x", (BATCH, 4)), b.input("y", (BATCH,), "int64")
    below = b.unary("tanh", b.matmul(x, b.constant("v", np.ones((4, 3), np.float32))))
    z = b.matmul(below, b.state("w", np.ones((3, 2), np.float32)))
    out = b.binary("mul", z, b.apply(OneHot(2), y))
    nodes, back = list(b.nodes), Backward(b, ["w"])
    back.send(out, b.scalar(1))
    back.walk(nodes)
    assert back.error("w")
    assert [back.wants(name) for name in (x, y, below, "v", "w", z)] == [False] * 4 + [True] * 2
    assert all(back.error(name) is None for name in (x, below, "v"))
    made = [type(node.op).__name__ for node in b.nodes[len(nodes) :]]
    assert made == ["Binary", "MatMul"]  # times the label, times the input
