"""The ONNX writer as a whole: names, states, metadata, opsets, and what a stock runtime prints."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import onnx  # noqa: TID251  the checker is an oracle of its own
import pytest

from edgelearn.errors import OptionError, UnsupportedOp
from edgelearn.export.onnx_reader import read_bundle
from edgelearn.export.onnx_writer import OPSETS, names_of, to_bytes, to_model
from edgelearn.export.verify import compare
from edgelearn.ir import BATCH, Builder, run
from edgelearn.ir.ops import Reshape
from edgelearn.runtimes.onnx import OnnxSession, run_onnx

RNG = np.random.default_rng(3)


def f32(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def recurrent():
    """A cell whose hidden state, one row a sample, is an output too."""
    b = Builder("cell")
    x, h = b.input("x", (BATCH, 6)), b.state("h", f32(1, 4), (BATCH, 4))
    z = b.binary(
        "add", b.matmul(x, b.constant("w", f32(6, 4))), b.matmul(h, b.constant("u", f32(4, 4)))
    )
    b.update(h, b.unary("tanh", z, name="a"))
    return b.graph(["a"])


def awkward():
    """States that keep their value, trade places, or share one; outputs that nothing makes."""
    b = Builder("awkward")
    x = b.input("x", (BATCH, 2))
    kept, one, two = (b.state(name, f32(2)) for name in ("kept", "one", "two"))
    three, four = (b.state(name, f32(2)) for name in ("three", "four"))
    b.update(one, two)
    b.update(two, one)
    both = b.binary("add", three, four, name="x.out")
    b.update(three, both)
    b.update(four, both)
    return b.graph([x, kept, b.constant("k", f32(2)), b.binary("mul", x, kept)])


def steps(batches):
    return iter([{"x": f32(n, 6)} for n in batches])


def round_trip(graph, tmp_path):
    (tmp_path / "m.onnx").write_bytes(to_bytes(graph))
    (again,) = read_bundle(tmp_path / "m.onnx").graphs.values()
    return again


def assert_same_runs(graph, again, feeds):
    want, got = run(graph, feeds), run(again, feeds)
    for a, b in zip(want.outputs.values(), got.outputs.values(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert want.states.keys() == got.states.keys()
    for name, value in want.states.items():
        np.testing.assert_array_equal(value, got.states[name])


@pytest.mark.parametrize("batch", [1, 3])
def test_a_hidden_state_is_carried_and_starts_by_itself(batch):
    graph = recurrent()
    session = OnnxSession(to_bytes(graph))
    assert compare(graph, *names_of(graph), session.run, steps([batch] * 5)).max_abs_error < 1e-6


def test_an_overridden_state_is_used():
    graph = recurrent()
    feeds = {"x": f32(3, 6), "h": f32(3, 4)}
    given = run_onnx(to_bytes(graph), feeds)["a"]
    assert not np.allclose(given, run_onnx(to_bytes(graph), {"x": feeds["x"]})["a"])
    np.testing.assert_allclose(given, run(graph, feeds, feeds).outputs["a"], atol=1e-6)


def test_hidden_state_reads_back(tmp_path):
    graph = recurrent()
    again = round_trip(graph, tmp_path)
    assert again.outputs == ("a",)
    assert str(again.specs["h"]) == "float32[batch, 4]"
    assert_same_runs(graph, again, {"x": f32(3, 6)})


def test_awkward_names_stay_apart(tmp_path):
    graph = awkward()
    names = names_of(graph)
    every = [*names.outputs.values(), *names.states.values()]
    assert len({*every, *graph.specs}) == len(graph.specs) + len(set(every) - set(graph.specs))
    onnx.checker.check_model(to_model(graph), full_check=True)
    session = OnnxSession(to_bytes(graph))
    feeds = iter([{"x": f32(3, 2)} for _ in range(4)])
    assert compare(graph, *names, session.run, feeds).max_abs_error == 0
    assert_same_runs(graph, round_trip(graph, tmp_path), {"x": f32(3, 2)})


def test_the_same_graph_gives_the_same_bytes():
    graph = recurrent()
    meta = {"b": "2", "a": "1"}
    assert to_bytes(graph, metadata=meta) == to_bytes(graph, metadata=dict(reversed(meta.items())))


def test_metadata_and_states_are_written():
    found = {p.key: p.value for p in to_model(recurrent(), metadata={"k": "v"}).metadata_props}
    assert found["k"] == "v"
    assert json.loads(found["edgelearn.states"]) == {"h": "h.next"}


@pytest.mark.parametrize("opset", [*OPSETS])
def test_every_opset_runs_with_an_ir_version_that_old_runtimes_know(opset):
    model = to_model(recurrent(), opset=opset)
    onnx.checker.check_model(model, full_check=True)
    assert 4 <= model.ir_version <= {17: 8}.get(opset, 10)
    run_onnx(to_bytes(recurrent(), opset=opset), {"x": f32(1, 6)})


@pytest.mark.parametrize("opset", [OPSETS[0] - 1, OPSETS[-1] + 1])
def test_other_opsets_are_refused(opset):
    with pytest.raises(OptionError, match=str(opset)):
        to_bytes(recurrent(), opset=opset)


def test_an_empty_dimension_is_refused_not_misread():
    b = Builder("empty")
    graph = b.graph([b.apply(Reshape((0, 4)), b.input("x", (4, 0)))])
    with pytest.raises(UnsupportedOp, match="Reshape"):
        to_bytes(graph)


def test_weights_of_a_convolution_are_stored_once():
    from op_cases import CASES

    from edgelearn.ir.ops import Conv2d

    case = next(c for c in CASES if isinstance(c.op, Conv2d) and c.args[1].constant)
    model = to_model(case.graph_and_feeds(1)[0])
    assert sum(len(t.raw_data) for t in model.graph.initializer) == 4 * 3 * 3 * 4 * 5


def stderr_of_default_session(content, tmp_path):
    (tmp_path / "m.onnx").write_bytes(content)
    code = f"import onnxruntime; onnxruntime.InferenceSession({str(tmp_path / 'm.onnx')!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stderr.splitlines()


def test_a_stock_runtime_loads_without_a_word(tmp_path):
    b = Builder("plain")
    graph = b.graph([b.matmul(b.input("x", (BATCH, 6)), b.constant("w", f32(6, 4)))])
    assert stderr_of_default_session(to_bytes(graph), tmp_path) == []


def test_of_states_it_says_only_that_they_can_be_overridden(tmp_path):
    """That remark is what onnxruntime prints for every default value of an input."""
    lines = stderr_of_default_session(to_bytes(awkward()), tmp_path)
    assert [line for line in lines if "appears in graph inputs" not in line] == []
