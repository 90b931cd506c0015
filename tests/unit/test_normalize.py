"""The normaliser: fitted once, the same in engine and Graph, harmless where nothing varies."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from tolerances import ENGINE_F32

from edgelearn import kernels, modelfile, workflow
from edgelearn.config import InputConfig
from edgelearn.datasets import Dataset
from edgelearn.datasets._masks import with_mask
from edgelearn.errors import ModelFileError
from edgelearn.evaluation import predict
from edgelearn.ir import run
from edgelearn.ir.store import Bundle
from edgelearn.lowering import to_graph
from edgelearn.normalize import CHUNK, Normalizer
from edgelearn.planning import blank_network

RNG = np.random.default_rng(0)
SAMPLES = {
    "floats": RNG.normal(3, 5, (200, 4, 2)),
    "bytes": RNG.integers(0, 256, (200, 4, 2)).astype(np.uint8),
    "flags": RNG.integers(0, 2, (200, 4, 2)).astype(bool),
    "one feature": RNG.normal(3, 5, (200, 1)),
    "far from zero": RNG.normal(1e5, 1.0, (200, 3)).astype(np.float32),
    "half": RNG.normal(0, 1, (200, 3)).astype(np.float16),
}

AXES = {
    "feature": lambda x: 0,
    "channel": lambda x: tuple(range(x.ndim - 1)),
    "all": lambda x: None,
}
SERIES = RNG.normal((3, -2), (5, 0.1), (60, 7, 2))
LENGTHS = np.arange(60) % 5 + 1  # the last two steps are padding in every sample
MASKED = with_mask(SERIES, LENGTHS, "x")


def fitted(x, normalize, over="feature"):
    normalizer = Normalizer.fit(InputConfig(normalize=normalize, over=over), x)
    ready = x.astype(np.float32).reshape(len(x), -1)
    kernels.dense.normalize(normalizer.mean.ravel(), normalizer.scale.ravel(), ready)
    return normalizer, ready


@pytest.mark.parametrize("over", AXES)
@pytest.mark.parametrize("name", SAMPLES)
def test_standard(name, over):
    x = SAMPLES[name]
    normalizer, ready = fitted(x, "standard", over)
    axis, ready = AXES[over](x), ready.reshape(x.shape)
    shape = {"feature": x.shape[1:], "channel": x.shape[-1:], "all": ()}[over]
    assert normalizer.mean.shape == normalizer.scale.shape == shape
    assert normalizer.mean.dtype == normalizer.scale.dtype == np.float32
    tolerance = 0.01 if name == "far from zero" else 1e-4
    np.testing.assert_allclose(ready.mean(axis=axis), 0, atol=tolerance)
    np.testing.assert_allclose(ready.std(axis=axis), 1, atol=tolerance)


@pytest.mark.parametrize("over", AXES)
@pytest.mark.parametrize("name", SAMPLES)
def test_minmax(name, over):
    x = SAMPLES[name]
    _, ready = fitted(x, "minmax", over)
    axis, ready = AXES[over](x), ready.reshape(x.shape)
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


@pytest.mark.parametrize("over", AXES)
@pytest.mark.parametrize("normalize", ["standard", "minmax"])
def test_blank_has_the_shape_of_the_fitted_one(normalize, over):
    config = InputConfig(normalize=normalize, over=over)
    blank = Normalizer.blank(config, (4, 2))
    real = Normalizer.fit(config, SAMPLES["floats"])
    assert blank.mean.shape == real.mean.shape
    assert blank.nbytes == real.nbytes
    assert not blank.mean.any()
    assert (blank.scale == 1).all()


# Samples of different lengths


@pytest.mark.parametrize("over", AXES)
@pytest.mark.parametrize("normalize", ["standard", "minmax"])
def test_blank_of_masked_samples_has_the_shape_of_the_fitted_one(normalize, over):
    config = InputConfig(normalize=normalize, over=over)
    blank = Normalizer.blank(config, MASKED.shape[1:], masked=True)
    real = Normalizer.fit(config, MASKED, masked=True)
    assert blank.mean.shape == real.mean.shape == ((7, 3) if over == "feature" else (3,))
    assert blank.scale.shape == real.scale.shape


@pytest.mark.parametrize("over", ["channel", "all"])
def test_only_real_steps_count(over):
    real = np.concatenate([x[:n] for x, n in zip(SERIES, LENGTHS, strict=True)])
    axis = 0 if over == "channel" else None
    found = Normalizer.fit(InputConfig(over=over), MASKED, masked=True)
    np.testing.assert_allclose(found.mean[:2], np.broadcast_to(real.mean(axis), 2), rtol=1e-5)
    np.testing.assert_allclose(found.scale[:2], 1 / np.broadcast_to(real.std(axis), 2), rtol=1e-5)
    found = Normalizer.fit(InputConfig(normalize="minmax", over=over), MASKED, masked=True)
    np.testing.assert_allclose(found.mean[:2], np.broadcast_to(real.min(axis), 2), rtol=1e-5)


def test_every_step_counts_where_it_is_real():
    found = Normalizer.fit(InputConfig(), MASKED, masked=True)
    for step in range(5):
        real = SERIES[step < LENGTHS, step]
        np.testing.assert_allclose(found.mean[step, :2], real.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(found.scale[step, :2], 1 / real.std(axis=0), rtol=1e-5)
    assert not found.mean[5:].any()
    assert (found.scale[5:] == 1).all()


@pytest.mark.parametrize("over", AXES)
@pytest.mark.parametrize("normalize", ["standard", "minmax"])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_the_mask_stays_as_it_is(normalize, over, dtype):
    x = MASKED.astype(dtype)
    found = Normalizer.fit(InputConfig(normalize=normalize, over=over), x, masked=True)
    ready = x.astype(np.float32).reshape(len(x), -1)
    kernels.dense.normalize(found.mean.ravel(), found.scale.ravel(), ready)
    assert np.array_equal(ready.reshape(x.shape)[..., -1], x[..., -1])


# The kernel, and the whole way


@pytest.mark.parametrize("size", [1, 2, 3, 4, 12])
def test_the_kernel_repeats_its_means(size):
    x = RNG.normal(size=(5, 12)).astype(np.float32)
    mean, scale = RNG.normal(size=(2, size)).astype(np.float32)
    expected = (x.reshape(5, -1, size) - mean) * scale
    kernels.dense.normalize(mean, scale, x)
    assert np.array_equal(x.reshape(expected.shape), expected)


@pytest.mark.parametrize("over", AXES)
@pytest.mark.parametrize("masked", [False, True])
def test_engine_graph_and_file_agree(over, masked, tmp_path):
    x, y = (MASKED if masked else SERIES), np.arange(60) % 10
    data = Dataset("d", x, y, x, y, tuple("0123456789"), masked=masked)
    recipe = workflow.embedded_recipe((f"input.over={over}",))
    model = workflow.new_model(recipe, data)
    by_engine = predict(model.network, x)
    feeds = {"x": x.astype(np.float32)}
    by_graph = run(to_graph(model.network), feeds).outputs["probabilities"]
    np.testing.assert_allclose(by_graph, by_engine, atol=ENGINE_F32)
    modelfile.save(tmp_path / "m.safetensors", model)
    again = modelfile.load(tmp_path / "m.safetensors")
    assert np.array_equal(predict(again.network, x), by_engine)
    assert blank_network(recipe, data.spec).normalizer.nbytes == model.network.normalizer.nbytes


def test_a_file_with_a_mean_of_another_shape(tmp_path):
    y = np.arange(60) % 10
    data = Dataset("d", SERIES, y, SERIES, y, tuple("0123456789"))
    model = workflow.new_model(workflow.embedded_recipe(), data)
    odd = Normalizer(np.zeros((7, 1), np.float32), np.ones((7, 1), np.float32))
    bundle = modelfile.to_bundle(replace(model, network=replace(model.network, normalizer=odd)))
    with pytest.raises(ModelFileError, match=r"\[\], \[2\] or \[7, 2\], got \[7, 1\]"):
        modelfile.from_bundle(Bundle(bundle.graphs, bundle.meta, bundle.extra), "m")
