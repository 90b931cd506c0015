"""Products with int8 weights in TFLite: what kernels do, and what the file holds."""

from __future__ import annotations

import numpy as np
import pytest
from tflite_lanes import assert_agrees, lanes

from edgelearn.export.verify import TOLERANCES
from edgelearn.ir import Builder
from edgelearn.ir.ops import Conv2d, Dequantize, MatMul
from edgelearn.ir.ops_quant import QuantParams

ROUNDED = TOLERANCES["tflite", "int8"]
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
