"""The TFLite reader: real files of others, damaged ones, and what our own writer wrote."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest

schema = pytest.importorskip(
    "ai_edge_litert.schema_py_generated", reason="the extra tflite is not installed"
)

from edgelearn.cli import run as edgelearn  # noqa: E402  needs the extra
from edgelearn.errors import EdgelearnError, ModelFileError, UnsupportedOp  # noqa: E402
from edgelearn.export import tflite_load  # noqa: E402
from edgelearn.export.tflite_reader import read_bundle, read_graph  # noqa: E402
from edgelearn.export.tflite_writer import to_bytes  # noqa: E402
from edgelearn.ir import Builder, run, store  # noqa: E402
from edgelearn.runtimes.tflite import run_tflite  # noqa: E402

RELATIVE = 1e-5
"""Through up to 160 operators of float32 sums, to the largest value."""
FLOAT = (
    "mlperf_tiny/ad01_fp32",
    "mlperf_tiny/pretrainedResnet",
    "tflite_micro/hello_world_float",
    "tflite_misc/face_detection_short_range",
)
INTEGER = (
    "mlperf_tiny/ad01_int8",
    "mlperf_tiny/kws_ref_model",
    "mlperf_tiny/pretrainedResnet_quant",
    "mlperf_tiny/vww_96_int8",
    "tflite_micro/hello_world_int8",
    "tflite_micro/micro_speech_quantized",
    "micro_wake_word/hey_jarvis",
    "micro_wake_word/okay_nabu",
    "micro_wake_word/vad",
)
COUNTED = {
    # 640-128x4-8-128x4-640: products by hand.
    "mlperf_tiny/ad01_fp32": 2 * 640 * 128 + 6 * 128 * 128 + 2 * 128 * 8,
    "mlperf_tiny/ad01_int8": 2 * 640 * 128 + 6 * 128 * 128 + 2 * 128 * 8,
    # 1-16-16-1.
    "tflite_micro/hello_world_float": 16 + 256 + 16,
    # 8 filters of 10 x 8 at every second of 49 x 40 places, and 4,000 to 4.
    "tflite_micro/micro_speech_quantized": 25 * 20 * 8 * 80 + 4000 * 4,
    # 64 filters of 10 x 4 at 25 x 5 places, 4 times 3 x 3 a channel and 64 to 64, then 64 to 12.
    "mlperf_tiny/kws_ref_model": 125 * (64 * 40 + 4 * (64 * 9 + 64 * 64)) + 64 * 12,
}


@pytest.fixture(scope="module")
def models() -> Path:
    """A folder of model files made by others."""
    folder = os.environ.get("EDGELEARN_MODELS")
    if not folder or not Path(folder).is_dir():
        pytest.skip("EDGELEARN_MODELS does not name a folder of model files")
    return Path(folder)


def fed(graph):
    rng = np.random.default_rng(0)
    return {
        name: rng.standard_normal(graph.specs[name].shape, np.float32)
        if graph.specs[name].dtype == "float32"
        else rng.integers(-128, 128, graph.specs[name].shape).astype(graph.specs[name].dtype)
        for name in graph.inputs
    }


@pytest.mark.parametrize("name", [*FLOAT, *INTEGER])
def test_it_computes_what_the_runtime_does(name, models):
    """Integers to the last one, numbers within some roundings."""
    path = models / f"{name}.tflite"
    graph = read_graph(path)
    feeds = fed(graph)
    got = run(graph, feeds).outputs.values()
    want = run_tflite(path, {i: feeds[n] for i, n in enumerate(graph.inputs)}).values()
    for ours, theirs in zip(got, want, strict=True):
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        if name in INTEGER:
            np.testing.assert_array_equal(ours, theirs)
        else:
            assert np.abs(ours - theirs).max() <= RELATIVE * max(1, np.abs(theirs).max())


def counted(path):
    """Products and stored weights, counted from the file by other means than the reader's."""
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes())
    graph, macs, stored = model.subgraphs[0], 0, {}
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        number = max(code.builtinCode, code.deprecatedBuiltinCode)
        out, w = graph.tensors[operator.outputs[0]].shape, None
        if number in {schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.FULLY_CONNECTED}:
            w = graph.tensors[operator.inputs[1]].shape
            macs += math.prod(out[:-1]) * math.prod(w)
        elif number == schema.BuiltinOperator.DEPTHWISE_CONV_2D:
            w = graph.tensors[operator.inputs[1]].shape
            macs += math.prod(out) * math.prod(w[1:3])
        if w is not None:
            for index in operator.inputs[1:]:
                stored[index] = math.prod(graph.tensors[index].shape)
    return macs, sum(stored.values())


@pytest.mark.parametrize(
    "name",
    [*FLOAT[:3], *INTEGER[:6], "tflite_micro/person_detect", "mlperf_tiny/kws_ref_model_float32"],
)
def test_macs_and_parameters_are_those_of_the_file(name, models):
    path = models / f"{name}.tflite"
    graph = read_graph(path)
    macs, parameters = counted(path)
    assert sum(graph.macs(node) for node in graph.nodes) == macs
    assert macs == COUNTED.get(name, macs)
    weights = [c for n, c in graph.constants.items() if c.ndim]
    assert sum(c.size for c in weights) == parameters


