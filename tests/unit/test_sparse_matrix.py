"""Sparse kernels beside dense products in float64, compiled and not; memory counted."""

from __future__ import annotations

import numpy as np
import pytest

from edgelearn.errors import OptionError
from edgelearn.ir.structure import Structure
from edgelearn.kernels import sparse
from edgelearn.rng import Stream, uniform
from edgelearn.sparsity.masks import magnitude_masks
from edgelearn.sparsity.matrix import DENSEST, Places, worthwhile

PATTERN = {1: "unstructured", 4: "1x4"}


def pruned(shape, sparsity, block):
    w = uniform(0, Stream.INIT, 0, shape, 1.0)
    mask = magnitude_masks({"w": w}, sparsity, PATTERN[block])["w"]
    return w * mask, mask, Places.of(mask, block)


def inputs(shape, batch):
    fan_in, units = shape
    x = uniform(1, Stream.INIT, 1, (batch, fan_in), 1.0)
    return x, uniform(2, Stream.INIT, 2, (batch, units), 1.0)


CASES = pytest.mark.parametrize(
    ("shape", "sparsity"), [((52, 30), 0.9), ((64, 48), 0.5), ((8, 3), 0.3), ((132, 5), 0.0)]
)
BLOCKS = pytest.mark.parametrize("block", PATTERN)
BATCHES = pytest.mark.parametrize("batch", [1, 2, 3, 4, 7])


@CASES
@BLOCKS
@BATCHES
def test_a_product(shape, sparsity, block, batch):
    w, _, places = pruned(shape, sparsity, block)
    x, _ = inputs(shape, batch)
    out = np.full((batch, shape[1]), np.nan, np.float32)
    places.product(places.structure.take(w), x, out)
    np.testing.assert_allclose(out, x.astype(np.float64) @ w, atol=1e-5)


@CASES
@BLOCKS
@BATCHES
def test_an_update_touches_kept_weights_only(shape, sparsity, block, batch):
    w, mask, places = pruned(shape, sparsity, block)
    x, d = inputs(shape, batch)
    values = places.structure.take(w)
    places.add_outer(values, x, d)
    expected = w + mask * (x.T.astype(np.float64) @ d)
    np.testing.assert_allclose(places.structure.spread(values), expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(52, 30), (50, 30), (300, 7), (3, 2)])
@BLOCKS
def test_nothing_is_lost(shape, block):
    w = uniform(0, Stream.INIT, 0, shape, 1.0)
    mask = magnitude_masks({"w": w}, 0.4, PATTERN[block])["w"]
    structure = Structure.of(mask, block)
    assert np.array_equal(structure.spread(structure.take(w * mask)), w * mask)
    assert np.array_equal(structure.mask(), mask) or shape[0] % block


@BLOCKS
def test_a_unit_that_reads_nothing(block):
    mask = np.ones((8, 3), np.uint8)
    mask[:, 1] = 0
    out = np.full((1, 3), np.nan, np.float32)
    places = Places.of(mask, block)
    places.product(np.ones(places.structure.size, np.float32), np.ones((1, 8), np.float32), out)
    assert out.tolist() == [[8, 0, 8]]


@pytest.mark.parametrize(("block", "share"), [(1, 0.16), (4, 0.12)])
def test_bytes_at_90_percent(block, share):
    w, mask, _ = pruned((512, 1536), 0.9, block)
    places = worthwhile(mask)
    assert places.structure.block == block
    assert places.structure.take(w).nbytes + places.nbytes < share * w.nbytes


def test_what_is_not_worthwhile():
    assert worthwhile(pruned((512, 64), 1 - DENSEST[1] - 0.01, 1)[1]) is None
    assert worthwhile(pruned((512, 64), 1 - DENSEST[1] + 0.01, 1)[1]) is not None
    assert worthwhile(pruned((16, 16), 0.9, 1)[1]) is None  # saves less than 1 KiB
    assert worthwhile(np.zeros((3, 3, 64, 64), np.uint8)) is None  # filters


def test_blocks_that_are_not_whole_are_single_weights():
    _, mask, places = pruned((64, 96), 0.9, 4)
    assert worthwhile(mask).structure.block == 4
    mask[:, 0] = 0
    mask[2, 0] = 1
    assert worthwhile(mask).structure.block == 1
    assert worthwhile(magnitude_masks({"w": np.ones((66, 96))}, 0.95, "1x4")["w"]).index.size > 0
    assert places.structure.block == 4


@pytest.mark.parametrize(("rows", "block"), [(16, 16), (6, 4)])
def test_other_blocks_are_refused(rows, block):
    with pytest.raises(OptionError, match="blocks of"):
        Places.of(np.ones((rows, 4), np.uint8), block)


KERNELS = [f for f in vars(sparse).values() if hasattr(f, "py_func")]


@pytest.mark.skipif(not KERNELS, reason="nothing is compiled")
@BLOCKS
@pytest.mark.parametrize("batch", [1, 6])
def test_compiled_equals_python_with_one_signature(block, batch):
    w, mask, places = pruned((24, 9), 0.6, block)
    x, d = inputs((24, 9), batch)
    names = ("product", "add_outer") if block == 1 else ("block_product", "block_add_outer")
    forward, update = (getattr(sparse, name) for name in names)
    found = [np.zeros((batch, 9), np.float32) for _ in range(2)]
    moved = [places.structure.take(w) for _ in range(2)]
    for run, z, values in zip((lambda f: f, lambda f: f.py_func), found, moved, strict=True):
        run(forward)(places.starts, places.index, values, x, z)
        run(update)(places.starts, places.index, x, d, values)
    np.testing.assert_allclose(*found, atol=1e-5)
    np.testing.assert_allclose(*moved, atol=1e-5)
    held = np.ones(mask.size, np.float32)
    sparse.hold(mask.ravel(), held)
    assert np.array_equal(held, mask.ravel())
    assert all(len(kernel.signatures) <= 1 for kernel in KERNELS)
