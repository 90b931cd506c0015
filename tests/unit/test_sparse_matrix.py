"""Sparse kernels beside dense products in float64, compiled and not; memory counted."""

from __future__ import annotations

import numpy as np
import pytest

from edgelearn.errors import OptionError
from edgelearn.kernels import sparse
from edgelearn.rng import Stream, uniform
from edgelearn.sparsity.masks import magnitude_masks
from edgelearn.sparsity.matrix import SparseMatrix

PATTERN = {1: "unstructured", 4: "1x4"}


def pruned(shape, sparsity, block):
    w = uniform(0, Stream.INIT, 0, shape, 1.0)
    mask = magnitude_masks({"w": w}, sparsity, PATTERN[block])["w"]
    return w * mask, mask, SparseMatrix.of(w, mask, block)


def inputs(matrix, batch):
    """`x` with zeros up to whole blocks, and `d`."""
    fan_in, units = matrix.shape
    x = np.zeros((batch, matrix.padded), np.float32)
    x[:, :fan_in] = uniform(1, Stream.INIT, 1, (batch, fan_in), 1.0)
    return x, uniform(2, Stream.INIT, 2, (batch, units), 1.0)


CASES = pytest.mark.parametrize(
    ("shape", "sparsity"), [((50, 30), 0.9), ((64, 48), 0.5), ((7, 3), 0.3), ((130, 5), 0.0)]
)
BLOCKS = pytest.mark.parametrize("block", PATTERN)
BATCHES = pytest.mark.parametrize("batch", [1, 3])


@CASES
@BLOCKS
@BATCHES
def test_a_product(shape, sparsity, block, batch):
    w, _, matrix = pruned(shape, sparsity, block)
    x, _ = inputs(matrix, batch)
    out = np.full((batch, shape[1]), np.nan, np.float32)
    matrix.product(x, out)
    np.testing.assert_allclose(out, x[:, : shape[0]].astype(np.float64) @ w, atol=1e-5)


@CASES
@BLOCKS
@BATCHES
def test_an_update_touches_kept_weights_only(shape, sparsity, block, batch):
    w, mask, matrix = pruned(shape, sparsity, block)
    x, d = inputs(matrix, batch)
    matrix.add_outer(x, d)
    expected = w + mask * (x[:, : shape[0]].T.astype(np.float64) @ d)
    np.testing.assert_allclose(matrix.dense(), expected, atol=1e-5)
    assert not matrix.dense()[mask == 0].any()


@CASES
@BLOCKS
def test_nothing_is_lost(shape, sparsity, block):
    w, _, matrix = pruned(shape, sparsity, block)
    assert np.array_equal(matrix.dense(), w)


@BLOCKS
def test_a_unit_that_reads_nothing(block):
    w = np.ones((8, 3), np.float32)
    mask = np.ones((8, 3), np.uint8)
    mask[:, 1] = 0
    out = np.full((1, 3), np.nan, np.float32)
    SparseMatrix.of(w, mask, block).product(np.ones((1, 8), np.float32), out)
    assert out.tolist() == [[8, 0, 8]]


@pytest.mark.parametrize(("block", "share"), [(1, 0.21), (4, 0.13)])
def test_bytes_at_90_percent(block, share):
    w, _, matrix = pruned((512, 1536), 0.9, block)
    assert matrix.nbytes < share * w.nbytes


def test_other_blocks_are_refused():
    with pytest.raises(OptionError, match="1 or 4"):
        SparseMatrix.of(np.ones((4, 4), np.float32), np.ones((4, 4), np.uint8), 16)


KERNELS = [f for f in vars(sparse).values() if hasattr(f, "py_func")]


@pytest.mark.skipif(not KERNELS, reason="nothing is compiled")
@BLOCKS
def test_compiled_equals_python_with_one_signature(block):
    _, mask, matrix = pruned((22, 9), 0.6, block)
    x, d = inputs(matrix, 2)
    names = ("product", "add_outer") if block == 1 else ("block_product", "block_add_outer")
    forward, update = (getattr(sparse, name) for name in names)
    found = [np.zeros((2, 9), np.float32) for _ in range(2)]
    moved = [matrix.values.copy() for _ in range(2)]
    for run, z, values in zip((lambda f: f, lambda f: f.py_func), found, moved, strict=True):
        run(forward)(matrix.starts, matrix.index, values, x, z)
        run(update)(matrix.starts, matrix.index, x, d, values)
    np.testing.assert_allclose(*found, atol=1e-6)
    np.testing.assert_allclose(*moved, atol=1e-6)
    held = np.ones(mask.size, np.float32)
    sparse.hold(mask.ravel(), held)
    assert np.array_equal(held, mask.ravel())
    assert all(len(kernel.signatures) <= 1 for kernel in KERNELS)
