"""Filters from real patches without labels: exact components, and those of a rule of steps."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from edgelearn import datasets
from edgelearn.layers._oja import Oja
from edgelearn.layers._pca import Covariance
from edgelearn.layers.conv1d import Conv1d
from edgelearn.layers.conv2d import Conv2d

GAP, ANGLE = 1.15, 5.0
"""Degrees that a component may be off where its variance is 1.15 times the next one's."""


def patches_of(images, kernel=3):
    """Every patch of the images, shape (patches, kernel * kernel * channels)."""
    views = np.lib.stride_tricks.sliding_window_view(images, (kernel, kernel), axis=(1, 2))
    return views.transpose(0, 1, 2, 4, 5, 3).reshape(-1, kernel * kernel * images.shape[3])


@pytest.fixture
def digit_patches(digits):
    return patches_of(digits.x_train.reshape(-1, 8, 8, 1).astype(np.float32) / 16)


def exact(rows):
    values, vectors = np.linalg.eigh(np.cov(rows.T.astype(np.float64)))
    return values[::-1], vectors[:, ::-1]


def fed(components, rows, chunk):
    for start in range(0, len(rows), chunk):
        components.add(rows[start : start + chunk])
    return components


def check_components(rows, count):
    values, vectors = exact(rows)
    found = fed(Oja(rows.shape[1], count), rows, 20)
    variances, w = found.leading(count)
    cosines = np.abs((w * vectors[:, :count]).sum(axis=0)).clip(max=1)
    ratios = values[:count] / values[1 : count + 1]
    before = np.concatenate([[np.inf], ratios[: count - 1]])
    apart = np.minimum(before, ratios) > GAP
    assert apart.sum() >= 3
    assert np.degrees(np.arccos(cosines[apart])).max() < ANGLE
    np.testing.assert_allclose(w.T @ w, np.eye(count), atol=1e-9)
    captured = np.trace(w.T @ np.cov(rows.T.astype(np.float64)) @ w) / values[:count].sum()
    assert captured > 0.999
    np.testing.assert_allclose(variances[apart], values[:count][apart], rtol=0.1)
    assert found.mean_variance == pytest.approx(values.mean(), rel=0.01)
    np.testing.assert_allclose(found.mean, rows.mean(axis=0), atol=1e-4)


def test_a_rule_of_steps_finds_the_components_of_digits(digits):
    rows = patches_of(digits.x_train.reshape(-1, 8, 8, 1).astype(np.float32) / 16, kernel=5)
    check_components(rows[np.random.default_rng(0).permutation(len(rows))], 6)


def test_a_rule_of_steps_finds_the_components_of_photographs(data_folder):
    if not (data_folder / "cifar10").is_dir():
        pytest.skip("EDGELEARN_DATA has no folder cifar10")
    images = datasets.load(datasets.Source(name="cifar10")).x_train[:500]
    rows = patches_of(images.reshape(-1, 32, 32, 3)[:, ::2, ::2].astype(np.float32) / 255)
    order = np.random.default_rng(0).permutation(len(rows))[:40_000]
    check_components(rows[order], 8)


def test_exact_components_are_those_of_the_covariance(digit_patches):
    values, vectors = exact(digit_patches)
    found, w = fed(Covariance(9), digit_patches, 100).leading(4)
    np.testing.assert_allclose(found, values[:4], rtol=1e-3)
    np.testing.assert_allclose(np.abs((w * vectors[:, :4]).sum(axis=0)), 1, atol=1e-5)


def test_chunks_of_any_size_give_the_same(digit_patches):
    few = digit_patches[:500]
    whole, bits = fed(Oja(9, 4), few, 500), fed(Oja(9, 4), few, 7)
    np.testing.assert_array_equal(whole.leading(4)[1], bits.leading(4)[1])


def test_memory_is_that_of_the_components_and_a_few_rows():
    size, count = 2304, 8  # a filter of 3 x 3 x 256: its covariance takes 42 MB
    rows = np.random.default_rng(0).normal(size=(64, size)).astype(np.float32)
    tracemalloc.start()
    fed(Oja(size, count), rows, 16)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * size * (6 * count + 3 * 32)


@pytest.mark.parametrize("init", ["pca", "oja"])
@pytest.mark.parametrize("groups", [1, 2])
def test_responses_have_mean_0_and_variance_1(digits, init, groups):
    x = digits.x_train[:600].reshape(-1, 8, 4, 2).astype(np.float32) / 16
    layer = Conv2d(filters=8, init_from=init, groups=groups, activation="linear", padding="valid")
    params = layer.init((8, 4, 2), 0, 0)
    layer.start(params, (x[i : i + 50] for i in range(0, 600, 50)))
    out = np.empty((600, *layer.out_shape((8, 4, 2))), np.float32)
    layer.forward(params, x, out, np.empty(layer.scratch_size((8, 4, 2), 600), np.float32))
    responses = out.reshape(-1, 8)
    assert np.abs(responses.mean(axis=0)).max() < 0.1
    leading = responses[:, :: 8 // groups]
    assert np.abs(leading.std(axis=0) - 1).max() < 0.15
    assert (responses.std(axis=0) < 1.3).all()


def test_half_of_the_filters_are_negatives_where_one_side_is_cut(digits):
    x = digits.x_train[:100].reshape(-1, 64, 1).astype(np.float32) / 16
    layer = Conv1d(filters=6, kernel=8, stride=8, padding="valid", init_from="oja")
    params = layer.init((64, 1), 0, 0)
    layer.start(params, [x])
    np.testing.assert_array_equal(params["w"][..., :3], -params["w"][..., 3:])
