"""Every local loss: its error is the slope of its value, and the Graph says the same."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
from tolerances import ENGINE_F32, GRADIENT

from edgelearn.config import LossKind
from edgelearn.ir import BATCH, Builder, run
from edgelearn.losses import (
    LOSSES,
    HeadLoss,
    Likelihood,
    ReadoutLoss,
    TargetLoss,
    Workspace,
    local_loss,
)
from edgelearn.rng import Stream, uniform
from edgelearn.targets import projection

CLASSES, UNITS, BATCHES = 5, 7, (1, 4, 9)
KINDS = sorted(LOSSES)
BETA = 0.7


def label_input(b, kind):
    """The labels of that kind as an input of a Graph."""
    if LOSSES[kind].task == "values":
        return b.input("y", (BATCH, CLASSES))
    return b.input("y", (BATCH,), "int64")


def loss_of(kind):
    return local_loss(kind, CLASSES, BETA)


def case(kind, batch):
    a = uniform(1, Stream.INIT, 0, (batch, UNITS), 1.0)
    labels = np.arange(batch, dtype=np.int64) * 2 % CLASSES
    if LOSSES[kind].task == "values":
        labels = uniform(3, Stream.INIT, 0, (batch, CLASSES), 2.5)
    loss = loss_of(kind)
    p = projection("gauss", CLASSES, UNITS, loss.row_norm(loss.gain, UNITS), seed=0, layer=0)
    return a, labels, p


def space_of(loss, batch, units=UNITS):
    """Room for `loss`, poisoned: nothing may be read before it was written."""

    def room(*shape):
        return np.full(shape, np.nan, np.float32)

    return Workspace(
        features=room(batch, 0),
        error=room(batch, units),
        slopes=room(batch, CLASSES),
        loss=np.zeros(2, np.float32),
        work=room(loss.work_size(batch, units)),
    )


def measured(kind, a, labels, p):
    """The error and the summed loss as the engine computes them; the activation is left alone."""
    loss = loss_of(kind)
    space, before = space_of(loss, len(a)), a.copy()
    loss.error(a, labels, p, space)
    assert np.array_equal(a, before)
    return space.error, float(space.loss[0])


def cross_entropy(a, labels, p):
    scores = a @ p.T
    return sum(math.log(np.exp(s).sum()) - s[y] for s, y in zip(scores, labels, strict=True))


def margins(a, labels, p):
    side = 2 * np.eye(CLASSES)[labels] - 1
    return np.maximum(0, 1 - side * (a @ p.T))


def cosines(rows):
    """Similarities of rows, each centred, as the paper's equation says."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    unit = centred / np.sqrt((centred * centred).sum(axis=1, keepdims=True) + 1e-5)
    return unit @ unit.T


def similarity(a, labels, p):
    hot = np.eye(CLASSES)[labels] - 1 / CLASSES
    hot /= np.linalg.norm(hot, axis=1, keepdims=True)
    return ((cosines(a) - hot @ hot.T) ** 2).sum() / len(a)


def huber(a, labels, p):
    gap = np.abs(a @ p.T - labels)
    return np.where(gap <= 1, 0.5 * gap * gap, gap - 0.5).sum()


REFERENCE = {
    "cross_entropy": cross_entropy,
    "hinge": lambda a, labels, p: margins(a, labels, p).sum(),
    "squared_hinge": lambda a, labels, p: 0.5 * (margins(a, labels, p) ** 2).sum(),
    "l1": lambda a, labels, p: np.abs(a - p[labels]).sum(),
    "l2": lambda a, labels, p: 0.5 * ((a - p[labels]) ** 2).sum(),
    "similarity": similarity,
    "predsim": lambda a, labels, p: (
        BETA * similarity(a, labels, p) + (1 - BETA) * cross_entropy(a, labels, p)
    ),
    "mse": lambda a, labels, p: 0.5 * ((a @ p.T - labels) ** 2).sum(),
    "huber": huber,
}
"""The summed loss of each kind from its definition."""


def value(kind, a, labels, p):
    """The summed loss in float64."""
    return REFERENCE[kind](a.astype(np.float64), labels, p.astype(np.float64))


def test_every_loss_has_a_reference():
    assert sorted(REFERENCE) == KINDS
    assert all(LOSSES[kind].kind == kind for kind in KINDS)
    assert set(KINDS) == set(get_args(LossKind))


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_value(kind, batch):
    a, labels, p = case(kind, batch)
    assert measured(kind, a, labels, p)[1] == pytest.approx(value(kind, a, labels, p), rel=1e-5)


