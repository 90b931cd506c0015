"""Every layer that the folder holds keeps the protocol. New layers are found by themselves."""

from __future__ import annotations

import itertools
import math

import msgspec
import numpy as np
import pytest
from layer_cases import CASES, LEARNERS, arrays, coarse, is_head, scratch, seen, update_graph
from tolerances import ENGINE_F32, GRADIENT

from edgelearn.ir import plan_arena, run
from edgelearn.layers import Follower, Learner, examples, kinds


def copies(params):
    return {key: value.copy() for key, value in params.items()}


def test_every_kind_has_examples():
    assert {layer.kind for layer, _ in examples()} == set(kinds())


def test_module_is_named_like_its_kind():
    for kind, layer in kinds().items():
        assert layer.__module__ == f"edgelearn.layers.{kind}"


@pytest.mark.parametrize(("layer", "in_shape", "batch"), CASES)
def test_settings_survive_a_recipe(layer, in_shape, batch):
    again = msgspec.convert(msgspec.to_builtins(layer), type(layer))
    assert again == layer


@pytest.mark.parametrize(("layer", "in_shape", "batch"), CASES)
def test_init_is_finite_float32_and_follows_from_the_seed(layer, in_shape, batch):
    first, again, other = (layer.init(in_shape, seed, 0) for seed in (7, 7, 8))
    for key, value in first.items():
        assert value.dtype == np.float32
        assert value.flags.c_contiguous
        assert np.isfinite(value).all()
        assert np.array_equal(value, again[key])
    drawn = first and not isinstance(layer, Follower)
    assert any(not np.array_equal(first[k], other[k]) for k in first) == bool(drawn)


@pytest.mark.parametrize(("layer", "in_shape", "batch"), CASES)
def test_forward_leaves_its_inputs_alone(layer, in_shape, batch):
    params, x, _, out = arrays(layer, in_shape, batch)
    before, kept = copies(params), x.copy()
    trace = layer.forward(params, x, out, scratch(layer, in_shape, batch))
    assert trace.a.shape == (batch, *layer.out_shape(in_shape))
    assert trace.a.dtype == np.float32
    assert np.array_equal(x, kept)
    assert all(np.array_equal(params[k], before[k]) for k in params)


@pytest.mark.parametrize(("layer", "in_shape", "batch"), CASES)
def test_each_sample_is_computed_alone(layer, in_shape, batch):
    params, x, _, out = arrays(layer, in_shape, batch)
    together = layer.forward(params, x, out, scratch(layer, in_shape, batch)).a.copy()
    one = np.empty((1, *layer.out_shape(in_shape)), np.float32)
    alone = layer.forward(params, x[:1], one, scratch(layer, in_shape, 1)).a
    np.testing.assert_allclose(together[:1], alone, atol=ENGINE_F32)


def summed_loss(layer, params, x, coefficients):
    """A loss whose derivative by what a readout sees is `coefficients` (by z for a head)."""
    in_shape, batch = x.shape[1:], len(x)
    out = np.empty((batch, *layer.out_shape(in_shape)), np.float32)
    a = layer.forward(params, x, out, scratch(layer, in_shape, batch)).a
    if is_head(layer):  # cross-entropy with soft labels: derivative by z is a - labels
        return -(coefficients * np.log(a.astype(np.float64))).sum()
    view = seen(layer, in_shape)
    features = view.of(a, np.empty((batch, view.size), np.float32))
    return (coefficients * features.astype(np.float64)).sum()


@pytest.mark.parametrize(("layer", "in_shape", "batch"), LEARNERS)
def test_update_follows_finite_differences(layer, in_shape, batch):
    params, x, e, out = arrays(layer, in_shape, batch)
    coefficients = e.copy()
    if is_head(layer):
        coefficients = np.abs(e) / np.abs(e).sum(axis=-1, keepdims=True)
        e = layer.forward(params, x, out, scratch(layer, in_shape, batch)).a - coefficients
    after = copies(params)
    space = scratch(layer, in_shape, batch)
    trace = layer.forward(after, x, out, space)
    rate = 1e-3
    layer.update(after, trace, coarse(layer, in_shape, e), rate, after, space)
    for key, value in params.items():
        update = (value - after[key]).astype(np.float64) / rate
        scale = np.abs(update).max()
        for flat in {0, value.size // 2, value.size - 1}:
            place = np.unravel_index(flat, value.shape)
            slope = finite_difference(layer, params, key, place, x, coefficients)
            assert abs(slope - update[place]) <= GRADIENT * max(scale, 1.0) * 5


def finite_difference(layer, params, key, place, x, coefficients):
    losses, width = [], 1e-3
    for sign in (1, -1):
        moved = copies(params)
        moved[key][place] += sign * width
        losses.append(summed_loss(layer, moved, x, coefficients))
    return (losses[0] - losses[1]) / (2 * width)


@pytest.mark.parametrize(("layer", "in_shape", "batch"), LEARNERS)
def test_a_gradient_can_be_collected_apart(layer, in_shape, batch):
    """What descends into arrays of zeros is the same as what descends into the parameters."""
    params, x, e, out = arrays(layer, in_shape, batch)
    space, apart = scratch(layer, in_shape, batch), {k: v * 0 for k, v in params.items()}
    trace = layer.forward(params, x, out, space)
    before = copies(params)
    layer.update(params, trace, coarse(layer, in_shape, e), 0.01, apart, space)
    assert all(np.array_equal(params[k], before[k]) for k in params)
    layer.update(params, trace, coarse(layer, in_shape, e), 0.01, params, space)
    for key, value in apart.items():
        np.testing.assert_allclose(before[key] + value, params[key], atol=ENGINE_F32)


@pytest.mark.parametrize(("layer", "in_shape", "batch"), CASES)
def test_graph_says_what_the_engine_does(layer, in_shape, batch):
    params, x, e, out = arrays(layer, in_shape, batch)
    graph = update_graph(layer, in_shape, params)
    rate = np.float32(0.01)
    feeds = {"x": x, "e": e, "rate": rate}
    result = run(graph, feeds)
    after, space = copies(params), scratch(layer, in_shape, batch)
    trace = layer.forward(after, x, out, space)
    np.testing.assert_allclose(result.outputs["a"], trace.a, atol=ENGINE_F32)
    if not isinstance(layer, Learner):
        return
    layer.update(after, trace, coarse(layer, in_shape, e), float(rate), after, space)
    for key in params:
        np.testing.assert_allclose(result.states[key], after[key], atol=ENGINE_F32)


@pytest.mark.parametrize(("layer", "in_shape", "batch"), CASES)
def test_update_needs_no_second_copy_of_the_parameters(layer, in_shape, batch):
    """The training graph's arena holds activations only: parameters change where they lie."""
    params, *_ = arrays(layer, in_shape, batch)
    graph = update_graph(layer, in_shape, params).bind(batch)
    plan = plan_arena(graph)
    assert not plan.copies
    widest = max(math.prod(s) for s in (in_shape, layer.out_shape(in_shape)))
    assert plan.size_bytes <= 4 * 8 * batch * widest + 4 * 64


def test_names_of_parameters_do_not_clash():
    for layer, in_shape in examples():
        names = list(layer.init(in_shape, 0, 0))
        assert all(a != b for a, b in itertools.combinations(names, 2))
