"""The normaliser: fitted once, the same in engine and Graph, harmless where nothing varies."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from edgelearn import kernels
from edgelearn.config import InputConfig
from edgelearn.normalize import CHUNK, Normalizer

RNG = np.random.default_rng(0)
SAMPLES = {
    "floats": RNG.normal(3, 5, (200, 4, 2)),
    "bytes": RNG.integers(0, 256, (200, 4, 2)).astype(np.uint8),
    "flags": RNG.integers(0, 2, (200, 4, 2)).astype(bool),
    "one feature": RNG.normal(3, 5, (200, 1)),
    "far from zero": RNG.normal(1e5, 1.0, (200, 3)).astype(np.float32),
    "half": RNG.normal(0, 1, (200, 3)).astype(np.float16),
}


def fitted(x, normalize, over="feature"):
    normalizer = Normalizer.fit(InputConfig(normalize=normalize, over=over), x)
    ready = x.astype(np.float32).reshape(len(x), -1)
    kernels.dense.normalize(normalizer.mean.ravel(), normalizer.scale.ravel(), ready)
    return normalizer, ready


@pytest.mark.parametrize("over", ["feature", "all"])
@pytest.mark.parametrize("name", SAMPLES)
def test_standard(name, over):
    x = SAMPLES[name]
    normalizer, ready = fitted(x, "standard", over)
    axis = 0 if over == "feature" else None
    shape = x.shape[1:] if over == "feature" else ()
    assert normalizer.mean.shape == normalizer.scale.shape == shape
    assert normalizer.mean.dtype == normalizer.scale.dtype == np.float32
    tolerance = 0.01 if name == "far from zero" else 1e-4
    np.testing.assert_allclose(ready.mean(axis=axis), 0, atol=tolerance)
    np.testing.assert_allclose(ready.std(axis=axis), 1, atol=tolerance)


@pytest.mark.parametrize("over", ["feature", "all"])
@pytest.mark.parametrize("name", SAMPLES)
def test_minmax(name, over):
    _, ready = fitted(SAMPLES[name], "minmax", over)
    axis = 0 if over == "feature" else None
    np.testing.assert_allclose(ready.min(axis=axis), 0, atol=1e-6)
    np.testing.assert_allclose(ready.max(axis=axis), 1, atol=1e-5)


def test_none():
    assert Normalizer.fit(InputConfig(normalize="none"), SAMPLES["floats"]) is None
    assert Normalizer.blank(InputConfig(normalize="none"), (4,)) is None


@pytest.mark.parametrize("normalize", ["standard", "minmax"])
def test_a_feature_that_never_changes_becomes_zero(normalize):
    x = np.stack([np.full(50, 7.0), np.arange(50.0)], axis=1)
    normalizer, ready = fitted(x, normalize)
    assert (ready[:, 0] == 0).all()
    assert normalizer.scale[0] == 1
    assert np.isfinite(ready).all()


def test_more_samples_than_one_chunk():
    x = RNG.normal(2, 3, (2 * CHUNK + 17, 2))
    normalizer = Normalizer.fit(InputConfig(), x)
    np.testing.assert_allclose(1 / normalizer.scale, x.std(axis=0), rtol=1e-5)


def test_fitting_makes_no_float64_copy_of_the_data():
    x = RNG.integers(0, 256, (20 * CHUNK, 28, 28)).astype(np.uint8)
    tracemalloc.start()
    Normalizer.fit(InputConfig(), x)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * x.nbytes


@pytest.mark.parametrize("over", ["feature", "all"])
@pytest.mark.parametrize("normalize", ["standard", "minmax"])
def test_blank_has_the_shape_of_the_fitted_one(normalize, over):
    config = InputConfig(normalize=normalize, over=over)
    blank = Normalizer.blank(config, (4, 2))
    real = Normalizer.fit(config, SAMPLES["floats"])
    assert blank.mean.shape == real.mean.shape
    assert blank.nbytes == real.nbytes
    assert not blank.mean.any()
    assert (blank.scale == 1).all()
