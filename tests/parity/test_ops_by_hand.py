"""The interpreter against plain loops and numbers worked out by hand: what judges the oracle."""

from __future__ import annotations

import numpy as np
import pytest

from edgelearn.errors import GraphError
from edgelearn.ir import BATCH, Builder, TensorSpec, plan_arena
from edgelearn.ir.interp import evaluate
from edgelearn.ir.ops import (
    AddConvOuter,
    AddOuter,
    ApplyMask,
    BatchSize,
    Concat,
    Conv2d,
    Gather,
    OneHot,
    Pool2d,
    Reduce,
    Reshape,
    Slice,
    Softmax,
    Transpose,
    Unary,
)


def f32(*values):
    return np.array(values, np.float32)


def conv_by_loops(op, x, w):
    (top, left, bottom, right), (sy, sx), (dy, dx) = op.pads, op.strides, op.dilations
    x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    kh, kw, depth, outputs = w.shape
    height = (x.shape[1] - (kh - 1) * dy - 1) // sy + 1
    width = (x.shape[2] - (kw - 1) * dx - 1) // sx + 1
    out = np.zeros((x.shape[0], height, width, outputs))
    for n, i, j, m in np.ndindex(out.shape):
        group = m // (outputs // op.groups)
        for a, b, c in np.ndindex(kh, kw, depth):
            out[n, i, j, m] += (
                x[n, i * sy + a * dy, j * sx + b * dx, group * depth + c] * w[a, b, c, m]
            )
    return out


@pytest.mark.parametrize(
    ("op", "shape"),
    [
        (Conv2d(), (3, 3, 4, 5)),
        (Conv2d((2, 1), (1, 0, 2, 1)), (3, 2, 4, 5)),
        (Conv2d(dilations=(2, 1), pads=(2, 1, 0, 1)), (3, 3, 4, 5)),
        (Conv2d(groups=2, strides=(1, 3)), (2, 3, 2, 6)),
    ],
)
def test_convolution(op, shape):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 7, 6, 4)).astype(np.float32)
    w = rng.normal(size=shape).astype(np.float32)
    np.testing.assert_allclose(evaluate(op, x, w), conv_by_loops(op, x, w), atol=1e-5)


@pytest.mark.parametrize(
    ("op", "kernel", "image"),
    [
        (AddConvOuter(), (3, 3), (5, 4)),
        (AddConvOuter((2, 1), (1, 0, 2, 1)), (3, 2), (4, 6)),
        (AddConvOuter((2, 2)), (1, 1), (4, 3)),
        (AddConvOuter(dilations=(2, 3)), (3, 2), (3, 3)),
        (AddConvOuter((2, 1), (1, 0, 2, 1), groups=2), (3, 2), (4, 6)),
        (AddConvOuter(groups=4), (3, 3), (5, 4)),
    ],
)
def test_filters_meet_every_place_where_they_were_used(op, kernel, image):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 7, 6, 4)).astype(np.float32)
    each = 4 // op.groups
    w = rng.normal(size=(*kernel, each, 4)).astype(np.float32)
    d = rng.normal(size=(2, *image, 4)).astype(np.float32)
    top, left, bottom, right = op.pads
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    expected = w.astype(np.float64)
    for a, b, n, i, j, m in np.ndindex(*kernel, 2, *image, 4):
        row = i * op.strides[0] + a * op.dilations[0]
        column = j * op.strides[1] + b * op.dilations[1]
        first = m // each * each  # as many outputs in a group as channels
        expected[a, b, :, m] += padded[n, row, column, first : first + each] * d[n, i, j, m]
    np.testing.assert_allclose(evaluate(op, w, x, d), expected, atol=1e-5)


def test_the_update_of_filters_is_the_slope_of_the_convolution():
    rng = np.random.default_rng(1)
    x, w, d = (rng.normal(size=s) for s in ((2, 7, 6, 4), (3, 2, 2, 6), (2, 4, 4, 6)))
    settings = {"strides": (2, 1), "pads": (1, 0, 2, 1), "dilations": (1, 3), "groups": 2}
    slope = evaluate(AddConvOuter(**settings), np.zeros_like(w), x, d)
    assert (slope * w).sum() == pytest.approx((evaluate(Conv2d(**settings), x, w) * d).sum())


def test_the_update_of_filters_counts_the_macs_of_the_convolution_and_changes_them_in_place():
    b = Builder("update")
    x, d = b.input("x", (BATCH, 7, 6, 4)), b.input("d", (BATCH, 5, 4, 6))
    w = b.state("w", np.zeros((3, 3, 4, 6), np.float32))
    b.update(w, b.apply(AddConvOuter(), w, x, d, name="w.next"))
    graph = b.graph([b.unary("tanh", d, name="out")]).bind(3)
    (update,) = (node for node in graph.nodes if node.output == "w.next")
    assert graph.macs(update) == 3 * 5 * 4 * 3 * 3 * 4 * 6
    assert not plan_arena(graph).copies


def test_convolution_counts_macs_of_real_work():
    # 5 x 4 places, 3 x 3 taps, 2 channels in each group, 6 outputs, 3 samples.
    spec = TensorSpec((3, 7, 6, 4)), TensorSpec((3, 3, 2, 6))
    assert Conv2d(groups=2).macs(*spec) == 3 * 5 * 4 * 3 * 3 * 2 * 6