@pytest.mark.parametrize("kind", [*KINDS, "head"])
def test_right_guesses_are_counted(kind):
    """Those of the scores of evaluation, whichever loss it is; none where nothing is guessed."""
    loss = Likelihood() if kind == "head" else loss_of(kind)
    a, labels, p = case("l2" if kind == "head" else kind, 40)
    p = None if kind == "head" else p
    scores = a[:, :CLASSES].copy() if p is None else a @ p.T
    seen = scores if p is None else a
    space = space_of(loss, 40, seen.shape[1])
    space.loss[:] = 0.5, 3
    loss.error(seen, labels, p, space)
    if loss.task == "values" or kind == "similarity":
        assert space.loss[1] == 3
        return
    right = int((scores.argmax(axis=1) == labels).sum())
    assert 0 < right < 40
    assert space.loss[1] == 3 + right


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_error_is_the_slope_of_the_value(kind, batch):
    a, labels, p = case(kind, batch)
    e, _ = measured(kind, a, labels, p)
    width = 1e-4
    for place in np.ndindex(a.shape):
        up, down = a.astype(np.float64), a.astype(np.float64)
        up[place] += width
        down[place] -= width
        slope = (value(kind, up, labels, p) - value(kind, down, labels, p)) / (2 * width)
        assert e[place] == pytest.approx(slope, abs=GRADIENT * max(float(np.abs(e).max()), 1e-3))


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_says_the_same(kind, batch):
    a, labels, p = case(kind, batch)
    b = Builder("loss")
    names = b.input("a", (BATCH, UNITS)), label_input(b, kind), b.constant("p", p)
    loss = loss_of(kind)
    error, slopes = loss.emit_error(b, *names)
    graph = b.graph([error] if slopes is None else [error, slopes])
    outputs = run(graph, {"a": a, "y": labels}).outputs
    space = space_of(loss, batch)
    loss.error(a, labels, p, space)
    np.testing.assert_allclose(outputs[error], space.error, atol=ENGINE_F32)
    assert (slopes is not None) == isinstance(loss, ReadoutLoss)
    if slopes is not None:
        np.testing.assert_allclose(outputs[slopes], space.slopes, atol=ENGINE_F32)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("kind", [k for k in KINDS if isinstance(LOSSES[k], ReadoutLoss)])
def test_slopes_are_what_moves_a_learned_projection(kind, batch):
    """``slopes.T @ a`` is the derivative of the loss by the projection."""
    a, labels, p = case(kind, batch)
    loss, width = loss_of(kind), 1e-4
    space = space_of(loss, batch)
    loss.error(a, labels, p, space)
    gradient = space.slopes.T @ a
    for place in np.ndindex(p.shape):
        values = []
        for sign in (1, -1):
            moved = p.astype(np.float64)
            moved[place] += sign * width
            values.append(value(kind, a, labels, moved))
        slope = (values[0] - values[1]) / (2 * width)
        assert gradient[place] == pytest.approx(slope, abs=GRADIENT * float(np.abs(gradient).max()))


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("kind", [k for k in KINDS if isinstance(LOSSES[k], HeadLoss)])
def test_the_error_and_value_of_a_linear_head(kind, batch):
    _, labels, _ = case(kind, batch)
    scores = uniform(4, Stream.INIT, 0, (batch, CLASSES), 2.0)
    loss, space = loss_of(kind), space_of(loss_of(kind), batch, CLASSES)
    loss.error(scores, labels, None, space)
    one = np.eye(CLASSES)
    assert float(space.loss[0]) == pytest.approx(value(kind, scores, labels, one), rel=1e-5)
    np.testing.assert_allclose(space.error, measured_by(kind, scores, labels, one), atol=1e-6)
    b = Builder("head")
    names = b.input("a", (BATCH, CLASSES)), label_input(b, kind)
    error, none = loss.emit_error(b, *names, None)
    graph = b.graph([error, loss.emit_value(b, *names)])
    assert none is None
    found, mean = run(graph, {"a": scores, "y": labels}).outputs.values()
    np.testing.assert_allclose(found, space.error, atol=ENGINE_F32)
    assert float(mean) * batch == pytest.approx(float(space.loss[0]), rel=1e-5)