def test_what_a_file_keeps_from_run_to_run_is_a_state(models):
    """Two runs of the runtime, and two of the Graph with its states fed back."""
    path = models / "micro_wake_word" / "vad.tflite"
    graph = read_graph(path)
    assert len(graph.states) == 4
    from ai_edge_litert.interpreter import Interpreter  # noqa: TID251  it must keep its variables

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    states, seen = {}, []
    for seed in range(6):
        x = np.random.default_rng(seed).integers(-128, 128, (1, 3, 40)).astype(np.int8)
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
        interpreter.invoke()
        want = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        done = run(graph, {graph.inputs[0]: x}, states)
        states = done.states
        np.testing.assert_array_equal(done.outputs[graph.outputs[0]], want)
        seen.append(states[graph.states[0].input])
    assert not np.array_equal(seen[0], seen[-1])


@pytest.mark.parametrize(
    ("name", "op"),
    [
        ("tflite_micro/audio_preprocessor_int8", "'signal_window', op custom SignalWindow"),
        ("tflite_micro/trained_lstm", "op UNIDIRECTIONAL_SEQUENCE_LSTM"),
    ],
)
def test_an_operator_that_is_not_known_is_named_with_its_node_and_file(name, op, models):
    path = models / f"{name}.tflite"
    with pytest.raises(UnsupportedOp, match=op) as caught:
        read_graph(path)
    assert path.name in str(caught.value)


def test_inspect_and_simulate_read_it(models, capsys):
    path = str(models / "mlperf_tiny" / "kws_ref_model.tflite")
    assert edgelearn(["inspect", path]) == 0
    assert "2,656,768" in capsys.readouterr().out
    assert edgelearn(["simulate", path, "--device", "stm32h743"]) == 0


def test_a_training_step_comes_back(model_path, tmp_path, digits):
    out = tmp_path / "step.tflite"
    arguments = ["export", str(out), "--model", str(model_path), "--phase", "train"]
    assert edgelearn([*arguments, "--batch", "8"]) == 0
    bundle, before = read_bundle(out), store.read(model_path)
    graph = bundle.graphs["train"]
    assert bundle.meta["recipe"] == before.meta["recipe"]
    assert [s.input for s in graph.states] == [s.input for s in before.graphs["train"].states]
    x, y = digits.x_train[:8].astype(np.float32), digits.y_train[:8]
    feeds = {"x": x, "y": y, "lr": np.array(0.1, np.float32)}
    want, got = run(before.graphs["train"], feeds), run(graph, feeds)
    assert got.outputs.keys() == want.outputs.keys()
    for name, value in want.states.items():
        assert not np.array_equal(value, before.graphs["train"].states[0].init)
        np.testing.assert_allclose(got.states[name], value, atol=1e-6)


@pytest.fixture
def small_file():
    b = Builder("small")
    w = b.constant("w", np.arange(32, dtype=np.float32).reshape(4, 8))
    return to_bytes(b.graph([b.unary("relu", b.matmul(b.input("x", (1, 4)), w))]))


@pytest.mark.parametrize(
    "content", [b"", b"TFL3", b"\0" * 100, b"\xff" * 4 + b"TFL3" + b"\xff" * 60]
)
def test_files_that_are_no_models(content, tmp_path):
    (tmp_path / "bad.tflite").write_bytes(content)
    with pytest.raises(ModelFileError, match=r"bad\.tflite"):
        read_graph(tmp_path / "bad.tflite")


def test_truncated_files_are_one_clear_error(small_file, tmp_path):
    path = tmp_path / "cut.tflite"
    for length in range(0, len(small_file) - 40, 7):
        path.write_bytes(small_file[:length])
        with pytest.raises(EdgelearnError, match=r"cut\.tflite"):
            read_graph(path)


def test_damaged_files_are_read_or_refused(small_file, tmp_path):
    path, rng = tmp_path / "damaged.tflite", np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        content = bytearray(small_file)
        for place in rng.integers(0, len(content), 4):
            content[place] = rng.integers(0, 256)
        path.write_bytes(content)
        try:
            read_graph(path)
        except EdgelearnError:
            refused += 1
    assert refused > 30


def test_sizes_are_held_against_limits_first(small_file, tmp_path, monkeypatch):
    path = tmp_path / "large.tflite"
    path.write_bytes(small_file)
    monkeypatch.setattr(tflite_load, "MAX_BYTES", len(small_file) - 1)
    with pytest.raises(ModelFileError, match="at most"):
        read_graph(path)
    monkeypatch.undo()
    monkeypatch.setattr(tflite_load, "MAX_LINKS", 0)
    with pytest.raises(ModelFileError, match="at most 0 parts"):
        read_graph(path)
