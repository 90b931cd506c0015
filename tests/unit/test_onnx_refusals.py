"""What the ONNX reader refuses: each with one message that names the file."""

from __future__ import annotations

import numpy as np
import onnx  # noqa: TID251  files are made and damaged without our writer
import pytest
from foreign_onnx import FOREIGN, NORMALIZE, Foreign, node, one, weights

from edgelearn.errors import GraphError, MissingFile, ModelFileError, UnsupportedOp
from edgelearn.export import onnx_load
from edgelearn.export.onnx_reader import read_graph
from edgelearn.export.onnx_values import Values
from edgelearn.export.onnx_writer import to_bytes
from edgelearn.ir import Builder


def saved(model, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


RELU = Foreign("relu", ("n", 4), (node("Relu", "x"),))
DIVISION = (
    node("Div", "zero", "zero", out="q"),
    node("ConstantOfShape", "q", out="k"),
    node("Add", "x", "k"),
)


def sum_over_samples(shape, image, **attributes):
    """A convolution whose filters have the open batch as their second axis."""
    turned = node("Transpose", "x", out="c", perm=[1, 0, 2, 3])
    made = node("Conv", image, "c", **attributes)
    return Foreign(f"update-{shape[1]}-{image}-{attributes}", shape, (turned, made))


MERGED = (
    node("Transpose", "x", out="t", perm=[4, 3, 0, 1, 2]),
    node("Reshape", "t", "shape", out="r"),
    node("Relu", "r"),
)
SHAPE = {"shape": np.array([3, -1, 7, 6])}
ARITHMETIC = (
    node("Shape", "x", out="s"),
    node("Mul", "s", "s", out="t"),
    node("ConstantOfShape", "t"),
)


def where(kept=((True, False),), other=0.0):
    """`x` where `kept`, else `other`."""
    constants = {"kept": np.array(kept), "other": np.float32(other)}
    return Foreign("where", (1, 2), (node("Where", "kept", "x", "other"),), constants)


@pytest.mark.parametrize(
    ("foreign", "message"),
    [
        (one("Erf", ("n", 4)), "op Erf"),
        (one("Gather", ("n", 4), axis=1, constants={"i": np.array([0])}), "axis 1"),
        (one("MaxPool", ("n", 4, 7, 6), kernel_shape=[2, 2], dilations=[2, 2]), "dilations"),
        (one("MaxPool", ("n", 4, 9), kernel_shape=[2]), "op MaxPool"),
        (
            one(
                "AveragePool",
                ("n", 4, 7, 6),
                kernel_shape=[3, 3],
                pads=[1, 1, 1, 1],
                count_include_pad=1,
            ),
            "count_include_pad",
        ),
        (one("Slice", ("n", 4), 9, starts=[0], ends=[1], axes=[0]), "not the batch"),
        (
            one(
                "Slice",
                ("n", 4),
                constants={
                    "s": np.array([3]),
                    "e": np.array([0]),
                    "a": np.array([1]),
                    "t": np.array([-1]),
                },
            ),
            "steps",
        ),
        (one("MatMul", ("n", 3, 4), constants={"b": weights(4, 2)}), "two matrices"),
        (one("Cast", ("n", 4), to=onnx.TensorProto.DOUBLE), "float64"),
        (one("Add", ("n", 4), 6, constants={"b": weights(4)}), "opset 7 to"),
        (one("Relu", ("n", "m")), "open"),
        (
            one("Dropout", ("n", 4), constants={"r": np.float32(0.5), "t": np.array(True)}),
            "training_mode",
        ),
        (one("Squeeze", ("n", 1)), "axes"),
        (where(other=1.0), "0 where"),
        (where(kept=[True]), "op Where"),
        (one("Flatten", ("n", 2, 3), axis=2), "op Flatten"),
        (one("Slice", ("n", 4), 9, starts=[1], ends=[9], axes=[0]), "not the batch"),
        (one("Expand", ("n", 1), constants={"shape": np.array([1, 5])}), "op Expand"),
        (
            Foreign("two", ("n", 4), (node("Relu", "x", out="a"), node("Gelu", "a")), opset=20),
            "node 'out', op Gelu",
        ),
        (Foreign("arithmetic", ("n", 4), ARITHMETIC), "open batch"),
        (
            one("BatchNormalization", ("n", 4), 15, training_mode=1, constants=NORMALIZE),
            "inference",
        ),
        (sum_over_samples(("n", 4, 7, 6), "c", group=2), "a sum over samples"),
        (sum_over_samples(("n", 4, 7, 6), "x"), "known size"),
        (sum_over_samples(("n", 4, 7, 6), "c", dilations=[7, 1]), "filters of at most"),
        (sum_over_samples(("n", 1 << 20, 1, 1), "c"), "filters of at most"),
        (Foreign("merged-batch", ("n", 7, 6, 2, 3), MERGED, SHAPE), "dimension of its own"),
        (Foreign("nothing-over-0", (4,), DIVISION, {"zero": np.array([0])}), "node 'q', op Div"),
        (Foreign("custom", ("n", 4), (node("Relu", "x", domain="com.example"),)), "example.Relu"),
    ],
    ids=str,
)
def test_what_cannot_be_read_is_named_with_its_file(foreign, message, tmp_path):
    with pytest.raises(UnsupportedOp, match=message) as caught:
        read_graph(saved(foreign.model(), tmp_path))
    assert "model.onnx" in str(caught.value)


def test_double_inputs_are_refused(tmp_path):
    model = RELU.model()
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    with pytest.raises(UnsupportedOp, match=r"DOUBLE \[open, 4\]"):
        read_graph(saved(model, tmp_path))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MissingFile, match=r"none\.onnx"):
        read_graph(tmp_path / "none.onnx")