def measured_by(kind, scores, labels, p):
    """The error of scores, as that of a layer whose projection is `p`."""
    loss, space = loss_of(kind), space_of(loss_of(kind), len(scores), CLASSES)
    loss.error(scores, labels, p.astype(np.float32), space)
    return space.error


@pytest.mark.parametrize("kind", ["l1", "l2"])
def test_at_the_target_nothing_is_left_to_learn(kind):
    _, labels, p = case(kind, 4)
    e, loss = measured(kind, p[labels], labels, p)
    assert not e.any()
    assert loss == 0


@pytest.mark.parametrize("kind", KINDS)
def test_losses_add_up_over_samples_and_calls(kind):
    a, labels, p = case(kind, 4)
    if LOSSES[kind].compares:
        return
    alone = [measured(kind, a[i : i + 1], labels[i : i + 1], p)[1] for i in range(4)]
    assert measured(kind, a, labels, p)[1] == pytest.approx(sum(alone), rel=1e-5)


@pytest.mark.parametrize("size", [50.0, 300.0])
def test_cross_entropy_of_a_sure_layer_is_finite(size):
    """Also where exp() of the scores alone would be infinite."""
    _, labels, p = case("cross_entropy", 4)
    for sign in (1, -1):
        sure = (sign * size * p[labels]).astype(np.float32)
        e, loss = measured("cross_entropy", sure, labels, p)
        assert np.isfinite(e).all()
        assert math.isfinite(loss)


def head(batch):
    scores = uniform(2, Stream.INIT, 0, (batch, CLASSES), 3.0)
    powers = np.exp(scores)
    return powers / powers.sum(axis=1, keepdims=True), np.arange(batch, dtype=np.int64) % CLASSES


@pytest.mark.parametrize("batch", BATCHES)
def test_the_error_of_a_head(batch):
    a, labels = head(batch)
    space = space_of(Likelihood(), batch, CLASSES)
    Likelihood().error(a, labels, None, space)
    np.testing.assert_allclose(space.error, a - np.eye(CLASSES)[labels], atol=1e-7)
    assert float(space.loss[0]) == pytest.approx(
        -np.log(a[np.arange(batch), labels]).sum(), rel=1e-5
    )
    b = Builder("head")
    names = b.input("a", (BATCH, CLASSES)), b.input("y", (BATCH,), "int64")
    error, _ = Likelihood().emit_error(b, *names, None)
    graph = b.graph([error, Likelihood().emit_value(b, *names)])
    found, mean = run(graph, {"a": a, "y": labels}).outputs.values()
    np.testing.assert_allclose(found, space.error, atol=ENGINE_F32)
    assert float(mean) * batch == pytest.approx(float(space.loss[0]), rel=1e-5)


def test_a_head_that_is_surely_wrong_has_a_finite_loss():
    a = np.array([[1, 0, 0, 0, 0]], np.float32)
    space = space_of(Likelihood(), 1, CLASSES)
    Likelihood().error(a, np.array([3]), None, space)
    assert 80 < float(space.loss[0]) < 100


def test_sizes_of_targets():
    for kind, loss in LOSSES.items():
        grows = isinstance(loss, TargetLoss)
        assert loss.row_norm(2.0, 64) == pytest.approx(16 if grows else 2), kind


def test_similarity_of_classes_apart_is_matched():
    """Rows that lie as the labels do leave nothing to learn; scale and offset do not count."""
    labels = np.arange(10, dtype=np.int64) % CLASSES
    a = (3 * np.eye(CLASSES, UNITS)[labels] + 0.5).astype(np.float32)
    a[:, CLASSES:] = a[:, :CLASSES].mean(axis=1, keepdims=True)
    e, loss = measured("similarity", a, labels, np.empty((0, 0)))
    assert loss < 1e-8
    assert np.abs(e).max() < 1e-5


@pytest.mark.parametrize("kind", ["similarity", "predsim"])
def test_samples_without_features_leave_finite_numbers(kind):
    a, labels, p = case(kind, 9)
    a[3] = 0
    a[5] = 0.25
    e, loss = measured(kind, a, labels, p)
    assert np.isfinite(e).all()
    assert math.isfinite(loss)


def test_one_sample_alone_teaches_similarity_nothing():
    a, labels, p = case("similarity", 1)
    e, loss = measured("similarity", a, labels, p)
    assert np.abs(e).max() < 1e-4
    assert loss < 1e-8
