"""Quantised networks of every kind: interpreter = onnxruntime, and both near the float Graph."""

from __future__ import annotations

import numpy as np
import onnx  # noqa: TID251  what the runtime makes of a file is looked at
import onnxruntime  # noqa: TID251
import pytest
from recurrent_networks import as_steps, recipe_of

from edgelearn import workflow
from edgelearn.export.onnx_reader import read_graph
from edgelearn.export.onnx_writer import names_of, to_bytes
from edgelearn.export.verify import TOLERANCES, error_between
from edgelearn.ir import BATCH, Builder, run
from edgelearn.ir.ops import Conv2d, Pool2d, Reshape, Slice, Transpose
from edgelearn.ir.ops_quant import QuantParams
from edgelearn.layers import SequenceLearner, examples
from edgelearn.lowering import to_stream_graph
from edgelearn.passes.calibrate import METHODS, calibrate
from edgelearn.passes.floats import kept_float
from edgelearn.passes.quantize import activations, quantize_full, quantize_weights
from edgelearn.runtimes.onnx import OnnxSession

INT8 = TOLERANCES["onnx", "int8"]
STATE = 1.5e-2
"""What 50 steps on int8 weights may have moved a state, whose values are of the order of 1."""
STEPS = 50
RECURRENT = sorted({layer.kind for layer, _ in examples() if isinstance(layer, SequenceLearner)})
LAYERS = [
    pytest.param(layer, in_shape, id=f"{i}-{layer.kind}")
    for i, (layer, in_shape) in enumerate(examples())
]


def layer_graph(layer, in_shape):
    """A layer alone with the input that it takes, and samples."""
    b, rng = Builder("layer"), np.random.default_rng(1)
    names = {k: b.constant(k, v) for k, v in layer.init(in_shape, 0, 0).items()}
    graph = b.graph([layer.emit(b, names, b.input("x", (BATCH, *in_shape))).a])
    x = rng.normal(size=(8, *in_shape)).astype(np.float32)
    if getattr(layer, "masked", False):
        x[..., -1] = x[..., -1] > -0.5
    if vocabulary := getattr(layer, "vocabulary", None):
        tokens = x[..., 0] if layer.masked else x
        tokens[:] = rng.integers(0, vocabulary, tokens.shape)
    return graph, x


def in_full(graph, x, method="min-max"):
    params = calibrate(graph, activations(graph), [[{"x": x}]], method)
    return quantize_full(graph, params)


@pytest.mark.parametrize("mode", ["weights", "full"])
@pytest.mark.parametrize(("layer", "in_shape"), LAYERS)
def test_every_layer(layer, in_shape, mode, tmp_path):
    graph, x = layer_graph(layer, in_shape)
    found = quantize_weights(graph) if mode == "weights" else in_full(graph, x)
    (name,) = graph.outputs
    want, exact = run(found, {"x": x}).outputs[name], run(graph, {"x": x}).outputs[name]
    content = to_bytes(found)
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    got = OnnxSession(content).run({"x": x})[names_of(found).outputs[name]]
    assert error_between(want, got) <= INT8
    assert error_between(exact, got) <= 0.1 if mode == "full" else 0.03
    path = tmp_path / "layer.onnx"
    path.write_bytes(content)
    again = read_graph(path)
    np.testing.assert_allclose(run(again, {"x": x}).outputs[again.outputs[0]], want, atol=1e-5)


@pytest.mark.parametrize("mode", ["weights", *METHODS])
@pytest.mark.parametrize("kind", RECURRENT)
def test_a_state_after_50_steps(kind, mode):
    """On int8 weights within the stated error; with int8 activations within twice that."""
    rng = np.random.default_rng(2)
    digits = rng.integers(0, 17, (64, STEPS, 8))
    from edgelearn.datasets import Dataset

    data = Dataset("noise", digits, np.arange(64) % 10, digits, np.arange(64) % 10, CLASSES)
    network = workflow.new_model(recipe_of({"kind": kind, "units": 24}), data).network
    graph = to_stream_graph(network)
    steps = [{"x": digits[:, t].astype(np.float32)} for t in range(STEPS)]
    if mode == "weights":
        found = quantize_weights(graph)
    else:
        found = quantize_full(graph, calibrate(graph, activations(graph), [steps], mode))
    session, names = OnnxSession(to_bytes(found)), names_of(found).states
    exact, states, fed_back = {}, {}, {}
    for feeds in steps:
        exact = run(graph, feeds, exact).states
        states = run(found, feeds, states).states
        by_runtime = session.run({**feeds, **fed_back})
        fed_back = {name: by_runtime[output] for name, output in names.items()}
    hidden = [name for name in exact if name.endswith((".h", ".cell"))]
    assert hidden
    limit = STATE if mode == "weights" else 2 * STATE
    for name in hidden:
        assert np.abs(exact[name]).max() > 0.1
        assert error_between(exact[name], states[name]) <= limit
        assert error_between(exact[name], fed_back[name]) <= limit


