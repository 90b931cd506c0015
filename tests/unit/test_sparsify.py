"""Which matrices become sparse, in which form, and what stays as it is."""

from __future__ import annotations

import numpy as np
import pytest

from edgelearn.errors import GraphError, UnsupportedOp
from edgelearn.export.describe import facts
from edgelearn.export.onnx_reader import read_graph
from edgelearn.export.onnx_writer import to_bytes
from edgelearn.ir import BATCH, Builder, run
from edgelearn.ir.ops import AddOuter, ApplyMask, Gather, MatMul, SparseAddOuter, SparseMatMul
from edgelearn.ir.structure import Structure, stored_bytes
from edgelearn.passes.backward import Backward
from edgelearn.passes.sparsify import LEAST_BYTES, sparsify
from edgelearn.rng import Stream, uniform
from edgelearn.runtimes.onnx import run_onnx
from edgelearn.sparsity.masks import magnitude_masks
from firmware_sim.devices import read_device
from firmware_sim.report import simulate


def pruned(shape, sparsity, pattern="unstructured"):
    w = uniform(0, Stream.INIT, 0, shape, 1.0)
    mask = magnitude_masks({"w": w}, sparsity, pattern)["w"]
    return w * mask, mask


def product(w):
    """``x @ w``."""
    b = Builder("product")
    x = b.input("x", (BATCH, len(w)))
    return b.graph([b.matmul(x, b.constant("w", w), name="y")])


def step(w, mask, read=lambda b, x, w: b.matmul(x, w)):
    """``w + x.T @ d`` under a mask, and what `read` makes of the weights before."""
    b = Builder("step")
    x, d = b.input("x", (BATCH, len(w))), b.input("d", (BATCH, w.shape[1]))
    state = b.state("w", w)
    y = read(b, x, state)
    new = b.apply(AddOuter(), state, x, d)
    b.update("w", b.apply(ApplyMask(), new, b.constant("mask", mask), name="w.next"))
    return b.graph([y])


def ops(graph):
    return [type(node.op) for node in graph.nodes]


@pytest.mark.parametrize(
    ("shape", "sparsity", "pattern", "block"),
    [
        ((64, 96), 0.9, "unstructured", 1),
        ((64, 96), 0.9, "1x4", 4),
        ((64, 96), 0.9, "1x16", 4),
        ((62, 96), 0.9, "1x4", 4),
        ((300, 96), 0.4, "unstructured", 1),
        ((300, 96), 0.3, "unstructured", None),
        ((200, 96), 0.3, "unstructured", 1),
        ((200, 96), 0.15, "unstructured", None),
        ((16, 16), 0.9, "unstructured", None),
    ],
)
def test_the_form_of_fewest_bytes(shape, sparsity, pattern, block):
    w, mask = pruned(shape, sparsity, pattern)
    graph = sparsify(product(w))
    op = graph.nodes[0].op
    assert (op.block if isinstance(op, SparseMatMul) else None) == block
    need = sum(value.nbytes for value in graph.constants.values())
    forms = {b: Structure.of(mask, b) for b in (1, 4)}
    least = min(stored_bytes(s.index.size, s.shape, b) for b, s in forms.items())
    assert need == (least if block else w.nbytes)
    assert (w.nbytes - least >= LEAST_BYTES) == (block is not None)


def test_a_share_that_is_too_dense_to_be_fast_stays():
    w, _ = pruned((200, 96), 0.6)
    assert ops(sparsify(product(w), {1: 0.3, 4: 0.5})) == [MatMul]
    assert ops(sparsify(product(w), {1: 0.5, 4: 0.5})) == [SparseMatMul]


def test_what_is_shown_and_simulated_is_smaller():
    w, mask = pruned((256, 512), 0.9, "1x4")
    dense, sparse = product(w), sparsify(product(w))
    found = facts("infer", sparse)
    assert found.parameters == found.macs == mask.sum()
    assert found.weights_bytes < 0.12 * facts("infer", dense).weights_bytes
    assert found.sparsity == {"w": pytest.approx(0.9, abs=1e-3)}
    device = read_device("stm32h743")
    reports = [simulate(graph, device, phase="infer", batch=1) for graph in (dense, sparse)]
    assert reports[1].flash_bytes == found.weights_bytes
    assert reports[1].latency_low_s < 0.2 * reports[0].latency_low_s


def transposed(b, x, w):
    return b.matmul(b.input("e", (BATCH, b.specs[w].shape[1])), w, transpose_b=True)


def gathered(b, x, w):
    return b.apply(Gather(), w, b.input("rows", (BATCH,), "int64"))


def summed(b, x, w):
    return b.binary("add", w, b.input("other", b.specs[w].shape))


