"""The ONNX reader: forms that other programs write, real files, and names that meet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx  # noqa: TID251  files are made and damaged without our writer
import pytest
from foreign_onnx import FOREIGN, Foreign, node, one, weights

from edgelearn.errors import UnsupportedOp
from edgelearn.export import onnx_fold, onnx_load
from edgelearn.export.onnx_reader import KNOWN_OPS, read_bundle, read_graph
from edgelearn.export.onnx_writer import to_bytes
from edgelearn.export.verify import error_between
from edgelearn.ir import BATCH, Builder, run
from edgelearn.runtimes.onnx import run_onnx

DEEP = 1e-4
"""Relative, through up to 100 layers of sums of thousands of float32 products."""


@pytest.fixture(scope="module")
def models(data_folder: Path) -> Path:
    """Model files made by others, beside the folder of data sets."""
    folder = data_folder.parent / "models"
    if not folder.is_dir():
        pytest.skip("there is no folder models beside EDGELEARN_DATA")
    return folder


def saved(model, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def assert_reads_as_it_runs(path, feeds):
    graph = read_graph(path)
    got = run(graph, feeds).outputs
    for name, want in run_onnx(path, feeds).items():
        assert np.ptp(want) > 0, "an output that is the same everywhere proves nothing"
        assert got[name].shape == want.shape
        assert np.abs(got[name] - want).max() <= DEEP * np.abs(want).max()
    return graph


@pytest.mark.parametrize("foreign", FOREIGN, ids=str)
@pytest.mark.parametrize("batch", [1, 3])
def test_foreign_forms(foreign, batch, tmp_path):
    path = saved(foreign.model(), tmp_path)
    graph = read_graph(path)
    feeds = {"x": foreign.x(batch)}
    want = run_onnx(path, feeds)["out"]
    assert error_between(want, run(graph, feeds).outputs["out"]) <= 1e-5
    again = run_onnx(to_bytes(graph), feeds)
    assert error_between(want, again["out"]) <= 1e-5


def test_rounding_up_adds_no_window_of_padding_alone(tmp_path):
    """Not compared with onnxruntime, which up to 1.20 gave the lowest float for such a window."""
    pool = {"kernel_shape": [1, 2], "strides": [1, 3], "ceil_mode": 1}
    graph = read_graph(saved(one("MaxPool", (1, 1, 1, 6), **pool).model(), tmp_path))
    x = np.arange(6, dtype=np.float32).reshape(1, 1, 1, 6)
    assert run(graph, {"x": x}).outputs["out"].ravel().tolist() == [1, 4]


def test_every_op_that_is_read_has_a_form():
    from op_cases import CASES

    ours = {n.op_type for c in CASES for n in onnx_nodes(to_bytes(c.graph_and_feeds(1)[0]))}
    forms = {n.op_type for f in FOREIGN for n in f.nodes}
    elsewhere = {"Expand", "Identity"}  # hidden states and awkward names, in test_onnx_writer
    assert ours | forms | elsewhere == KNOWN_OPS


def onnx_nodes(content):
    return onnx.load_from_string(content).graph.node


def test_mnist(models):
    """A convolutional network by others; MACs and parameters counted by hand."""
    path = models / "onnx_misc" / "mnist.onnx"
    rng = np.random.default_rng(0)
    x = rng.random((1, 1, 28, 28), dtype=np.float32)
    graph = assert_reads_as_it_runs(path, {"Input3": x})
    macs = 28 * 28 * 8 * 25 + 14 * 14 * 16 * 8 * 25 + 256 * 10
    assert sum(graph.macs(n) for n in graph.nodes) == macs
    assert sum(c.size for c in graph.constants.values()) == 8 * 25 + 8 + 16 * 8 * 25 + 16 + 2570


def test_face_detector(models):
    x = np.random.default_rng(0).random((1, 3, 240, 320), dtype=np.float32)
    assert_reads_as_it_runs(models / "onnx_misc" / "ultraface_rfb320.onnx", {"input": x})


def test_open_height_and_width_are_refused_until_they_are_written_in(models, tmp_path):
    path = models / "onnx_misc" / "ch_ppocr_mobile_v2.0_cls_infer.onnx"
    with pytest.raises(UnsupportedOp, match=r"'x'.*open, 3, open, open"):
        read_graph(path)
    model = onnx.load(path)
    for axis, length in ((2, 48), (3, 96)):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = length
    x = np.random.default_rng(0).random((2, 3, 48, 96), dtype=np.float32)
    assert_reads_as_it_runs(saved(model, tmp_path), {"x": x})


def with_random_weights(path):
    """The graph of a real network with weights of its own, its outputs before the softmax.

    The files come with all weights alike, so that every output is the same.
    """
    model, rng = onnx.load(path), np.random.default_rng(1)
    shapes = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    nodes = [n for n in model.graph.node if n.op_type not in ("ConstantOfShape", "Softmax")]
    for filled in model.graph.node:
        if filled.op_type == "Softmax":
            model.graph.output[0].name = filled.input[0]
        if filled.op_type == "ConstantOfShape":
            shape = tuple(shapes[filled.input[0]])
            value = rng.uniform(0.1, 1, shape).astype(np.float32)
            if len(shape) > 1:
                value = rng.standard_normal(shape, np.float32) * (2 / np.prod(shape[1:])) ** 0.5
            made = onnx.numpy_helper.from_array(value.astype(np.float32), filled.output[0])
            model.graph.initializer.append(made)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.ir_version = 4
    return model


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("squeezenet", 349),
        ("shufflenet", 125),
        ("inception_v1", 1435),
        ("inception_v2", 2019),
        ("resnet50", 4089),
        ("bvlc_alexnet", 657),
        pytest.param("zfnet512", 1488, marks=pytest.mark.slow),
        pytest.param("vgg19", 19632, marks=pytest.mark.slow),
    ],
)
def test_real_networks(name, millions, models, tmp_path):
    path = saved(with_random_weights(models / "onnx_light" / f"light_{name}.onnx"), tmp_path)
    (x,) = read_graph(path).inputs
    image = np.random.default_rng(0).random((1, 3, 224, 224), dtype=np.float32)
    graph = assert_reads_as_it_runs(path, {x: image})
    assert round(sum(graph.macs(n) for n in graph.nodes) / 1e6) == millions


def test_training_step_of_a_real_model_comes_back(model_path, tmp_path):
    from edgelearn.export.exporter import export
    from edgelearn.ir import store

    bundle = store.read(model_path)
    export(bundle, "train", tmp_path / "step.onnx")
    again = read_bundle(tmp_path / "step.onnx")
    before, after = bundle.graphs["train"], again.graphs["train"]
    assert [type(n.op) for n in after.nodes] == [type(n.op) for n in before.nodes]
    assert after.specs.keys() == before.specs.keys()
    assert [(s.input, s.output) for s in after.states] == [
        (s.input, s.output) for s in before.states
    ]
    assert {k: again.meta[k] for k in ("classes", "recipe", "card")} == {
        k: bundle.meta[k] for k in ("classes", "recipe", "card")
    }


def test_names_of_the_file_are_never_taken_by_ours(tmp_path):
    """The reader makes constants such as c0.5 and steps such as a/binary; a file may have them."""
    nodes = (
        node("HardSigmoid", "x", alpha=0.5, beta=0.25, out="a"),
        node("Add", "a", "c0.5", out="a/binary"),
        node("Relu", "a/binary"),
    )
    foreign = Foreign("names", ("n", 4), nodes, {"c0.5": weights(4)})
    path = saved(foreign.model(), tmp_path)
    assert_reads_as_it_runs(path, {"x": foreign.x(3)})


def test_folding_shapes_keeps_the_open_batch_apart():
    assert not onnx_fold.has_open_length(np.array([BATCH, 4]))
    b = Builder("x")
    b.input("x", (BATCH, 4))
    shape = onnx_load.OnnxNode("Shape", "s", ("x",), ("s",), {})
    assert onnx_fold.has_open_length(onnx_fold.shape_of(shape, b.specs["x"].shape))
