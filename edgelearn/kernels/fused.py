"""All that a dense layer does in a step, in one call: with one sample, calls cost too much."""

from __future__ import annotations

from typing import Final, NamedTuple

from edgelearn.kernels._jit import F32, Labels, kernel
from edgelearn.kernels.dense import add_outer, descend, forward, local_error
from edgelearn.kernels.errors import (
    absolute,
    count_right,
    probability_error,
    softmax_cross_entropy,
    squared,
)

LIKELIHOOD: Final = 0
CROSS_ENTROPY: Final = 1
SQUARED: Final = 2
ABSOLUTE: Final = 3


class Part(NamedTuple):
    """The arrays of one layer: `w` (fan_in, units), `b` (units,), projection `p` (classes, units).

    `p` of a head has no rows. `a` and `e` (batch, units) take the activation and the error,
    `slopes` (batch, classes) the derivative by the scores; `loss` collects, as everywhere.
    """

    w: F32
    b: F32
    p: F32
    a: F32
    e: F32
    slopes: F32
    loss: F32


@kernel
def learn(
    x: F32, labels: Labels, part: Part, activation: int, judging: int, learns: bool, rate: float
) -> None:
    """Forward pass, local error by the loss `judging` says, and update in place.

    The projection moves too if it `learns`.
    """
    a, e, slopes, loss = part.a, part.e, part.slopes, part.loss
    forward(x, part.w, part.b, activation, a)
    if judging == LIKELIHOOD:
        count_right(labels, a, loss)
        probability_error(labels, a, e, loss)
    else:
        _read_out(a, part.p, slopes)
        count_right(labels, slopes, loss)
        if judging == CROSS_ENTROPY:
            softmax_cross_entropy(labels, slopes, loss)
            _send_back(slopes, part.p, e)
        elif judging == SQUARED:
            squared(labels, part.p, a, e, loss)
        else:
            absolute(labels, part.p, a, e, loss)
    if learns:
        down = slopes.dtype.type(-rate)
        for n in range(slopes.shape[0]):
            for c in range(slopes.shape[1]):
                slopes[n, c] *= down
        add_outer(slopes, a, part.p)
    local_error(a, activation, e)
    descend(x, e, rate, part.w, part.b)


@kernel
def _read_out(a: F32, p: F32, scores: F32) -> None:
    """Onto `scores`: ``a @ p.T``, in eight sums that lie side by side in a register."""
    zero = a.dtype.type(0)
    whole = a.shape[1] - a.shape[1] % 8
    for n in range(a.shape[0]):
        row = a[n]
        for c in range(p.shape[0]):
            q, total = p[c], zero
            s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = zero
            for j in range(0, whole, 8):
                s0 += row[j] * q[j]
                s1 += row[j + 1] * q[j + 1]
                s2 += row[j + 2] * q[j + 2]
                s3 += row[j + 3] * q[j + 3]
                s4 += row[j + 4] * q[j + 4]
                s5 += row[j + 5] * q[j + 5]
                s6 += row[j + 6] * q[j + 6]
                s7 += row[j + 7] * q[j + 7]
            for j in range(whole, row.size):
                total += row[j] * q[j]
            scores[n, c] = total + ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))


@kernel
def _send_back(slopes: F32, p: F32, e: F32) -> None:
    """Onto `e`: ``slopes @ p``."""
    for n in range(e.shape[0]):
        row, zero = e[n], e.dtype.type(0)
        for j in range(row.size):
            row[j] = zero
        for c in range(p.shape[0]):
            factor, q = slopes[n, c], p[c]
            for j in range(row.size):
                row[j] += factor * q[j]