def test_a_truncated_file_never_reads_as_another(model_path, tmp_path):
    from edgelearn.ir import store

    whole = to_bytes(store.read(model_path).graphs["infer"])
    path = tmp_path / "cut.onnx"
    for length in [0, 1, 7, *range(50, len(whole), len(whole) // 40)]:
        path.write_bytes(whole[:length])
        with pytest.raises(ModelFileError, match=r"cut\.onnx"):
            read_graph(path)


@pytest.mark.parametrize("name", ["flatten-by-shape", "constants", "Conv-groups-11"])
def test_damaged_bytes_never_crash(name, tmp_path):
    foreign = next(f for f in FOREIGN if f.name == name)
    whole = bytearray(foreign.model().SerializeToString())
    path = tmp_path / "hit.onnx"
    for place in range(len(whole)):
        hit = bytearray(whole)
        hit[place] ^= 0xFF
        path.write_bytes(hit)
        try:
            read_graph(path)
        except (ModelFileError, UnsupportedOp) as error:
            assert "hit.onnx" in str(error)  # noqa: PT017  a byte of a name may change unseen


def test_a_huge_file_is_refused_unread(tmp_path):
    path = tmp_path / "huge.onnx"
    with path.open("wb") as file:
        file.truncate(onnx_load.MAX_BYTES + 1)
    with pytest.raises(ModelFileError, match="at most"):
        read_graph(path)


def test_a_small_file_that_asks_for_huge_constants_is_refused(tmp_path):
    fill = node("ConstantOfShape", "shape", out="k")
    for shape in ([1 << 20, 1 << 20], [-5]):
        foreign = Foreign("bomb", (4,), (fill, node("Add", "x", "k")), {"shape": np.array(shape)})
        with pytest.raises(UnsupportedOp, match="ConstantOfShape"):
            read_graph(saved(foreign.model(), tmp_path))


def test_many_constants_add_up(tmp_path, monkeypatch):
    monkeypatch.setattr("edgelearn.export.onnx_reader.MAX_BYTES", 100)
    fills = [node("ConstantOfShape", "shape", out=f"k{i}") for i in range(10)]
    nodes = (*fills, node("Sum", "x", *(f"k{i}" for i in range(10))))
    foreign = Foreign("many", (4,), nodes, {"shape": np.array([4])})
    with pytest.raises(ModelFileError, match="100 bytes of constants"):
        read_graph(saved(foreign.model(), tmp_path))


@pytest.mark.parametrize("where", ["../secret", "/etc/hostname", "beside.bin"])
def test_tensors_in_other_files_are_refused(where, tmp_path):
    (tmp_path / "beside.bin").write_bytes(bytes(16))
    model = one("Add", ("n", 4), constants={"b": weights(4)}).model()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=where)
    with pytest.raises(ModelFileError, match="in another file"):
        read_graph(saved(model, tmp_path))


def test_functions_that_may_hide_an_op_are_refused(tmp_path):
    model = RELU.model()
    model.functions.add(name="Relu", domain="")
    with pytest.raises(UnsupportedOp, match="function"):
        read_graph(saved(model, tmp_path))


def test_sparse_initializers_are_refused(tmp_path):
    model = RELU.model()
    model.graph.sparse_initializer.add().dims.append(4)
    with pytest.raises(ModelFileError, match="sparse"):
        read_graph(saved(model, tmp_path))


@pytest.mark.parametrize(
    "value", ["{", pytest.param("[" * 100_000, id="deep"), "[1]", '{"h": 1}', '{"h": "nowhere"}']
)
def test_damaged_metadata_is_named(value, tmp_path):
    model = RELU.model()
    onnx.helper.set_model_props(model, {"edgelearn.states": value})
    with pytest.raises((ModelFileError, UnsupportedOp), match=r"edgelearn\.states"):
        read_graph(saved(model, tmp_path))


def test_a_node_that_uses_a_value_nobody_makes(tmp_path):
    foreign = Foreign("lost", ("n", 4), (node("Add", "x", "lost"),))
    with pytest.raises(ModelFileError, match="lost"):
        read_graph(saved(foreign.model(), tmp_path))


def test_zeros_of_one_file_are_limited_together(monkeypatch):
    """Each within the limit is not enough: a crafted file may hold many such nodes."""
    monkeypatch.setattr("edgelearn.export.onnx_values.MAX_BYTES", 100)
    values = Values(Builder("many"), set())
    values.zeros("a", (1, 1, 4, 4))
    with pytest.raises(GraphError, match="at most 100 bytes"):
        values.zeros("b", (1, 1, 4, 4))
