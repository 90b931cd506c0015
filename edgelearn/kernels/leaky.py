"""Eligibility traces of leaky cells: what the weights of a state remember of a sequence.

Units form groups with one rate each: unit j of `units` is in group ``j * groups // units``.
"""

from __future__ import annotations

from typing import NamedTuple

from edgelearn.kernels._jit import F32, kernel
from edgelearn.kernels.recurrent import LAST, MEAN, Chunk

TINY = 1e-30


class Traces(NamedTuple):
    """What is held of each sample, whatever the length of its sequence.

    `before` (batch, groups, features + units + 1) leaks at each group's rate after inputs, states
    before the step and 1; `total` (batch, features + units + 1) is the sum of these. `after`
    (4, batch, units): the slopes of a step leaking at each unit's rate, their sum, and both again
    for gains.
    """

    before: F32
    total: F32
    after: F32


@kernel
def _leak(value: F32, rate: float, trace: F32) -> None:
    step = trace.dtype.type(rate)
    for i in range(trace.size):
        trace[i] += step * (value[i] - trace[i])


@kernel
def _leak_and_sum(value: F32, rates: F32, trace: F32, total: F32) -> None:
    for j in range(value.size):
        trace[j] += rates[j] * (value[j] - trace[j])
        total[j] += value[j]


@kernel
def _sum(value: F32, total: F32) -> None:
    for i in range(total.size):
        total[i] += value[i]


@kernel
def follow(chunk: Chunk, groups: F32, rates: F32, held: Traces) -> None:
    """Onto `held`: the steps of a chunk; rates of `groups`, and of units."""
    x, fed = chunk.x, chunk.fed
    features, units = x.shape[2], fed.shape[2]
    zero, one = x.dtype.type(0), x.dtype.type(1)
    for t in range(x.shape[0]):
        for n in range(x.shape[1]):
            if chunk.mask[t, n] == zero:
                continue
            for k in range(groups.size):
                trace = held.before[n, k]
                _leak(x[t, n], groups[k], trace[:features])
                _leak(fed[t, n], groups[k], trace[features : features + units])
                trace[features + units] += groups[k] * (one - trace[features + units])
            _sum(x[t, n], held.total[n, :features])
            _sum(fed[t, n], held.total[n, features : features + units])
            held.total[n, features + units] += one
            _leak_and_sum(chunk.a[t, n], rates, held.after[0, n], held.after[1, n])
            _leak_and_sum(chunk.gain[t, n], rates, held.after[2, n], held.after[3, n])


@kernel
def credit(sees: int, e: F32, rates: F32, held: Traces, out: F32, leak: F32) -> None:
    """Onto `out` (2, batch, units): errors that meet `before` and `total`; adds to `leak`.

    `e` (batch, features) is the error of what is seen; `leak` (groups,) the derivative by leaks.
    """
    units, groups = rates.size, leak.size
    zero, one, tiny = e.dtype.type(0), e.dtype.type(1), e.dtype.type(TINY)
    for n in range(e.shape[0]):
        count = max(held.total[n, held.total.shape[1] - 1], one)
        for j in range(units):
            k = j * groups // units
            last = zero if sees == MEAN else e[n, j]
            mean = zero if sees == LAST else e[n, e.shape[1] - units + j] / count
            rest = (one - rates[j]) / rates[j]
            share = held.before[n, k, held.before.shape[2] - 1]
            slope, slopes = held.after[0, n, j], held.after[1, n, j]
            gain, gains = held.after[2, n, j], held.after[3, n, j]
            by_total = mean * (slopes - rest * slope) / max(count - rest * share, tiny)
            out[0, n, j] = last * slope / max(share, tiny) - rest * by_total
            out[1, n, j] = by_total
            leak[k] += last * gain + mean * (gains - rest * gain)


@kernel
def descend(first: int, groups: int, rate: float, held: Traces, errors: F32, w: F32) -> None:
    """Onto `w` (rows, units), whose inputs are traced from place `first` on: down the gradient."""
    units = w.shape[1]
    step = w.dtype.type(rate)
    for i in range(w.shape[0]):
        for n in range(errors.shape[1]):
            factor, d, row = step * held.total[n, first + i], errors[1, n], w[i]
            for j in range(units):
                row[j] -= factor * d[j]
            start = 0
            for k in range(groups):
                stop = ((k + 1) * units + groups - 1) // groups
                factor = step * held.before[n, k, first + i]
                part, own = errors[0, n, start:stop], w[i, start:stop]
                for j in range(own.size):
                    own[j] -= factor * part[j]
                start = stop
