"""Recurrent cells, element by element; products with weights are made outside."""

from __future__ import annotations

from edgelearn.kernels._jit import F32, kernel
from edgelearn.kernels.functions import sigmoid, tanh


@kernel
def counts(x: F32, t: int, features: int) -> bool:
    """Whether step `t` counts: if there is a channel after the features, that it is not 0."""
    return bool(x.shape[1] == features or x[t, features] != x.dtype.type(0))


@kernel
def put(h: F32, x: F32, t: int, features: int, out: F32) -> None:
    """State `h`, and the mask if there is one, at step `t` of `out`, unless that has no rows."""
    if out.shape[0]:
        for j in range(h.size):
            out[t, j] = h[j]
        if x.shape[1] > features:
            out[t, h.size] = x[t, features]


@kernel
def mingru(a: F32, b: F32, x: F32, features: int, h: F32, total: F32, out: F32) -> None:
    """Steps of minGRU: from products `a` (steps, 2 units) on, state `h` and the `total` of states.

    `x` (steps, features [+ mask]); `out` (steps, units [+ mask]), or no rows.
    """
    units = h.size
    one = h.dtype.type(1)
    for t in range(a.shape[0]):
        if counts(x, t, features):
            for j in range(units):
                z = sigmoid(a[t, j] + b[j])
                c = tanh(a[t, units + j] + b[units + j])
                h[j] = (one - z) * h[j] + z * c
                total[j] += h[j]
        put(h, x, t, features, out)


@kernel
def mingru_traces(
    a: F32, b: F32, x: F32, work: F32, h: F32, total: F32, e: F32, s: F32, out: F32
) -> None:
    """`mingru`, and beside it the derivative of every state by its weights, forward in time.

    e, s: (features + 1, 2 units), derivatives of `h` and of `total` by weights and bias; `work`:
    (2, 2 units). ``e = (1 - z) * e + [(c - h) * z * (1 - z) * x | z * (1 - c**2) * x]``.
    """
    units, features = h.size, e.shape[0] - 1
    one = h.dtype.type(1)
    keep, gain = work[0], work[1]
    for t in range(a.shape[0]):
        if counts(x, t, features):
            for j in range(units):
                z = sigmoid(a[t, j] + b[j])
                c = tanh(a[t, units + j] + b[units + j])
                keep[j] = one - z
                keep[units + j] = one - z
                gain[j] = (c - h[j]) * z * (one - z)
                gain[units + j] = z * (one - c * c)
                h[j] = (one - z) * h[j] + z * c
                total[j] += h[j]
            for i in range(features + 1):
                row, add = e[i], s[i]
                factor = x[t, i] if i < features else one
                for j in range(2 * units):
                    row[j] = keep[j] * row[j] + factor * gain[j]
                    add[j] += row[j]
        put(h, x, t, features, out)


@kernel
def add_traces(last: F32, mean: F32, rate: float, e: F32, s: F32, w: F32, b: F32) -> None:
    """Onto `w`, `b`: ``- rate * (last * e + mean * s)``; last, mean: (units,), for both halves."""
    units = last.size
    step = -w.dtype.type(rate)
    for i in range(w.shape[0]):
        for j in range(units):
            first, second = step * last[j], step * mean[j]
            w[i, j] += first * e[i, j] + second * s[i, j]
            w[i, units + j] += first * e[i, units + j] + second * s[i, units + j]
    bias = w.shape[0]
    for j in range(units):
        first, second = step * last[j], step * mean[j]
        b[j] += first * e[bias, j] + second * s[bias, j]
        b[units + j] += first * e[bias, units + j] + second * s[bias, units + j]


@kernel
def running_mean(h: F32, mask: F32, counts: F32, total: F32, mean: F32) -> None:
    """Add states `h` (batch, units) that count to `total`; onto `mean`: ``total / counts``."""
    for n in range(h.shape[0]):
        share = h.dtype.type(1) / counts[n]
        for j in range(h.shape[1]):
            total[n, j] += mask[n] * h[n, j]
            mean[n, j] = share * total[n, j]


@kernel
def scale_gates(e: F32, d: F32) -> None:
    """Onto `d` (rows, gates * units): each gate's slope times the error `e` (rows, units)."""
    units = e.shape[1]
    for n in range(d.shape[0]):
        for first in range(0, d.shape[1], units):
            for j in range(units):
                d[n, first + j] *= e[n, j]


@kernel
def gru(a: F32, u: F32, b: F32, mask: F32, states: F32, gain: F32) -> None:
    """One step of a GRU: reset, update and candidate gates; see `Stepwise.step`."""
    h = states[0]
    units = h.shape[1]
    one = h.dtype.type(1)
    for n in range(h.shape[0]):
        gain[n] = h.dtype.type(0)
        if mask[n] != h.dtype.type(0):
            for j in range(units):
                k, m = units + j, 2 * units + j
                r = sigmoid(a[n, j] + u[n, j] + b[j])
                z = sigmoid(a[n, k] + u[n, k] + b[k])
                c = tanh(a[n, m] + r * u[n, m] + b[m])
                by_c = z * (one - c * c)
                a[n, j] = by_c * u[n, m] * r * (one - r)
                a[n, k] = (c - h[n, j]) * z * (one - z)
                a[n, m] = by_c
                gain[n, j] = r
                h[n, j] += z * (c - h[n, j])


@kernel
def lstm(a: F32, u: F32, b: F32, mask: F32, states: F32, gain: F32) -> None:
    """One step of an LSTM: input, forget, output and cell gates; see `Stepwise.step`."""
    h, cell = states[0], states[1]
    units = h.shape[1]
    one = h.dtype.type(1)
    for n in range(h.shape[0]):
        gain[n] = h.dtype.type(0)
        if mask[n] != h.dtype.type(0):
            for j in range(units):
                k, m, q = units + j, 2 * units + j, 3 * units + j
                i = sigmoid(a[n, j] + u[n, j] + b[j])
                f = sigmoid(a[n, k] + u[n, k] + b[k])
                o = sigmoid(a[n, m] + u[n, m] + b[m])
                g = tanh(a[n, q] + u[n, q] + b[q])
                before = cell[n, j]
                cell[n, j] = f * before + i * g
                t = tanh(cell[n, j])
                by_cell = o * (one - t * t)
                a[n, j] = by_cell * g * i * (one - i)
                a[n, k] = by_cell * before * f * (one - f)
                a[n, m] = t * o * (one - o)
                a[n, q] = by_cell * i * (one - g * g)
                gain[n, j] = one
                h[n, j] = o * t


@kernel
def elman(a: F32, u: F32, b: F32, mask: F32, states: F32, relu: bool, gain: F32) -> None:
    """One step of a plain recurrent cell, tanh or relu; see `Stepwise.step`."""
    h = states[0]
    zero, one = h.dtype.type(0), h.dtype.type(1)
    for n in range(h.shape[0]):
        gain[n] = zero
        if mask[n] != zero:
            for j in range(h.shape[1]):
                z = a[n, j] + u[n, j] + b[j]
                h[n, j] = max(z, zero) if relu else tanh(z)
                slope = one - h[n, j] * h[n, j]
                if relu:
                    slope = one if z > zero else zero
                a[n, j] = slope
                gain[n, j] = one
