"""Products with int8 weights in TFLite: what kernels do, and what the file holds."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tflite_lanes import assert_agrees, lanes

from edgelearn.ir import Builder, run
from edgelearn.ir.ops import Concat, Conv2d, Dequantize, MatMul, Pool2d, Quantize, Reshape
from edgelearn.ir.ops_quant import QuantParams

ROUNDED = 1.5e-2  # of one product alone: a step of 8 bits, 8e-3, and what sums add
EXACT = 1e-6
CASES = {
    "product, a scale an output": ((64, 48), 1, MatMul(), (-1, 64), ROUNDED),
    "product with the transpose": ((48, 64), 0, MatMul(transpose_b=True), (-1, 64), ROUNDED),
    "product, one scale": ((64, 48), None, MatMul(), (-1, 64), ROUNDED),
    "product, a scale an input": ((64, 48), 0, MatMul(), (-1, 64), EXACT),
    "convolution": ((3, 3, 16, 32), 3, Conv2d(pads=(1, 1, 1, 1)), (-1, 8, 8, 16), EXACT),
    "convolution, one scale": ((3, 3, 16, 32), None, Conv2d(), (-1, 8, 8, 16), EXACT),
    "depthwise": ((3, 3, 1, 256), 3, Conv2d(groups=256), (-1, 8, 8, 256), EXACT),
}


def graph_of(shape, axis, op, x_shape, zero_point=0):
    rng = np.random.default_rng(0)
    count = 1 if axis is None else shape[axis]
    scale = np.exp(rng.uniform(-6, -2, count)).astype(np.float32)
    params = QuantParams(tuple(scale.tolist()), (zero_point,) * count, axis)
    b = Builder("int8")
    x = b.input("x", x_shape)
    w = b.constant("w", rng.integers(-127, 128, shape).astype(np.int8))
    b.apply(op, x, b.apply(Dequantize(params), w), name="y")
    return b.graph(["y"])


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("batch", [1, 4])
def test_every_kernel_agrees(case, batch):
    *parts, tolerance = case
    graph = graph_of(*parts)
    x = np.random.default_rng(1).standard_normal((batch, *parts[3][1:]), np.float32)
    assert_agrees(graph, {"x": x}, batch, tolerance=tolerance)


def scales(graph):
    """Bytes of scales, and of a bias that every convolution must have, float32 each."""
    return 8 * graph.specs["y"].shape[-1]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_file_holds_a_byte_a_weight(case):
    graph = graph_of(*case[:-1])
    weights = graph.constants["w"].size
    empty = 2000  # names, shapes and operators
    for _, draft in lanes(graph, 1):
        assert weights < len(draft.content) < weights + empty + scales(graph)


def test_weights_with_a_zero_point_are_computed_with_as_numbers():
    graph = graph_of((64, 48), None, MatMul(), (-1, 64), zero_point=5)
    x = np.random.default_rng(1).standard_normal((2, 64), np.float32)
    assert_agrees(graph, {"x": x}, 2, tolerance=EXACT)


X, MAPS, OUT = QuantParams((0.02,), (-7,)), QuantParams((0.1,), (-128,)), QuantParams((0.3,), (4,))


def integer_network(**changes):
    """Two convolutions of integers, a pool, a concatenation and a matrix, all of integers."""
    said = {"bias": 1.0, "zero_point": 0, "second": "int8", "readers": 1, **changes}
    rng, b = np.random.default_rng(0), Builder("integers")
    scale = np.exp(rng.uniform(-5, -3, 8)).astype(np.float32)
    weights = QuantParams(tuple(scale.tolist()), (said["zero_point"],) * 8, 3)
    sums = QuantParams(tuple((np.float32(0.02) * scale * said["bias"]).tolist()), (0,) * 8, 0)
    x = b.apply(Quantize(X), b.input("x", (-1, 7, 6, 3)), name="x/int8")
    w = b.constant("w", rng.integers(-127, 128, (3, 3, 3, 8)).astype(np.int8))
    bias = b.constant("b", rng.integers(-999, 999, 8).astype(np.int32))
    conv = Conv2d((2, 1), (1, 0, 2, 1))
    z = b.apply(conv, b.apply(Dequantize(X), x), b.apply(Dequantize(weights), w))
    z = b.binary("add", z, b.apply(Dequantize(sums), bias))
    maps = b.apply(Quantize(MAPS), b.unary("relu", z), name="maps")
    pooled = b.apply(Pool2d("max", (2, 2), (2, 2)), maps)
    both = b.apply(Concat(3), pooled, pooled)
    flat = b.apply(Reshape((-1, 64)), both)
    one = QuantParams((0.01,), (0,))
    v = b.constant("v", rng.integers(-127, 128, (64, 5)).astype(np.int8))
    z = b.matmul(b.apply(Dequantize(MAPS), flat), b.apply(Dequantize(one), v), name="scores")
    out = b.apply(Quantize(OUT, said["second"]), z, name="scores/int8")
    answers = [b.apply(Dequantize(OUT), out, name="answer")]
    return b.graph(answers + ["scores"] * (said["readers"] - 1))


def one_step(graph, x):
    """A step of the last integer, where sums are halfway between two."""
    return 1.01 * OUT.scale[0] / np.abs(run(graph, {"x": x}).outputs["answer"]).max()


def operators(content):
    from ai_edge_litert import schema_py_generated as schema  # noqa: TID251  another look at it

    names = {v: k for k, v in vars(schema.BuiltinOperator).items()}
    model = schema.ModelT.InitFromPackedBuf(content)
    codes = [model.operatorCodes[o.opcodeIndex] for o in model.subgraphs[0].operators]
    return Counter(names[max(c.builtinCode, c.deprecatedBuiltinCode)] for c in codes)


@pytest.mark.parametrize("batch", [1, 3])
def test_integers_stay_integers_from_layer_to_layer(batch):
    graph = integer_network()
    x = np.random.default_rng(2).standard_normal((batch, 7, 6, 3)).astype(np.float32)
    assert_agrees(graph, {"x": x}, batch, tolerance=one_step(graph, x))
    for _, draft in lanes(graph, batch):
        found = operators(draft.content)
        assert found["QUANTIZE"] == found["DEQUANTIZE"] == 1
        assert found["CONV_2D"] == found["FULLY_CONNECTED"] == 1
        assert not {"ADD", "MUL", "RELU"} & found.keys()


@pytest.mark.parametrize(
    ("changes", "numbers"),
    [
        ({"bias": 1.5}, "ADD"),
        ({"zero_point": 3}, "ADD"),
        ({"second": "uint8"}, "QUANTIZE"),
        ({"readers": 2}, "QUANTIZE"),
    ],
)
def test_what_no_kernel_for_integers_computes_is_computed_with_numbers(changes, numbers):
    graph = integer_network(**changes)
    x = np.random.default_rng(2).standard_normal((1, 7, 6, 3)).astype(np.float32)
    # A second step, since kernels for int8 weights round the activations that they read.
    assert_agrees(graph, {"x": x}, 1, tolerance=2 * one_step(graph, x))
    for _, draft in lanes(graph, 1):
        whole = operators(next(lanes(integer_network(), 1))[1].content)
        assert operators(draft.content)[numbers] > whole[numbers]


@pytest.mark.parametrize("name", ["ad01_int8", "kws_ref_model", "vww_96_int8"])
def test_integer_models_of_others_are_written_as_they_were(name):
    """Read, written again, and run: the same operators but for softmax, and the same integers."""
    pytest.importorskip("ai_edge_litert", reason="the extra tflite is not installed")
    folder = os.environ.get("EDGELEARN_MODELS")
    if not folder or not Path(folder).is_dir():
        pytest.skip("EDGELEARN_MODELS does not name a folder of model files")
    from edgelearn.export.tflite_reader import read_graph

    path = Path(folder) / "mlperf_tiny" / f"{name}.tflite"
    graph = read_graph(path)
    (x,) = graph.inputs
    shape = graph.specs[x].shape
    feeds = {x: np.random.default_rng(1).integers(-128, 128, shape).astype(np.int8)}
    (want,) = run(graph, feeds).outputs.values()
    before = operators(path.read_bytes())
    for lane, draft in lanes(graph, 1):
        if lane.name == "ai-edge-litert/xnnpack":
            (got,) = lane.run(feeds).values()
            np.testing.assert_array_equal(got, want)
        after = operators(draft.content)
        products = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
        assert all(after[kind] == before[kind] for kind in products)
        assert len(draft.content) < 1.1 * path.stat().st_size
