"""Masks by magnitude beside plain loops over blocks; schedules beside their formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgelearn.errors import OptionError, UnknownName
from edgelearn.rng import Stream, uniform
from edgelearn.sparsity.masks import (
    BLOCKS,
    magnitude_masks,
    neuron_masks,
    require_weights,
    sparsity_of,
)
from edgelearn.sparsity.regrowth import exchanged
from edgelearn.sparsity.schedules import SCHEDULES, sparsities

SHAPES = [(50, 150), (64, 64), (7, 3), (128, 10)]


def weights(shape, index=0, limit=1.0):
    return uniform(3, Stream.INIT, index, shape, limit)


def block_rows(w, pattern):
    """(mean magnitude, places) of every block, by plain loops."""
    height, width = BLOCKS[pattern]
    found = []
    for top in range(0, w.shape[0], height):
        for left in range(0, w.shape[1], width):
            places = [
                (i, j)
                for i in range(top, min(top + height, w.shape[0]))
                for j in range(left, min(left + width, w.shape[1]))
            ]
            found.append((sum(abs(float(w[p])) for p in places) / len(places), places))
    return found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sparsity", [0, 0.3, 0.5])
@pytest.mark.parametrize("pattern", BLOCKS)
def test_the_smallest_blocks_become_zero(pattern, sparsity, shape):
    w = weights(shape)
    mask = magnitude_masks({"w": w}, sparsity, pattern)["w"]
    assert mask.dtype == np.uint8
    blocks = block_rows(w, pattern)
    for _, places in blocks:
        assert len({int(mask[p]) for p in places}) == 1  # whole blocks only
    kept = [mean for mean, places in blocks if mask[places[0]]]
    gone = [mean for mean, places in blocks if not mask[places[0]]]
    assert not gone or max(gone) <= min(kept)
    largest = max(len(places) for _, places in blocks)
    assert abs((mask == 0).sum() - sparsity * mask.size) <= largest / 2


@pytest.mark.parametrize("sparsity", [0.5, 0.8, 0.9, 0.95, 0.999])
def test_single_weights_are_cut_exactly(sparsity):
    mask = magnitude_masks({"w": weights((50, 150))}, sparsity, "unstructured")["w"]
    assert (mask == 0).sum() == round(sparsity * mask.size)
    assert sparsity_of({"w": mask}) == pytest.approx(sparsity, abs=1e-4)


@pytest.mark.parametrize(("kept", "group"), [(2, 4), (1, 4), (1, 2), (4, 8)])
@pytest.mark.parametrize("shape", SHAPES)
def test_n_of_m(kept, group, shape):
    w = weights(shape)
    mask = magnitude_masks({"w": w}, 0.5, f"{kept}:{group}")["w"]
    for start in range(0, shape[0], group):
        for unit in range(shape[1]):
            part = np.abs(w[start : start + group, unit])
            stays = mask[start : start + group, unit] == 1
            assert stays.sum() == min(kept, len(part))
            assert stays.all() or part[stays].min() >= part[~stays].max()


def test_filters_are_matrices_of_what_a_unit_reads():
    w = weights((3, 3, 4, 8))
    mask = magnitude_masks({"w": w}, 0.5, "1x4")["w"]
    flat = magnitude_masks({"w": w.reshape(-1, 8)}, 0.5, "1x4")["w"]
    assert mask.shape == w.shape
    assert np.array_equal(mask.reshape(-1, 8), flat)


def test_together_the_smaller_matrix_loses_more():
    pair = {"small": weights((32, 32), 0, 0.1), "large": weights((32, 32), 1, 1.0)}
    alone = magnitude_masks(pair, 0.4, "unstructured")
    assert sparsity_of({"": alone["small"]}) == sparsity_of({"": alone["large"]})
    masks = magnitude_masks(pair, 0.4, "unstructured", together=True)
    assert sparsity_of(masks) == pytest.approx(0.4, abs=1e-3)
    assert sparsity_of({"": masks["small"]}) > 0.7
    assert sparsity_of({"": masks["large"]}) < 0.1
    values = np.concatenate([np.abs(w).ravel() for w in pair.values()])
    stays = np.concatenate([mask.ravel() for mask in masks.values()]) == 1
    assert values[~stays].max() <= values[stays].min()


def test_neurons_go_with_all_gates_and_biases():
    params = {"w": weights((5, 24)), "u": weights((8, 24), 1), "b": weights((24,), 2)}
    masks = neuron_masks({"gru1": params}, {"gru1": 8}, 0.5)
    assert set(masks) == {"gru1.w", "gru1.u", "gru1.b"}
    stays = masks["gru1.b"].reshape(3, 8)
    assert stays.sum(axis=1).tolist() == [4, 4, 4]
    assert (stays == stays[0]).all()
    for key in ("w", "u"):
        assert masks[f"gru1.{key}"].shape == params[key].shape
        assert (masks[f"gru1.{key}"] == masks["gru1.b"]).all()
    strength = sum(np.abs(p.reshape(-1, 3, 8)).sum(axis=(0, 1)) for p in params.values())
    assert set(np.argsort(strength)[4:]) == set(np.flatnonzero(stays[0]))


@pytest.mark.parametrize("sparsity", [1, 1.5, -0.1, math.nan])
def test_a_sparsity_that_leaves_nothing(sparsity):
    with pytest.raises(OptionError, match="from 0 to less than 1"):
        magnitude_masks({"w": weights((8, 8))}, sparsity, "unstructured")
    with pytest.raises(OptionError, match="from 0 to less than 1"):
        neuron_masks({"a": {"w": weights((8, 8))}}, {"a": 8}, sparsity)


def test_empty_masks_are_refused():
    with pytest.raises(OptionError, match=r"'w'.* keeps a weight") as alone:
        magnitude_masks({"w": weights((8, 8))}, 0.999, "unstructured")
    assert "each matrix alone" not in alone.value.fix
    pair = {"a": weights((8, 8), 0, 0.01), "b": weights((8, 8), 1)}
    with pytest.raises(OptionError, match="'a'") as together:
        magnitude_masks(pair, 0.6, "unstructured", together=True)
    assert "prune each matrix alone" in together.value.fix
    with pytest.raises(OptionError, match="'x'"):
        require_weights({"x": np.zeros(3)}, together=False)


@pytest.mark.parametrize("pattern", ["2x2", "", "1:1:2", "neurons"])
def test_unknown_patterns(pattern):
    with pytest.raises(UnknownName, match="pattern"):
        magnitude_masks({"w": weights((8, 8))}, 0.5, pattern)


@pytest.mark.parametrize("pattern", ["4:4", "0:4", "5:4"])
def test_n_of_m_that_keeps_all_or_nothing(pattern):
    with pytest.raises(OptionError, match="N:M"):
        magnitude_masks({"w": weights((8, 8))}, 0.5, pattern)


def test_what_is_zero_goes_first_so_masks_only_shrink():
    w = weights((50, 150))
    before = magnitude_masks({"w": w}, 0.5, "1x4")["w"]
    after = magnitude_masks({"w": w * before}, 0.8, "1x4")["w"]
    assert not (after & ~before & 1).any()


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("pattern", BLOCKS)
def test_weak_blocks_change_places(pattern, shape, share):
    w, gradient = weights(shape), weights(shape, 1)
    mask = magnitude_masks({"w": w}, 0.4, pattern)["w"]
    found = exchanged(mask, w * mask, gradient, share, pattern)
    blocks = block_rows(w * mask, pattern)
    pulls = [pull for pull, _ in block_rows(gradient, pattern)]
    there = [bool(mask[places[0]]) for _, places in blocks]
    sizes = [len(places) for _, places in blocks]
    inside = sorted((mean, n) for n, (mean, _) in enumerate(blocks) if there[n])
    outside = sorted((-pulls[n], n) for n in range(len(blocks)) if not there[n])
    expected = {n for n, stays in enumerate(there) if stays}
    for size in set(sizes):
        out = [n for _, n in inside[: round(share * sum(there))] if sizes[n] == size]
        into = [n for _, n in outside if sizes[n] == size][: len(out)]
        expected = expected - set(out[: len(into)]) | set(into)
    assert {n for n, (_, places) in enumerate(blocks) if found[places[0]]} == expected
    for _, places in blocks:
        assert len({int(found[place]) for place in places}) == 1
    assert found.dtype == np.uint8
    assert found.sum() == mask.sum()


def test_only_blocks_change_places():
    with pytest.raises(UnknownName, match="pattern of blocks"):
        exchanged(np.ones((4, 4), np.uint8), weights((4, 4)), weights((4, 4)), 0.1, "2:4")


@pytest.mark.parametrize("epochs", [1, 2, 3, 10])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedules_grow_to_the_sparsity(schedule, epochs):
    found = sparsities(schedule, 0.9, epochs)
    assert len(found) == epochs
    assert found == sorted(found)
    assert found[-1] == pytest.approx(0.9)
    if schedule in ("oneshot", "dynamic"):
        assert found[0] == 0.9


def test_schedules_follow_their_formulas():
    cubic = sparsities("gradual", 0.8, 9)  # grows in 6 of the 9 epochs
    assert cubic[2] == pytest.approx(0.8 - 0.8 * (1 - 3 / 6) ** 3)
    rounds = sparsities("iterative", 0.875, 3)  # in 2 of the 3
    left = [1 - s for s in rounds]
    assert left[0] == pytest.approx(0.125**0.5)
    assert left[1] / left[0] == pytest.approx(left[0])


@pytest.mark.parametrize("schedule", ["gradual", "iterative", "dynamic"])
def test_growing_needs_epochs(schedule):
    assert sparsities("oneshot", 0.9, 0) == [0.9]
    with pytest.raises(OptionError, match="--retrain"):
        sparsities(schedule, 0.9, 0)
