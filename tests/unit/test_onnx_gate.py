"""The gate: a file that computes something else never reaches its place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgelearn.errors import ModelFileError, ParityError, UnknownName
from edgelearn.export import onnx_target
from edgelearn.export.exporter import export
from edgelearn.export.verify import (
    TRAIN_STEPS,
    compare,
    error_between,
    golden_feeds,
    golden_steps,
)
from edgelearn.ir import BATCH, Builder
from edgelearn.ir.ops import AddOuter, Gather, OneHot
from edgelearn.ir.store import Bundle
from edgelearn.runtimes import onnx as runtime

SHIFT = np.float32(3e-5)
X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)


def infer_graph(factor=1.0):
    b = Builder("infer")
    w = b.constant("w", np.full((3, 2), factor, np.float32))
    return b.graph([b.matmul(b.input("x", (BATCH, 3)), w, name="probabilities")])


def train_graph(classes=2):
    b = Builder("train")
    x, y = b.input("x", (BATCH, 3)), b.input("y", (BATCH,), "int64")
    lr, w = b.input("lr", ()), b.state("w", np.ones((3, classes), np.float32))
    p = b.softmax(b.matmul(x, w), name="probabilities")
    d = b.binary("mul", b.binary("sub", b.apply(OneHot(classes), y), p), lr)
    b.update(w, b.apply(AddOuter(), w, x, d, name="w.next"))
    return b.graph([p])


def bundle():
    extra = {"golden/x": X, "golden/y": np.array([0, 1, 1, 0])}
    return Bundle({"infer": infer_graph(), "train": train_graph()}, {"classes": ["a", "b"]}, extra)


@pytest.mark.parametrize("phase", ["infer", "train"])
def test_a_right_file_is_kept(phase, tmp_path):
    done = export(bundle(), phase, tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx").stat().st_size == done.bytes
    assert done.max_abs_error["onnxruntime"] < 1e-6


@pytest.mark.parametrize("phase", ["infer", "train"])
def test_a_wrong_file_is_not_kept(phase, tmp_path, monkeypatch):
    (tmp_path / "m.onnx").write_text("old")
    right = onnx_target.to_bytes

    def wrong(graph, **options):
        constants = {name: value + SHIFT for name, value in graph.constants.items()}
        states = tuple(replace(state, init=state.init + SHIFT) for state in graph.states)
        return right(replace(graph, constants=constants, states=states), **options)

    monkeypatch.setattr(onnx_target, "to_bytes", wrong)
    with pytest.raises(ParityError, match="onnxruntime"):
        export(bundle(), phase, tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]


def test_a_file_that_the_runtime_refuses_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_target, "to_bytes", lambda *_, **__: b"nothing")
    with pytest.raises(ModelFileError):
        export(bundle(), "infer", tmp_path / "m.onnx")
    assert not any(tmp_path.iterdir())


def test_an_unknown_phase_is_named(tmp_path):
    with pytest.raises(UnknownName, match="dream"):
        export(bundle(), "dream", tmp_path / "m.onnx")


def test_real_samples_are_fed_all_at_once_and_alone():
    feeds = [*golden_steps(infer_graph(), bundle().extra)]
    assert [len(f["x"]) for f in feeds] == [4, 1]
    np.testing.assert_array_equal(feeds[0]["x"], X)


def test_training_takes_20_steps_of_both_batches():
    feeds = [*golden_steps(train_graph(), bundle().extra)]
    assert len(feeds) == TRAIN_STEPS == 20
    assert {len(f["x"]) for f in feeds} == {len(f["y"]) for f in feeds} == {1, 4}
    assert len({f["x"].tobytes() for f in feeds}) > 2


def test_without_samples_the_feeds_are_made_up_the_same_each_time():
    first, second = golden_feeds(train_graph(3), {}), golden_feeds(train_graph(3), {})
    assert all(np.array_equal(first[n], second[n]) for n in first)
    assert first["y"].max() < 3
    assert first["lr"] > 0


def test_made_up_indices_lie_in_the_table():
    b = Builder("lookup")
    table = b.constant("table", np.zeros((2, 5), np.float32))
    graph = b.graph([b.apply(Gather(), table, b.input("i", (BATCH,), "int32"))])
    feeds = golden_feeds(graph, {})
    assert feeds["i"].dtype == np.int32
    assert feeds["i"].max() < 2


def test_an_error_in_the_states_alone_is_seen():
    graph = train_graph()
    session = runtime.OnnxSession(onnx_target.to_bytes(graph))

    def forgetful(feeds):
        got = session.run(feeds)
        return {**got, "w.next": feeds.get("w", graph.states[0].init)}

    names = onnx_target.names_of(graph)
    parity = compare(graph, *names, forgetful, golden_steps(graph, bundle().extra))
    assert parity.max_abs_error > 1e-3


@pytest.mark.parametrize(
    ("want", "got", "error"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0),
        ([0.1], [0.2], 0.1),
        ([200.0], [201.0], 0.005),
        ([np.nan], [np.nan], 0),
        ([np.nan], [1.0], np.inf),
        ([np.inf], [1.0], np.inf),
        ([1.0], [1.0, 2.0], np.inf),
    ],
)
def test_error_measure(want, got, error):
    assert error_between(np.array(want), np.array(got)) == pytest.approx(error)


def test_another_dtype_is_an_error():
    assert error_between(np.zeros(2, np.float32), np.zeros(2, np.float64)) == np.inf


def test_a_file_of_a_fixed_batch_is_fed_just_that_many_and_all_samples():
    feeds = [*golden_steps(train_graph(), bundle().extra, batch=3)]
    assert {len(f["x"]) for f in feeds} == {3}
    assert {row.tobytes() for f in feeds for row in f["x"]} == {row.tobytes() for row in X}
