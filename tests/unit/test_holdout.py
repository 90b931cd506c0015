"""Held-out samples: how many, which, of which classes; the best of a stage."""

from __future__ import annotations

import numpy as np
import pytest

from edgelearn.holdout import held_out, split
from edgelearn.stopping import Best


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 1 / 3, 0.5])
@pytest.mark.parametrize("seed", [0, 7])
def test_each_class_gives_its_share(digits, share, seed):
    y = digits.y_train
    taught, held = split(y, share, seed)
    assert sorted([*taught, *held]) == list(range(len(y)))
    assert len(held) == held_out(len(y), share)
    for label in range(10):
        assert abs((y[held] == label).sum() - share * (y == label).sum()) <= 1
    assert np.array_equal(held, split(y, share, seed)[1])


def test_another_seed_holds_out_others(digits):
    first, second = (split(digits.y_train, 0.1, seed)[1] for seed in (0, 1))
    assert len(np.intersect1d(first, second)) < len(first) / 2


def test_a_share_is_never_nothing():
    assert held_out(10, 0.01) == 1
    assert held_out(10, 0.0) == 0


def test_the_best_is_kept_and_put_back():
    w = np.zeros(3, np.float32)
    best = Best({"w": w}, patience=2)
    for number, score in enumerate([0.1, 0.5, 0.5, 0.4], start=1):
        assert not best.exhausted
        w[:] = number
        best.tell(score)
    assert best.exhausted
    assert (best.score, best.stale) == (0.5, 2)
    best.restore()
    assert w.tolist() == [2, 2, 2]


def test_going_on_copies_what_it_is_given():
    w, kept = np.zeros(3, np.float32), np.ones(3, np.float32)
    best = Best({"w": w}, patience=2)
    best.resume(0.5, 1, {"w": kept})
    best.tell(0.6)
    assert kept.tolist() == [1, 1, 1]
    assert best.copies["w"].tolist() == [0, 0, 0]


def test_without_patience_nothing_is_kept():
    best = Best({"w": np.zeros(3, np.float32)}, patience=None)
    best.tell(0.5)
    assert best.copies == {}
    assert not best.exhausted
