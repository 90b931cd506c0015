"""The TFLite writer: what is in a file, and that a wrong one is not kept."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

schema = pytest.importorskip(
    "ai_edge_litert.schema_py_generated", reason="the extra tflite is not installed"
)

from edgelearn.export.exporter import export  # noqa: E402  needs the extra
from edgelearn.export.target import Options  # noqa: E402
from edgelearn.export.tflite_reader import read_graph  # noqa: E402
from edgelearn.export.tflite_writer import to_bytes  # noqa: E402
from edgelearn.ir import BATCH, Builder, run  # noqa: E402
from edgelearn.ir.ops import MatMul, SparseMatMul  # noqa: E402
from edgelearn.ir.store import Bundle  # noqa: E402

OPS = {v: k for k, v in vars(schema.BuiltinOperator).items() if not k.startswith("_")}


def pruned(block):
    """A product with a matrix of which one block in twenty is kept, and a dense one."""
    rng = np.random.default_rng(0)
    kept = np.repeat(rng.random((64 // block, 96)) < 0.05, block, axis=0)
    b = Builder("pruned")
    w = b.constant("w", np.where(kept, rng.standard_normal((64, 96)), 0).astype(np.float32))
    v = b.constant("v", rng.standard_normal((96, 3), np.float32))
    hidden = b.unary("tanh", b.matmul(b.input("x", (BATCH, 64)), w))
    return b.graph([b.matmul(hidden, v, name="scores")])


@pytest.mark.parametrize("block", [1, 4])
def test_a_pruned_matrix_is_stored_by_what_is_left(block, tmp_path):
    graph, path = pruned(block), tmp_path / "pruned.tflite"
    bundle = Bundle({"infer": graph}, {})
    done = export(bundle, "infer", path)
    whole = export(bundle, "infer", tmp_path / "whole.tflite", Options(dense=True))
    assert done.dense_bytes == whole.bytes > 4 * 64 * 96
    assert done.bytes < whole.bytes / 4
    again = read_graph(path)
    (sparse,) = [n for n in again.nodes if isinstance(n.op, SparseMatMul)]
    assert sparse.op == SparseMatMul(64, 96, block)
    x = np.random.default_rng(1).standard_normal((1, 64), np.float32)
    want = run(graph, {"x": x}).outputs["scores"]
    np.testing.assert_allclose(run(again, {"x": x}).outputs["scores"], want, atol=1e-5)


def test_each_version_of_an_operator_has_a_code_of_its_own(tmp_path):
    """One version for all would be a wrong one for some."""
    export(Bundle({"infer": pruned(4)}, {}), "infer", tmp_path / "m.tflite")
    model = schema.ModelT.InitFromPackedBuf((tmp_path / "m.tflite").read_bytes())
    codes = Counter((OPS[c.builtinCode], c.version) for c in model.operatorCodes)
    assert codes["FULLY_CONNECTED", 8] == codes["FULLY_CONNECTED", 6] == 1
    assert set(codes.values()) == {1}


def test_the_same_graph_gives_the_same_bytes():
    assert to_bytes(pruned(1), batch=3) == to_bytes(pruned(1), batch=3)
    assert to_bytes(pruned(1), batch=3) != to_bytes(pruned(1), batch=4)


def test_equal_constants_are_stored_once():
    b = Builder("twice")
    x, w = b.input("x", (BATCH, 64)), np.ones((64, 64), np.float32)
    y = b.matmul(b.matmul(x, b.constant("u", w)), b.constant("v", w.copy()))
    assert len(to_bytes(b.graph([y]))) < 1.2 * w.nbytes


def test_weights_lie_as_the_kernel_reads_them():
    """Outputs first; our own reader finds the product with its transpose."""
    b = Builder("layout")
    w = b.constant("w", np.arange(6, dtype=np.float32).reshape(2, 3))
    graph = b.graph([b.matmul(b.input("x", (BATCH, 2)), w)])
    model = schema.ModelT.InitFromPackedBuf(to_bytes(graph))
    stored = next(t for t in model.subgraphs[0].tensors if t.name == b"w/outputs_first")
    assert list(stored.shape) == [3, 2]
    values = np.frombuffer(bytes(model.buffers[stored.buffer].data), np.float32)
    assert values.tolist() == [0, 3, 1, 4, 2, 5]
    assert isinstance(graph.nodes[0].op, MatMul)