def test_padding_counts_neither_in_the_maximum_nor_in_the_mean():
    x = f32([-1, -2], [-3, -4]).reshape(1, 2, 2, 1)
    pads = (1, 1, 0, 0)
    largest = evaluate(Pool2d("max", (2, 2), pads=pads), x)
    mean = evaluate(Pool2d("avg", (2, 2), pads=pads), x)
    assert largest.ravel().tolist() == [-1, -1, -1, -1]
    assert mean.ravel().tolist() == [-1, -1.5, -2, -2.5]


def test_outer_products_are_summed_over_samples():
    w, x, d = np.zeros((2, 3), np.float32), f32([1, 2], [10, 20]), f32([1, 0, 2], [0, 1, 0])
    assert evaluate(AddOuter(), w, x, d).tolist() == [[1, 10, 2], [2, 20, 4]]
    assert not w.any()


def test_moves():
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert evaluate(Transpose((1, 0)), a).tolist() == [[0, 3], [1, 4], [2, 5]]
    assert evaluate(Concat(1), a, a[:, :1]).tolist() == [[0, 1, 2, 0], [3, 4, 5, 3]]
    assert evaluate(Slice(-1, 1, 3), a).tolist() == [[1, 2], [4, 5]]
    assert evaluate(Reshape((-1,)), a).tolist() == [0, 1, 2, 3, 4, 5]
    assert evaluate(Gather(), a, np.array([1, 1])).tolist() == [[3, 4, 5], [3, 4, 5]]


def test_counts_and_labels():
    assert evaluate(OneHot(3), np.array([2, 0])).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert evaluate(BatchSize(), np.zeros((7, 2))).tolist() == 7
    assert evaluate(Reduce("mean", (0,)), f32([1, 2], [3, 4])).tolist() == [2, 3]


def test_large_values_do_not_overflow():
    assert evaluate(Softmax(), f32([1000, 1000, -1000])).tolist() == [[0.5, 0.5, 0]]
    assert evaluate(Unary("sigmoid"), f32(-1000, 0, 1000)).tolist() == [0, 0.5, 1]


@pytest.mark.parametrize(
    ("op", "specs"),
    [
        (Conv2d(), ((BATCH, 7, 6, 4), (3, 3, 3, 5))),
        (Conv2d(groups=2), ((BATCH, 7, 6, 4), (3, 3, 2, 5))),
        (Conv2d(), ((BATCH, 2, 2, 4), (3, 3, 4, 5))),
        (Conv2d(), ((BATCH, 7, 6), (3, 3, 4, 5))),
        (AddConvOuter(), ((3, 3, 4, 5), (BATCH, 7, 6, 4), (BATCH, 5, 5, 5))),
        (AddConvOuter(), ((3, 3, 3, 5), (BATCH, 7, 6, 4), (BATCH, 5, 4, 5))),
        (AddConvOuter(), ((3, 3, 4, 5), (BATCH, 7, 6, 4), (BATCH, 5, 4, 4))),
        (AddConvOuter(), ((3, 3, 4, 5), (BATCH, 7, 6, 4), (2, 5, 4, 5))),
        (AddConvOuter(), ((12, 5), (BATCH, 7, 6, 4), (BATCH, 5, 4, 5))),
        (AddConvOuter(), ((8, 3, 4, 5), (BATCH, 7, 6, 4), (BATCH, 0, 4, 5))),
        (Pool2d("max", (3, 3)), ((BATCH, 2, 9, 1),)),
        (Transpose((0, 0)), ((BATCH, 2),)),
        (Transpose((0, 1, 2)), ((BATCH, 2),)),
        (Concat(0), ((BATCH, 2), (BATCH, 2))),
        (Concat(1), ((BATCH, 2), (3, 2))),
        (Concat(5), ((BATCH, 2), (BATCH, 2))),
        (Slice(1, 0, 3), ((BATCH, 2),)),
        (Slice(1, 1, 1), ((BATCH, 2),)),
        (Slice(0, 0, 1), ((BATCH, 2),)),
    ],
    ids=str,
)
def test_shapes_that_do_not_fit_are_refused(op, specs):
    with pytest.raises(GraphError, match=type(op).__name__):
        op.infer(*(TensorSpec(shape) for shape in specs))


def test_a_mask_keeps_and_zeroes():
    a, mask = f32([1, -2], [np.inf, np.nan]), np.array([[1, 0], [7, 0]], np.uint8)
    found = evaluate(ApplyMask(), a, mask)
    assert found.dtype == np.float32
    assert found.tolist() == [[1, 0], [np.inf, 0]]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Conv2d(strides=(0, 1)),
        lambda: Conv2d(pads=(-1, 0, 0, 0)),
        lambda: AddConvOuter(strides=(1, 0)),
        lambda: AddConvOuter(dilations=(0, 1)),
        lambda: AddConvOuter(groups=0),
        lambda: AddConvOuter(pads=(0, 0, 0, -1)),
        lambda: Pool2d("max", (2, 2), pads=(0, 0, 2, 0)),
        lambda: Pool2d("median", (2, 2)),
        lambda: Concat(0, 0),
    ],
)
def test_settings_that_mean_nothing_are_refused(make):
    with pytest.raises(GraphError):
        make()