@pytest.mark.parametrize("read", [transposed, gathered, summed])
def test_matrices_that_are_read_otherwise_stay_dense(read):
    w, mask = pruned((64, 64), 0.9)
    graph = step(w, mask, read)
    assert sparsify(graph) is graph


def test_weights_that_the_caller_gets_stay_dense():
    w, mask = pruned((64, 64), 0.9)
    graph = step(w, mask, lambda b, x, w: w)
    assert sparsify(graph) is graph


def test_weights_that_a_mask_does_not_hold_yet_stay_dense():
    w, mask = pruned((64, 64), 0.9)
    graph = step(w + 1, mask)
    assert sparsify(graph) is graph


def test_blocks_that_learn_hold_no_weight_beyond_the_mask():
    w, mask = pruned((64, 64), 0.9, "1x4")
    mask[np.nonzero(mask)[0][0], np.nonzero(mask)[1][0]] = 0
    w *= mask
    assert sparsify(product(w)).nodes[0].op.block == 4
    graph = sparsify(step(w, mask))
    assert {node.op.block for node in graph.nodes} == {1}
    assert ops(graph) == [SparseMatMul, SparseAddOuter]
    assert [state.output for state in graph.states] == ["w.next"]


def test_a_matrix_of_more_places_than_16_bits_count(tmp_path):
    """512 x 600 in single weights: five pieces of 65,536 places."""
    w, mask = pruned((512, 600), 0.9)
    for graph in (product(w), step(w, mask)):
        sparse = sparsify(graph)
        assert SparseMatMul in ops(sparse)
        fed = {name: np.ones((3, graph.specs[name].shape[1]), np.float32) for name in graph.inputs}
        want = run(graph, fed)
        got = run_onnx(to_bytes(sparse), fed)
        (output,) = graph.outputs
        np.testing.assert_allclose(got[output], want.outputs[output], rtol=1e-4, atol=1e-4)
        path = tmp_path / "pieces.onnx"
        path.write_bytes(to_bytes(sparse))
        assert ops(read_graph(path)).count(SparseMatMul) == 1
        if graph.states:
            moved = Structure.of(mask).spread(got["w.next"])
            np.testing.assert_allclose(moved, want.states["w"], atol=1e-5)


def test_derivatives_come_first():
    w, _ = pruned((64, 64), 0.9)
    graph = sparsify(product(w))
    b = Builder("late")
    x = b.input("x", (BATCH, 64))
    parts = [b.constant(name, graph.constants[name]) for name in ("w", "w.starts", "w.index")]
    y = b.apply(graph.nodes[0].op, x, *parts)
    back = Backward(b, [x])
    back.send(y, b.scalar(1))
    with pytest.raises(GraphError, match="derive first"):
        back.walk(b.nodes)


@pytest.mark.parametrize(
    ("sizes", "values", "index", "dtype"),
    [
        ((8, 3, 2), 4, 2, "uint8"),
        ((8, 3, 4), 4, 2, "uint8"),
        ((8, 3, 1), 2, 2, "int32"),
        ((300, 3, 1), 2, 2, "uint8"),
        ((0, 3, 1), 2, 2, "uint8"),
    ],
)
def test_parts_that_do_not_fit_are_refused(sizes, values, index, dtype):
    b = Builder("misfit")
    with pytest.raises(GraphError):
        b.apply(
            SparseMatMul(*sizes),
            b.input("x", (BATCH, sizes[0])),
            b.input("values", (values,)),
            b.input("starts", (4,), "int32"),
            b.input("index", (index,), dtype),
        )


def test_places_that_are_fed_are_no_onnx():
    b = Builder("fed")
    x, values = b.input("x", (BATCH, 8)), b.input("values", (2,))
    starts, index = b.input("starts", (4,), "int32"), b.input("index", (2,), "uint8")
    graph = b.graph([b.apply(SparseMatMul(8, 3), x, values, starts, index)])
    with pytest.raises(UnsupportedOp, match="places"):
        to_bytes(graph)


def lstm_sized():
    """The matrices of an LSTM of 256 units that reads 128 features, 90 % zeros."""
    b = Builder("cell")
    x, h = b.input("x", (BATCH, 128)), b.input("h", (BATCH, 256))
    parts = {"w": pruned((128, 1024), 0.9)[0], "u": pruned((256, 1024), 0.9)[0]}
    w, u = (b.constant(name, value) for name, value in parts.items())
    return b.graph([b.binary("add", b.matmul(x, w), b.matmul(h, u))])


def test_the_file_of_a_pruned_lstm_is_six_times_smaller():
    graph = lstm_sized()
    assert len(to_bytes(graph)) > 6 * len(to_bytes(sparsify(graph)))
