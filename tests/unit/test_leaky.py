"""Leaky cells against a slow reference in float64, and against finite differences where exact."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from sequence_cases import learned, readout_of
from tolerances import ENGINE_F32, GRADIENT

from edgelearn.errors import ConfigError
from edgelearn.layers.leaky import Leaky
from edgelearn.rng import Stream, uniform

SEEN = ("last", "mean", "last_mean")
LABELS = np.array([0, 2, 1, 1])


def sequences(layer, steps, features):
    """Four sequences; with a mask, two of them are shorter."""
    x = uniform(1, Stream.INIT, 1, (4, steps, features + layer.masked), 1.0)
    if layer.masked:
        x[:, :, -1] = np.arange(steps) < np.array([steps, steps - 2, 1, steps])[:, None]
    return x


def gradient(layer, params, x):
    """What one `learn` says of every parameter, and the readout it learned from."""
    readout = readout_of(layer, x.shape[1:], learns=False)
    into = {key: np.zeros_like(value) for key, value in params.items()}
    learned(layer, params, x, LABELS, readout, -1.0, into)
    return into, readout


def reference(layer, params, x, projection):
    """The rule of one sample after the other, its traces as explicit sums over time."""
    p = {key: value.astype(np.float64) for key, value in params.items()}
    found = {key: np.zeros_like(value) for key, value in p.items()}
    group = np.arange(layer.units) * layer.count // layer.units
    rate = (1 / (1 + np.exp(-p["leak"])))[group]
    for whole, label in zip(x.astype(np.float64), LABELS, strict=True):
        sample = whole[whole[:, -1] == 1, :-1] if layer.masked else whole
        states, slopes, gains = [np.zeros(layer.units)], [], []
        for step in sample[:: -1 if layer.reverse else 1]:
            c = np.tanh(step @ p["w"] + states[-1] @ p["u"] + p["b"])
            slopes.append(1 - c * c)
            gains.append(rate * (1 - rate) * (c - states[-1]))
            states.append((1 - rate) * states[-1] + rate * c)
        steps = len(sample)
        parts = {"last": states[-1], "mean": np.mean(states[1:], axis=0)}
        seen = np.concatenate([parts[name] for name in layer.seen.split("_")])
        powers = np.exp(projection @ seen)
        error = (powers / powers.sum() - np.eye(3)[label]) @ projection
        inputs = {"w": sample[:: -1 if layer.reverse else 1], "u": np.array(states[:-1])}
        inputs["b"] = np.ones((steps, 1))
        ages = np.arange(steps)[::-1]
        for number, name in enumerate(layer.seen.split("_")):
            e = error[number * layer.units : (number + 1) * layer.units]
            for j in range(layer.units):
                keep = 1 - rate[j]
                weight, carry = rate[j] * keep**ages, keep**ages
                if name == "mean":  # the mean over time of the same, which later steps also hold
                    weight = (1 - keep ** (ages + 1)) / steps
                    carry = weight / rate[j]
                slope = weight @ np.array(slopes)[:, j]
                for key, values in inputs.items():
                    update = e[j] * slope * (weight @ values) / weight.sum()
                    found[key][..., j] += update if key != "b" else update[0]
                found["leak"][group[j]] += e[j] * (carry @ np.array(gains)[:, j])
    return found


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("returns", [*SEEN, "sequence"])
def test_traces_are_the_sums_over_time_that_the_rule_names(returns, reverse, masked):
    layer = Leaky(
        units=7, groups=3, returns=returns, reverse=reverse, masked=masked, trainable=True
    )
    x = sequences(layer, 9, 4)
    params = layer.init(x.shape[1:], 3, 0)
    found, readout = gradient(layer, params, x)
    expected = reference(layer, params, x, readout.projection.astype(np.float64))
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, atol=ENGINE_F32, err_msg=key)


@pytest.mark.parametrize("returns", SEEN)
def test_without_recurrent_weights_and_with_still_inputs_the_gradient_is_exact(returns):
    """What the traces leave out or average is nothing then: finite differences agree."""
    layer = Leaky(units=6, groups=3, returns=returns, trainable=True)
    x = sequences(layer, 8, 3)
    x[:] = x[:, :1]
    params = layer.init(x.shape[1:], 1, 0)
    params["u"][:] = 0
    found, readout = gradient(layer, params, x)

    def loss(moved):
        idle = {key: np.zeros_like(value) for key, value in params.items()}
        return learned(layer, moved, x, LABELS, readout, 0.0, idle)[1]

    for key in ("w", "b", "leak"):
        scale = max(float(np.abs(found[key]).max()), 1.0)
        for place in np.ndindex(found[key].shape):
            losses = []
            for sign in (1, -1):
                moved = {name: value.copy() for name, value in params.items()}
                moved[key][place] += sign * 1e-2
                losses.append(loss(moved))
            slope = (losses[0] - losses[1]) / 2e-2
            assert abs(slope - found[key][place]) <= 5 * GRADIENT * scale


def test_rates_are_a_geometric_series_from_almost_one_to_the_longest_memory():
    params = Leaky(units=16, groups=4, memory=1000.0).init((5, 2), 0, 0)
    rates = 1 / (1 + np.exp(-params["leak"].astype(np.float64)))
    np.testing.assert_allclose(rates[[0, -1]], [0.998, 0.001], rtol=1e-4)
    np.testing.assert_allclose(rates[1:] / rates[:-1], rates[1] / rates[0], rtol=1e-4)
    assert np.isfinite(Leaky(units=2).init((1, 2), 0, 0)["leak"]).all()


def test_rates_that_are_not_trainable_stay():
    layer = Leaky(units=4)
    x = sequences(layer, 5, 3)
    found, _ = gradient(layer, layer.init(x.shape[1:], 0, 0), x)
    assert not found["leak"].any()
    assert layer.constants == {"leak"}


def test_an_image_is_no_sequence():
    with pytest.raises(ConfigError, match="sequences"):
        Leaky(units=4).out_shape((8, 8, 1))


def test_groups_are_at_least_one():
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"units": 4, "groups": 0}, Leaky)
