"""Integers in the place of numbers: which, with what scale, and what becomes of the answers."""

from __future__ import annotations

import numpy as np
import pytest

from edgelearn.errors import GraphError, UnknownName
from edgelearn.ir import BATCH, Builder, plan_arena, run
from edgelearn.ir.ops import (
    Conv2d,
    Dequantize,
    Gather,
    MatMul,
    Pool2d,
    Quantize,
    Reshape,
    Unary,
)
from edgelearn.ir.ops_quant import QuantParams
from edgelearn.passes._weights import symmetric
from edgelearn.passes.calibrate import METHODS, asymmetric, calibrate
from edgelearn.passes.floats import kept_float
from edgelearn.passes.quantize import activations, quantize_full, quantize_weights

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(16, 8, 8, 3)).astype(np.float32)


def numbers(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def ops(graph):
    return [type(node.op) for node in graph.nodes]


def cnn(curve="relu"):
    """A convolution with bias and curve, the largest of four, and a dense head."""
    b = Builder("cnn")
    x = b.input("x", (BATCH, 8, 8, 3))
    z = b.apply(Conv2d(pads=(1, 1, 1, 1)), x, b.constant("w", numbers(3, 3, 3, 5)))
    a = b.unary(curve, b.binary("add", z, b.constant("b", numbers(5)), name="z"), name="a")
    flat = b.apply(Reshape((BATCH, 80)), b.apply(Pool2d("max", (2, 2), (2, 2)), a))
    head = b.matmul(flat, b.constant("v", numbers(80, 4) / 16))
    return b.graph([b.softmax(b.binary("add", head, b.constant("c", numbers(4))), name="y")])


def in_full(graph, method="min-max", x=IMAGES):
    params = calibrate(graph, activations(graph), [[{"x": x}]], method)
    return quantize_full(graph, params)


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_symmetric_integers_are_half_a_step_away_at_most(axis):
    w = numbers(6, 9) * np.float32([1, 2, 4, 8, 16, 1e-6])[:, None]
    integers, params = symmetric(w, axis)
    assert integers.dtype == np.int8
    assert np.abs(integers.astype(int)).max() == 127
    assert (len(params.scale), params.zero_point) == (
        (w.shape[axis], (0,) * w.shape[axis]) if axis is not None else (1, (0,))
    )
    scale = np.float32(params.scale)
    if axis is not None:
        scale = scale.reshape([-1 if i == axis else 1 for i in range(2)])
    assert (np.abs(integers * scale - w) <= 0.5001 * scale).all()


def test_zeros_stay_zeros():
    integers, params = symmetric(np.zeros((3, 2), np.float32), 1)
    assert not integers.any()
    assert params.scale == (1.0, 1.0)
    w = np.where(RNG.random((20, 20)) < 0.9, np.float32(0), numbers(20, 20))
    assert (symmetric(w, 1)[0][w == 0] == 0).all()


def test_weights_alone():
    graph = cnn()
    found = quantize_weights(graph)
    dtypes = {name: value.dtype.name for name, value in found.constants.items()}
    assert dtypes == {"w/int8": "int8", "v/int8": "int8", "b": "float32", "c": "float32"}
    assert Quantize not in ops(found)
    want, got = (run(g, {"x": IMAGES}).outputs["y"] for g in (graph, found))
    assert 0 < np.abs(want - got).max() < 0.05


def test_in_full_everything_around_a_convolution_is_of_integers():
    graph = cnn()
    found = in_full(graph)
    specs = {node.output: found.specs[node.output] for node in found.nodes}
    [pool] = [node for node in found.nodes if isinstance(node.op, Pool2d)]
    assert specs[pool.output].dtype == "int8"
    rounded = {node.inputs[0] for node in found.nodes if isinstance(node.op, Quantize)}
    assert rounded == {"x", "a"}
    biases = [value for value in found.constants.values() if value.dtype == np.int32]
    assert len(biases) == 2
    assert [kept.op for kept in kept_float(found)] == ["Softmax"]
    want, got = (run(g, {"x": IMAGES}).outputs["y"] for g in (graph, found))
    assert 0 < np.abs(want - got).max() < 0.1


def test_a_curve_gets_what_a_convolution_makes_as_integers():
    found = in_full(cnn("tanh"))
    rounded = {node.inputs[0] for node in found.nodes if isinstance(node.op, Quantize)}
    assert rounded == {"x", "z", "a"}
    assert [kept.op for kept in kept_float(found)] == ["Unary tanh", "Softmax"]


def test_what_others_read_too_is_not_passed_over():
    """A sum that leaves the Graph must leave it before the curve."""
    b = Builder("two")
    x, w = b.input("x", (BATCH, 8, 8, 3)), b.constant("w", numbers(1, 1, 3, 2))
    z = b.apply(Conv2d(), x, w, name="z")
    a = b.unary("relu", b.binary("add", z, b.constant("b", numbers(2)), name="s"), name="a")
    graph = b.graph([a, "s"])
    found = in_full(graph)
    rounded = {node.inputs[0] for node in found.nodes if isinstance(node.op, Quantize)}
    assert rounded == {"x", "s"}
    want, got = (run(g, {"x": IMAGES}).outputs for g in (graph, found))
    for name in ("a", "s"):
        assert np.abs(want[name] - got[name]).max() < 0.1


def test_the_bias_has_the_scale_of_its_product():
    found = in_full(cnn())
    meanings = {n.output: n.op.params for n in found.nodes if isinstance(n.op, Dequantize)}
    [conv] = [node for node in found.nodes if isinstance(node.op, Conv2d)]
    [total] = [node for node in found.nodes if conv.output in node.inputs]
    x, w = (np.float32(meanings[name].scale) for name in conv.inputs)
    bias = meanings[total.inputs[1]]
    np.testing.assert_array_equal(np.float32(bias.scale), x * w)
    assert bias.axis == 0


def test_a_bias_without_room_stays_a_number():
    b = Builder("huge")
    x, w = b.input("x", (BATCH, 3)), b.constant("w", np.full((3, 2), 1e-9, np.float32))
    graph = b.graph([b.binary("add", b.matmul(x, w), b.constant("b", np.full(2, 9, np.float32)))])
    found = in_full(graph, x=numbers(8, 3))
    assert all(value.dtype != np.int32 for value in found.constants.values())
    assert ("Binary add", "its operands are numbers, or have different scales") in {
        (kept.op, kept.reason) for kept in kept_float(found)
    }


def test_a_table_is_looked_up_in_integers():
    b = Builder("tokens")
    table = b.constant("t", numbers(50, 8))
    graph = b.graph([b.apply(Gather(), table, b.input("x", (BATCH, 4), "int64"), name="y")])
    found = quantize_weights(graph)
    assert ops(found) == [Gather, Dequantize]
    tokens = np.arange(20).reshape(5, 4)
    want, got = (run(g, {"x": tokens}).outputs["y"] for g in (graph, found))
    assert np.abs(want - got).max() <= 0.51 * np.abs(graph.constants["t"]).max() / 127


def test_one_scale_where_readers_disagree_about_the_axis():
    b = Builder("tied")
    x, w = b.input("x", (BATCH, 4)), b.constant("w", numbers(4, 4))
    graph = b.graph([b.matmul(b.matmul(x, w), w, transpose_b=True)])
    [node] = [n for n in quantize_weights(graph).nodes if isinstance(n.op, Dequantize)]
    assert node.op.params.axis is None


def test_a_constant_that_is_also_read_as_something_else_stays():
    b = Builder("both")
    x, w = b.input("x", (4, 4)), b.constant("w", numbers(4, 4))
    graph = b.graph([b.binary("add", b.matmul(x, w), w)])
    found = quantize_weights(graph)
    assert Dequantize not in ops(found)


def test_a_product_of_activations_stays_and_says_why():
    b = Builder("attention")
    x = b.input("x", (4, 4))
    found = in_full(b.graph([b.matmul(x, x)]), x=numbers(4, 4))
    assert [(k.op, k.reason) for k in kept_float(found)] == [
        ("MatMul", "a product of two activations")
    ]


def test_a_training_step_is_refused(trained):
    from edgelearn.lowering import to_train_graph

    with pytest.raises(GraphError, match="training step"):
        quantize_weights(to_train_graph(trained.network))


def test_maps_of_integers_need_a_quarter_of_the_arena():
    """What a device holds between a convolution and its pool."""
    b = Builder("pools")
    x = b.input("x", (BATCH, 32, 32, 4))
    for size in (16, 8):
        x = b.apply(Pool2d("max", (2, 2), (2, 2)), x, name=f"p{size}")
    w = b.constant("w", numbers(8 * 8 * 4, 2))
    graph = b.graph([b.matmul(b.apply(Reshape((BATCH, 256)), x), w)])
    found = in_full(graph, x=numbers(2, 32, 32, 4))
    maps = {n: s for n, s in found.specs.items() if s.dtype == "int8" and n not in found.constants}
    assert {s.bind(1).nbytes for s in maps.values()} == {4096, 1024, 256}
    assert plan_arena(found.bind(1)).size_bytes < plan_arena(graph.bind(1)).size_bytes * 1.3


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shift", [-3, 0, 3])
def test_zero_has_an_integer_and_the_range_is_covered(method, shift):
    x = (numbers(64, 20) + np.float32(shift)).astype(np.float32)
    b = Builder("shifted")
    graph = b.graph([b.unary("neg", b.input("x", (BATCH, 20)))])
    params = calibrate(graph, ["x"], [[{"x": x}]], method)["x"]
    (scale,), (zero,) = params.scale, params.zero_point
    assert -128 <= zero <= 127
    low, high = (-128 - zero) * scale, (127 - zero) * scale
    tail = 0 if method == "min-max" else 0.05
    assert ((x < low - scale) | (x > high + scale)).mean() <= tail


def test_an_outlier_does_not_make_the_steps_coarse():
    x = numbers(1000, 20)
    x[0, 0] = 1000
    b = Builder("outlier")
    graph = b.graph([b.unary("neg", b.input("x", (BATCH, 20)))])
    scales = {m: calibrate(graph, ["x"], [[{"x": x}]], m)["x"].scale[0] for m in METHODS}
    assert scales["percentile"] < 0.05
    assert scales["min-max"] > 3


def test_the_smallest_squared_error_is_not_that_of_the_whole_range():
    x = (numbers(4000, 10) ** 3).astype(np.float32)
    b = Builder("tails")
    graph = b.graph([b.unary("neg", b.input("x", (BATCH, 10)))])

    def error(method):
        params = calibrate(graph, ["x"], [[{"x": x}]], method)["x"]
        q = Builder("rounded")
        rounded = q.apply(Quantize(params), q.input("x", (BATCH, 10)))
        g = q.graph([q.apply(Dequantize(params), rounded, name="y")])
        return np.square(run(g, {"x": x}).outputs["y"] - x).mean()

    assert error("mse") < error("min-max")


def test_the_percentile_is_that_of_all_runs():
    parts = [numbers(500, 40) * np.float32(size) for size in (0.5, 3)]
    b = Builder("wide")
    graph = b.graph([b.unary("neg", b.input("x", (BATCH, 40)))])
    scale = calibrate(graph, ["x"], [[{"x": x}] for x in parts], "percentile")["x"].scale[0]
    low, high = np.percentile(np.concatenate(parts), [0.01, 99.99])
    assert scale == pytest.approx((high - low) / 255, rel=0.01)


def test_states_are_carried_from_step_to_step():
    b = Builder("sum")
    x, h = b.input("x", (BATCH, 1)), b.state("h", np.zeros((1, 1), np.float32), (BATCH, 1))
    b.update(h, b.binary("add", x, h, name="next"))
    graph = b.graph(["next"])
    steps = [{"x": np.ones((2, 1), np.float32)}] * 5
    assert calibrate(graph, ["h", "next"], [steps, steps])["next"] == asymmetric(0, 5)
    assert calibrate(graph, ["h"], [steps])["h"] == asymmetric(0, 4)


def test_what_cannot_be_calibrated_is_named():
    graph = cnn()
    with pytest.raises(UnknownName, match="mse"):
        calibrate(graph, ["x"], [[{"x": IMAGES}]], "entropy")
    with pytest.raises(GraphError, match=r"'x'.*not finite"):
        calibrate(graph, ["x"], [[{"x": IMAGES * np.float32(np.nan)}]])
    with pytest.raises(GraphError, match="none"):
        calibrate(graph, ["x"], [])


def test_constant_values_have_a_scale_too():
    assert asymmetric(0, 0) == QuantParams((1.0,), (0,))
    params = asymmetric(5, 5)
    assert params.zero_point == (-128,)
    assert params.scale[0] == pytest.approx(5 / 255)


def test_weights_that_are_read_transposed_have_the_axis_of_their_outputs():
    b = Builder("flipped")
    w = b.constant("w", numbers(5, 3))
    graph = b.graph([b.apply(MatMul(transpose_b=True), b.input("x", (BATCH, 3)), w)])
    [node] = [n for n in quantize_weights(graph).nodes if isinstance(n.op, Dequantize)]
    assert (node.op.params.axis, len(node.op.params.scale)) == (0, 5)


def test_relu_that_is_read_twice_is_a_number_to_one_of_them():
    b = Builder("twice")
    x = b.input("x", (BATCH, 4))
    a = b.apply(Unary("relu"), b.matmul(x, b.constant("w", numbers(4, 4))), name="a")
    b.softmax(b.matmul(a, b.constant("v", numbers(4, 2))), name="y")
    found = in_full(b.graph(["y", "a"]), x=numbers(9, 4))
    assert "Unary relu" in [kept.op for kept in kept_float(found)]
