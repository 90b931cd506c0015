"""Exported ONNX files on runtimes of others: what we write is not only what one of them takes.

    pip install edgelearn[peers]

The evaluator of the onnx package is always there; OpenVINO and tract are tried where they are
installed. None of them is needed to use edgelearn. OpenVINO's package that reports its use is not
let in.
"""

from __future__ import annotations

import importlib
import sys

import numpy as np
import onnx.reference  # noqa: TID251  a peer
import pytest

from edgelearn.export.onnx_writer import names_of, to_bytes
from edgelearn.ir import Builder, run
from edgelearn.layers import examples
from edgelearn.passes.calibrate import calibrate
from edgelearn.passes.quantize import activations, quantize_full, quantize_weights

F32 = 1e-5
STEPS = 2
"""Of the last rounding: a sum that falls between two integers may go either way."""
KINDS = ("dense", "conv2d", "conv1d", "max_pool", "layer_norm", "gru", "lstm", "mingru", "elman")


def by_onnx(content, x):
    return onnx.reference.ReferenceEvaluator(content).run(None, {"x": x})[0]


def by_openvino(content, x):
    openvino = importlib.import_module("openvino")
    model = openvino.Core().read_model(content)
    (found,) = (
        openvino.Core()
        .compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([x])
        .values()
    )
    return found


def by_tract(content, x, tmp_path):
    tract = importlib.import_module("tract")
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    model = tract.onnx().load(path)
    (found,) = model.into_model().into_runnable().run([x])
    return found.to_numpy()


def cases():
    """The first example of some layers, and a network of integers."""
    for kind in KINDS:
        layer, in_shape = next((la, s) for la, s in examples() if la.kind == kind)
        b = Builder(kind)
        names = {k: b.constant(k, v) for k, v in layer.init(in_shape, 0, 0).items()}
        graph = b.graph([b.unary("abs", layer.emit(b, names, b.input("x", (2, *in_shape))).a)])
        x = np.random.default_rng(1).normal(size=(2, *in_shape)).astype(np.float32)
        if getattr(layer, "masked", False):
            x[..., -1] = x[..., -1] > -0.5
        yield kind, graph, x


CASES = [pytest.param(graph, x, id=kind) for kind, graph, x in cases()]


@pytest.fixture(params=["onnx", "openvino", "tract"])
def peer(request, tmp_path):
    if request.param == "onnx":
        return by_onnx
    sys.modules.setdefault("openvino_telemetry", None)
    pytest.importorskip(request.param, reason=f"{request.param}, a peer, is not installed")
    return by_openvino if request.param == "openvino" else lambda c, x: by_tract(c, x, tmp_path)


def error(graph, peer, x, opset=17):
    (name,) = names_of(graph).outputs
    want = run(graph, {"x": x}).outputs[name]
    got = np.asarray(peer(to_bytes(graph, opset=opset), x))
    assert got.shape == want.shape
    return float(np.abs(got - want).max() / max(1.0, np.abs(want).max()))


@pytest.mark.parametrize(("graph", "x"), CASES)
def test_float32(graph, x, peer):
    assert error(graph, peer, x) <= F32


@pytest.mark.parametrize(("graph", "x"), CASES)
def test_int8_weights(graph, x, peer):
    assert error(quantize_weights(graph), peer, x) <= F32


@pytest.mark.parametrize(("graph", "x"), [c for c in CASES if c.id in ("dense", "conv2d", "gru")])
def test_integers(graph, x, peer):
    """At opset 21 on the evaluator of onnx, which knows no older DequantizeLinear than 19."""
    found = quantize_full(graph, calibrate(graph, activations(graph), [[{"x": x}]]))
    assert error(found, peer, x, 21 if peer is by_onnx else 17) <= STEPS / 255
