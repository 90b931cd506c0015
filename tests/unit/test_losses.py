"""Every local loss: its error is the slope of its value, and the Graph says the same."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tolerances import ENGINE_F32, GRADIENT

from edgelearn.ir import BATCH, Builder, run
from edgelearn.losses import LOSSES, Likelihood, Loss, ReadoutLoss
from edgelearn.rng import Stream, uniform
from edgelearn.targets import projection

CLASSES, UNITS, BATCHES = 5, 7, (1, 4)
KINDS = sorted(LOSSES)


def case(kind, batch):
    a = uniform(1, Stream.INIT, 0, (batch, UNITS), 1.0)
    labels = np.arange(batch, dtype=np.int64) * 2 % CLASSES
    loss = LOSSES[kind]
    p = projection("gauss", CLASSES, UNITS, loss.row_norm(loss.gain, UNITS), seed=0, layer=0)
    return a, labels, p


def measured(kind, a, labels, p):
    """The error and the summed loss as the engine computes them."""
    e, loss = np.empty_like(a), np.zeros(2, np.float32)
    logits = np.empty((len(a), CLASSES), np.float32)
    LOSSES[kind].error(a.copy(), labels, p, logits, e, loss)
    return e, float(loss[0])


def value(kind, a, labels, p):
    """The summed loss from its definition, in float64."""
    a, p = a.astype(np.float64), p.astype(np.float64)
    if kind == "cross_entropy":
        scores = a @ p.T
        return sum(math.log(np.exp(s).sum()) - s[y] for s, y in zip(scores, labels, strict=True))
    if kind in ("hinge", "squared_hinge"):
        side = 2 * np.eye(CLASSES)[labels] - 1
        margin = np.maximum(0, 1 - side * (a @ p.T))
        return margin.sum() if kind == "hinge" else 0.5 * (margin * margin).sum()
    gap = a - p[labels]
    return 0.5 * (gap * gap).sum() if kind == "l2" else np.abs(gap).sum()


def test_every_loss_is_defined_here():
    assert KINDS == ["cross_entropy", "hinge", "l1", "l2", "squared_hinge"]
    assert all(LOSSES[kind].kind == kind for kind in KINDS)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_value(kind, batch):
    a, labels, p = case(kind, batch)
    assert measured(kind, a, labels, p)[1] == pytest.approx(value(kind, a, labels, p), rel=1e-5)


@pytest.mark.parametrize("kind", [*KINDS, "head"])
def test_right_guesses_are_counted(kind):
    """Those of the scores of evaluation, whichever loss it is."""
    a, labels, p = case("l2" if kind == "head" else kind, 40)
    loss: Loss = Likelihood() if kind == "head" else LOSSES[kind]
    p = None if kind == "head" else p
    scores = a[:, :CLASSES].copy() if p is None else a @ p.T
    seen = scores if p is None else a
    found = np.array([0.5, 3], np.float32)
    loss.error(seen, labels, p, np.empty((40, CLASSES), np.float32), np.empty_like(seen), found)
    right = int((scores.argmax(axis=1) == labels).sum())
    assert 0 < right < 40
    assert found[1] == 3 + right


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
        assert e[place] == pytest.approx(slope, abs=GRADIENT * float(np.abs(e).max()))


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_says_the_same(kind, batch):
    a, labels, p = case(kind, batch)
    b = Builder("loss")
    names = b.input("a", (BATCH, UNITS)), b.input("y", (BATCH,), "int64"), b.constant("p", p)
    error, slope = LOSSES[kind].emit_error(b, *names)
    graph = b.graph([error] if slope is None else [error, slope])
    outputs = run(graph, {"a": a, "y": labels}).outputs
    e, left, loss = (
        np.empty_like(a),
        np.zeros((batch, CLASSES), np.float32),
        np.zeros(2, np.float32),
    )
    LOSSES[kind].error(a, labels, p, left, e, loss)
    np.testing.assert_allclose(outputs[error], e, atol=ENGINE_F32)
    assert (slope is not None) == isinstance(LOSSES[kind], ReadoutLoss)
    if slope is not None:
        np.testing.assert_allclose(outputs[slope], left, atol=ENGINE_F32)


@pytest.mark.parametrize("kind", ["l1", "l2"])
def test_at_the_target_nothing_is_left_to_learn(kind):
    _, labels, p = case(kind, 4)
    e, loss = measured(kind, p[labels], labels, p)
    assert not e.any()
    assert loss == 0


@pytest.mark.parametrize("kind", KINDS)
def test_losses_add_up_over_samples_and_calls(kind):
    a, labels, p = case(kind, 4)
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
    e, loss = np.empty_like(a), np.zeros(2, np.float32)
    Likelihood().error(a.copy(), labels, None, e, e, loss)
    np.testing.assert_allclose(e, a - np.eye(CLASSES)[labels], atol=1e-7)
    assert float(loss[0]) == pytest.approx(-np.log(a[np.arange(batch), labels]).sum(), rel=1e-5)
    b = Builder("head")
    names = b.input("a", (BATCH, CLASSES)), b.input("y", (BATCH,), "int64")
    graph = b.graph([Likelihood().emit_error(b, *names, None)[0]])
    result = run(graph, {"a": a, "y": labels}).outputs[graph.outputs[0]]
    np.testing.assert_allclose(result, e, atol=ENGINE_F32)


def test_a_head_that_is_surely_wrong_has_a_finite_loss():
    a = np.array([[1, 0, 0, 0, 0]], np.float32)
    e, loss = np.empty_like(a), np.zeros(2, np.float32)
    Likelihood().error(a, np.array([3]), None, e, e, loss)
    assert 80 < float(loss[0]) < 100


def test_sizes_of_targets():
    for kind in ("l1", "l2"):
        assert LOSSES[kind].row_norm(1.0, 64) == pytest.approx(8)
    assert LOSSES["cross_entropy"].row_norm(2.0, 64) == 2.0
