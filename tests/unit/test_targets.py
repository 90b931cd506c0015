"""Label projections: rows of one length, orthogonal where there is room, fixed by the seed."""

from __future__ import annotations

import numpy as np
import pytest

from edgelearn.targets import projection

KINDS = ["orthonormal", "sign", "gauss"]
SIZES = [(10, 128), (10, 10), (10, 3), (2, 1), (3, 1000)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("classes", "units"), SIZES)
@pytest.mark.parametrize("row_norm", [0.5, 2.0, 30.0])
def test_shape_and_length_of_rows(kind, classes, units, row_norm):
    p = projection(kind, classes, units, row_norm, seed=3, layer=1)
    assert p.shape == (classes, units)
    assert p.dtype == np.float32
    assert p.flags.c_contiguous
    assert np.isfinite(p).all()
    np.testing.assert_allclose(np.linalg.norm(p, axis=1), row_norm, rtol=1e-5)


@pytest.mark.parametrize(("classes", "units"), [(10, 128), (10, 10), (2, 64)])
def test_orthonormal_rows(classes, units):
    p = projection("orthonormal", classes, units, 1.0, seed=0, layer=0)
    np.testing.assert_allclose(p @ p.T, np.eye(classes), atol=1e-6)


@pytest.mark.parametrize(("classes", "units"), SIZES)
def test_signs_are_of_one_size(classes, units):
    p = projection("sign", classes, units, np.sqrt(units), seed=0, layer=0)
    np.testing.assert_allclose(np.abs(p), 1, rtol=1e-6)
    if units > 10:
        assert 0.3 < (p > 0).mean() < 0.7


@pytest.mark.parametrize("kind", ["orthonormal", "gauss"])
def test_classes_are_told_apart_even_in_a_narrow_layer(kind):
    p = projection(kind, 10, 3, 1.0, seed=0, layer=0)
    gaps = [np.linalg.norm(p[i] - p[j]) for i in range(10) for j in range(i)]
    assert min(gaps) > 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_it_follows_from_seed_and_layer(kind):
    def made(seed, layer):
        return projection(kind, 10, 64, 1.0, seed, layer)

    assert np.array_equal(made(0, 0), made(0, 0))
    assert not np.array_equal(made(0, 0), made(1, 0))
    assert not np.array_equal(made(0, 0), made(0, 1))
    assert not np.array_equal(made(0, 1), made(1, 0))


def test_directions_are_random():
    """No class and no unit is favoured: the mean over seeds is near nothing."""
    many = np.stack([projection("orthonormal", 4, 16, 4.0, seed, 0) for seed in range(300)])
    assert np.abs(many.mean(axis=0)).max() < 5 / np.sqrt(300)
