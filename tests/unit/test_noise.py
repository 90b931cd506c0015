"""Gradient noise: the numbers against a plain reference, their size, and where they go."""

from __future__ import annotations

import numpy as np
import pytest

from edgelearn import engine, kernels, workflow
from edgelearn.buffers import Buffers
from edgelearn.errors import ConfigError
from edgelearn.noise import Noise
from edgelearn.optimizers import OPTIMIZERS
from edgelearn.rng import Stream, bits, key


def reference(seed, index, count):
    """Box and Muller's transform in float64."""
    found = bits(seed, Stream.NOISE, index, (count + 1) // 2)
    part = ((found >> np.uint64(40)).astype(float) + 1) / 2**24
    angle = 2 * np.pi * (found & np.uint64(0xFFFFFF)).astype(float) / 2**24
    radius = np.sqrt(-2 * np.log(part))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).ravel()[:count]


@np.errstate(over="ignore")
@pytest.mark.parametrize("count", [1, 2, 101])
def test_the_numbers_are_those_of_the_generator(count):
    out = np.full(count, 0.5, np.float32)
    kernels.noise.add_normal(key(3, Stream.NOISE, 7), 0, 2.0, out)
    np.testing.assert_allclose(out, 0.5 + 2 * reference(3, 7, count), rtol=1e-4, atol=1e-5)
    rest = np.zeros(max(count - 2, 0), np.float32)
    kernels.noise.add_normal(key(3, Stream.NOISE, 7), 1, 1.0, rest)
    np.testing.assert_allclose(rest, reference(3, 7, count)[2:], rtol=1e-4, atol=1e-5)


@np.errstate(over="ignore")
def test_they_are_normal():
    out = np.zeros(200_000, np.float32)
    kernels.noise.add_normal(key(0, Stream.NOISE, 0), 0, 1.0, out)
    assert abs(out.mean()) < 0.01
    assert abs(out.std() - 1) < 0.01
    for limit, share in ((1, 0.6827), (2, 0.9545), (3, 0.9973)):
        assert (np.abs(out) < limit).mean() == pytest.approx(share, abs=0.003)


@np.errstate(over="ignore")
def test_the_variance_falls_as_the_paper_says():
    def added(step, block=2):
        into = {"w": np.zeros((100, 201), np.float32), "b": np.zeros(51, np.float32)}
        Noise(0.3, seed=1, step=step).add(block, into, rate=0.5)
        return into

    for step in (0, 9, 999):
        expected = 0.5 * np.sqrt(0.3 / (1 + step) ** 0.55)
        assert added(step)["w"].std() == pytest.approx(expected, rel=0.03)
    once, again, other, beside = added(4), added(4), added(5), added(4, block=3)
    assert np.array_equal(once["w"], again["w"])
    for different in (other, beside):
        assert abs(np.corrcoef(once["w"].ravel(), different["w"].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(once["w"].ravel()[:51], once["b"])[0, 1]) < 0.5


def moved(digits, optimizer, noise):
    """How the first weights move in one step, at a rate of 0.1."""
    network = workflow.new_model(
        workflow.embedded_recipe((f"train.optimizer={optimizer}",)), digits
    ).network
    buffers = Buffers(network, 16)
    before = network.blocks[0].params["w"].copy()
    buffers.noise = noise
    loaded = buffers.load(digits.x_train, digits.y_train, np.arange(16))
    engine.train_step(buffers, *loaded, 0.1, [0])
    return network.blocks[0].params["w"] - before


@np.errstate(over="ignore")
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_it_is_noise_on_the_mean_gradient(digits, optimizer):
    """Whatever the optimiser makes of it: Adam's first step is the sign of the sum."""
    gradient = moved(digits, "sgd", None) / -0.1
    found = moved(digits, optimizer, Noise(0.01, seed=5, step=3)) / -0.1
    noise = reference(5, 3 << 16, gradient.size).reshape(gradient.shape)
    expected = gradient + np.sqrt(0.01 / 4**0.55) * noise
    if optimizer == "adam":
        clear = np.abs(expected) > 1e-4
        assert np.array_equal(np.sign(found)[clear], np.sign(expected)[clear])
    else:
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_controls_have_none():
    with pytest.raises(ConfigError, match="leave gradient_noise out"):
        workflow.embedded_recipe(("train.gradient_noise=0.1", "train.method=bp"))
