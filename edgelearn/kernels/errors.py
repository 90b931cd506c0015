"""Local errors: derivatives of a layer's own loss, one pass over the samples."""

from __future__ import annotations

import math

from edgelearn.kernels._jit import F32, Labels, kernel


@kernel
def count_right(labels: Labels, scores: F32, loss: F32) -> None:
    """Add to the second number of `loss`: in how many rows the label's score is the largest.

    Of equal scores the first counts, as in NumPy's argmax.
    """
    for n in range(scores.shape[0]):
        best = 0
        for c in range(1, scores.shape[1]):
            if scores[n, c] > scores[n, best]:
                best = c
        if best == labels[n]:
            loss[1] += scores.dtype.type(1)


@kernel
def softmax_cross_entropy(labels: Labels, logits: F32, loss: F32) -> None:
    """Onto `logits` (batch, classes): ``softmax(logits) - onehot(labels)``; adds to `loss`."""
    for n in range(logits.shape[0]):
        row = logits[n]
        top = row[0]
        for c in range(1, row.size):
            top = max(top, row[c])
        total = row.dtype.type(0)
        margin = top - row[labels[n]]
        for c in range(row.size):
            row[c] = math.exp(row[c] - top)
            total += row[c]
        for c in range(row.size):
            row[c] /= total
        row[labels[n]] -= row.dtype.type(1)
        loss[0] += margin + math.log(total)


@kernel
def probability_error(labels: Labels, a: F32, e: F32, loss: F32) -> None:
    """Onto `e`: ``a - onehot(labels)`` for softmax outputs `a`; adds ``-log a`` to `loss`."""
    tiny = a.dtype.type(1e-37)
    for n in range(a.shape[0]):
        for c in range(a.shape[1]):
            e[n, c] = a[n, c]
        e[n, labels[n]] -= a.dtype.type(1)
        loss[0] -= math.log(max(a[n, labels[n]], tiny))


@kernel
def squared(labels: Labels, p: F32, a: F32, e: F32, loss: F32) -> None:
    """Onto `e`: ``a - p[labels]``, the derivative of half the squared distance."""
    for n in range(a.shape[0]):
        target, total = p[labels[n]], a.dtype.type(0)
        for j in range(a.shape[1]):
            gap = a[n, j] - target[j]
            e[n, j] = gap
            total += gap * gap
        loss[0] += a.dtype.type(0.5) * total


@kernel
def absolute(labels: Labels, p: F32, a: F32, e: F32, loss: F32) -> None:
    """Onto `e`: ``sign(a - p[labels])``, the derivative of the absolute distance."""
    zero = a.dtype.type(0)
    one = a.dtype.type(1)
    for n in range(a.shape[0]):
        target, total = p[labels[n]], zero
        for j in range(a.shape[1]):
            gap = a[n, j] - target[j]
            e[n, j] = one if gap > zero else (-one if gap < zero else zero)
            total += abs(gap)
        loss[0] += total


@kernel
def hinge(labels: Labels, scores: F32, loss: F32) -> None:
    """Onto `scores` (batch, classes): the derivative of ``sum(max(0, 1 - s * score))``."""
    zero = scores.dtype.type(0)
    one = scores.dtype.type(1)
    for n in range(scores.shape[0]):
        for c in range(scores.shape[1]):
            side = one if c == labels[n] else -one
            margin = one - side * scores[n, c]
            scores[n, c] = -side if margin > zero else zero
            loss[0] += max(margin, zero)


@kernel
def squared_hinge(labels: Labels, scores: F32, loss: F32) -> None:
    """Onto `scores` (batch, classes): that of half of ``sum(max(0, 1 - s * score) ** 2)``."""
    zero = scores.dtype.type(0)
    one = scores.dtype.type(1)
    for n in range(scores.shape[0]):
        for c in range(scores.shape[1]):
            side = one if c == labels[n] else -one
            margin = max(one - side * scores[n, c], zero)
            scores[n, c] = -side * margin
            loss[0] += scores.dtype.type(0.5) * margin * margin


@kernel
def squared_error(targets: F32, scores: F32, loss: F32) -> None:
    """Onto `scores` (batch, outputs): ``scores - targets``; adds half the squares to `loss`."""
    for n in range(scores.shape[0]):
        for c in range(scores.shape[1]):
            gap = scores[n, c] - targets[n, c]
            scores[n, c] = gap
            loss[0] += scores.dtype.type(0.5) * gap * gap


@kernel
def huber(targets: F32, scores: F32, loss: F32) -> None:
    """Onto `scores` (batch, outputs): ``clip(scores - targets, -1, 1)``; adds the loss."""
    one = scores.dtype.type(1)
    half = scores.dtype.type(0.5)
    for n in range(scores.shape[0]):
        for c in range(scores.shape[1]):
            gap = scores[n, c] - targets[n, c]
            clipped = min(max(gap, -one), one)
            scores[n, c] = clipped
            loss[0] += clipped * (gap - half * clipped)