CLASSES = tuple(str(c) for c in range(10))


def optimised_ops(content, tmp_path):
    """What onnxruntime makes of the nodes of a file."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return [n.op_type for n in onnx.load(tmp_path / "optimised.onnx").graph.node]


def test_products_are_fused_with_their_bias(digits, tmp_path):
    """The digits 8 x 8, whose Reshape would stand between integers and their product."""
    layers = (
        {"kind": "conv2d", "filters": 8, "activation": "relu"},
        {"kind": "max_pool"},
        {"kind": "conv2d", "filters": 8, "activation": "relu"},
        {"kind": "dense", "units": 16, "activation": "relu"},
    )
    from dataclasses import replace

    from edgelearn.lowering import to_graph

    shape = (-1, 8, 8)
    parts = {k: getattr(digits, k).reshape(shape) for k in ("x_train", "x_test")}
    network = workflow.new_model(recipe_of(*layers, over="all"), replace(digits, **parts)).network
    x = parts["x_train"][:64].astype(np.float32)
    found = in_full(to_graph(network), x)
    kinds = optimised_ops(to_bytes(found), tmp_path)
    assert kinds.count("QLinearConv") == 2
    assert kinds.count("QGemm") == 2
    assert not {"Conv", "MatMul", "Gemm", "FusedConv", "FusedGemm"} & set(kinds)
    assert "relu" not in " ".join(kept.op for kept in kept_float(found))


def test_a_step_of_a_cell_multiplies_integers(digits, tmp_path):
    for kind in ("gru", "lstm", "mingru", "leaky"):
        data = as_steps(digits, 8)
        graph = to_stream_graph(
            workflow.new_model(recipe_of({"kind": kind, "units": 16}), data).network
        )
        steps = [{"x": data.x_train[:32, t].astype(np.float32)} for t in range(8)]
        found = quantize_full(graph, calibrate(graph, activations(graph), [steps]))
        kinds = optimised_ops(to_bytes(found), tmp_path)
        assert {"QGemm", "MatMulIntegerToFloat"} >= {k for k in kinds if "Mat" in k or "Gemm" in k}
        assert [k.op for k in kept_float(found) if "MatMul" in k.op] == []


MOVES = [
    (Reshape((BATCH, 72)), None),
    (Transpose((0, 2, 1, 3)), None),
    (Slice(1, 1, 3), None),
    (Pool2d("max", (2, 2)), Conv2d()),
]


@pytest.mark.parametrize(("op", "product"), MOVES, ids=lambda c: type(c).__name__)
def test_numbers_are_moved_before_they_are_rounded_in_a_file(op, product):
    """The same values, whatever lies between a Quantize and its Dequantize."""
    from edgelearn.ir.ops import Dequantize, Quantize

    b, params = Builder("moved"), QuantParams((0.05,), (-7,))
    x = b.input("x", (BATCH, 6, 4, 3))
    moved = b.apply(op, b.apply(Quantize(params), x))
    a = b.apply(Dequantize(params), moved)
    if product is not None:
        a = b.apply(product, a, b.constant("w", np.ones((1, 1, 3, 2), np.float32)))
    graph = b.graph([b.unary("abs", a, name="y")])
    x = np.random.default_rng(3).normal(size=(5, 6, 4, 3)).astype(np.float32) * 4
    content = to_bytes(graph)
    got = OnnxSession(content).run({"x": x})["y"]
    np.testing.assert_allclose(got, run(graph, {"x": x}).outputs["y"], atol=1e-5)
    kinds = [n.op_type for n in onnx.load_from_string(content).graph.node]
    at = kinds.index("QuantizeLinear")
    assert kinds[at + 1] == "DequantizeLinear"


def test_integers_that_leave_keep_their_sign():
    from edgelearn.ir.ops import Dequantize, Quantize

    b, params = Builder("leaving"), QuantParams((0.05,), (-7,))
    q = b.apply(Quantize(params), b.input("x", (BATCH, 3)), name="q")
    graph = b.graph([q, b.apply(Dequantize(params), q, name="y")])
    x = np.random.default_rng(3).normal(size=(5, 3)).astype(np.float32)
    want, got = run(graph, {"x": x}).outputs, OnnxSession(to_bytes(graph)).run({"x": x})
    for name in ("q", "y"):
        np.testing.assert_array_equal(got[name], want[name], strict=True)
