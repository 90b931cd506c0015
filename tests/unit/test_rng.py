"""The generator: its numbers are fixed for ever, streams do not touch, moments are right."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from edgelearn.rng import Stream, bits, normal, permutation, uniform

MASK = (1 << 64) - 1
GOLDEN_BITS = [9129664917756100795, 2064143464079245930]
GOLDEN_ORDER = [5, 0, 2, 6, 3, 7, 4, 1]
GOLDEN_UNIFORM = [-0.9513452053070068, 0.7568669319152832, -0.9463605880737305]
GOLDEN_NORMAL = [0.19406938330565218, 1.3009864028905147, 0.11828662850281364]


def plain_bits(seed, stream, index, count):
    """The same numbers in Python's own integers, written from the description alone."""

    def mix(z):
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    golden = 0x9E3779B97F4A7C15
    key = mix(((seed & MASK) + (stream + 1) * golden) & MASK)
    key = mix((key + (index + 1) * golden) & MASK)
    return [mix((key + n * golden) & MASK) for n in range(1, count + 1)]


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1, 2**64 - 1, -1])
@pytest.mark.parametrize("stream", Stream)
@pytest.mark.parametrize("index", [0, 7, 10**12])
def test_the_numbers_are_those_of_the_description(seed, stream, index):
    assert bits(seed, stream, index, 5).tolist() == plain_bits(seed, stream, index, 5)


def test_the_numbers_never_change():
    """Models of old files follow from their seeds: these values are part of the format."""
    assert bits(0, Stream.INIT, 0, 2).tolist() == [0x80ABE802AC1E182E, 0x949F48C1E9EB8A36]
    assert bits(42, Stream.PROJECTION, 3, 2).tolist() == GOLDEN_BITS
    assert permutation(0, Stream.SHUFFLE, 0, 8).tolist() == GOLDEN_ORDER
    assert uniform(1, Stream.INIT, 0, (3,), 1.0).tolist() == GOLDEN_UNIFORM
    np.testing.assert_allclose(normal(1, Stream.INIT, 0, (3,)), GOLDEN_NORMAL, rtol=1e-12)


def test_mixing_is_splitmix64():
    """The first outputs of SplitMix64 for the seed 0, as its authors give them."""
    from edgelearn import rng

    state = np.arange(1, 4, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    known = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert rng._mix(state).tolist() == known


def test_a_longer_draw_begins_with_the_shorter():
    assert np.array_equal(bits(5, Stream.SPLIT, 2, 100)[:10], bits(5, Stream.SPLIT, 2, 10))
    assert len(bits(5, Stream.SPLIT, 2, 0)) == 0


def test_streams_do_not_touch():
    places = list(itertools.product(range(6), Stream, range(6)))
    draws = np.concatenate([bits(s, stream, i, 50) for s, stream, i in places])
    assert len(np.unique(draws)) == len(draws)


@pytest.mark.parametrize("other", [(1, Stream.INIT, 0), (0, Stream.GOLDEN, 0), (0, Stream.INIT, 1)])
def test_streams_do_not_correlate(other):
    count = 20_000
    a = uniform(0, Stream.INIT, 0, (count,), 1.0)
    b = uniform(*other, (count,), 1.0)
    assert abs(np.corrcoef(a, b)[0, 1]) < 4 / math.sqrt(count)


@pytest.mark.parametrize("limit", [1.0, 0.05, 30.0])
def test_uniform_range_and_moments(limit):
    count = 100_000
    values = uniform(3, Stream.INIT, 1, (count // 4, 4), limit)
    assert values.dtype == np.float32
    assert values.shape == (count // 4, 4)
    assert values.flags.c_contiguous
    assert -limit <= values.min() < -0.999 * limit
    assert 0.999 * limit < values.max() <= limit
    deviation = limit / math.sqrt(3)
    assert abs(values.mean(dtype=np.float64)) < 5 * deviation / math.sqrt(count)
    assert abs(values.std(dtype=np.float64) / deviation - 1) < 0.01
    lower, _ = np.histogram(values, bins=10, range=(-limit, limit))
    assert abs(lower / count - 0.1).max() < 0.01


def test_normal_moments():
    count = 100_000
    values = normal(4, Stream.PROJECTION, 0, (count,))
    assert values.dtype == np.float64
    assert np.isfinite(values).all()
    wanted = (0.0, 1.0, 0.0, 3.0)
    for power, moment in enumerate(wanted, start=1):
        spread = math.sqrt((values ** (2 * power)).mean() / count)
        assert abs((values**power).mean() - moment) < 5 * spread
    assert abs((np.abs(values) < 1).mean() - 0.6827) < 0.01
    assert np.abs(values).max() > 3.5


@pytest.mark.parametrize("count", [0, 1, 2, 10, 1000])
def test_permutations_hold_every_number_once(count):
    order = permutation(0, Stream.SHUFFLE, 3, count)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(count))


def test_every_order_is_as_likely():
    orders = [tuple(permutation(0, Stream.SHUFFLE, i, 3).tolist()) for i in range(6000)]
    counts = [orders.count(order) for order in set(orders)]
    assert len(counts) == 6
    assert 850 < min(counts) <= max(counts) < 1150
    assert np.array_equal(
        permutation(9, Stream.SHUFFLE, 1, 50), permutation(9, Stream.SHUFFLE, 1, 50)
    )
