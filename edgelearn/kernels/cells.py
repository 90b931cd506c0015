"""Recurrent cells: one step of one sample, element by element.

Inputs are the products of the weights with the input, `a`, and with what is fed back, `u` (gates *
units each), and the bias `b`. The state moves; `a` then holds the derivative of the new state by
each gate's sum; `u` is used up. Loops touch few arrays at a time, or compilers would not put them
into vector registers (10 times as fast for a GRU of 128 units).
"""

from __future__ import annotations

from edgelearn.kernels._jit import F32, kernel
from edgelearn.kernels.functions import sigmoid, tanh


@kernel
def _add(u: F32, b: F32, a: F32) -> None:
    """Onto `a`: ``a + u + b``."""
    for j in range(a.size):
        a[j] += u[j] + b[j]


@kernel
def elman(u: F32, b: F32, relu: bool, h: F32, a: F32) -> None:
    """A plain recurrent cell, tanh or relu."""
    zero, one = a.dtype.type(0), a.dtype.type(1)
    _add(u, b, a)
    if relu:
        for j in range(h.size):
            h[j] = max(a[j], zero)
            a[j] = one if a[j] > zero else zero
    else:
        for j in range(h.size):
            h[j] = tanh(a[j])
            a[j] = one - h[j] * h[j]


@kernel
def leaky(u: F32, b: F32, rates: F32, h: F32, a: F32, gain: F32) -> None:
    """A leaky cell: ``h + rates * (c - h)``, c = tanh of the sum; `a` is then the slope of c.

    Onto `gain`: ``(1 - rates) * (c - h)`` with h before the step.
    """
    one = a.dtype.type(1)
    _add(u, b, a)
    for j in range(h.size):
        a[j] = tanh(a[j])
        gain[j] = (one - rates[j]) * (a[j] - h[j])
    for j in range(h.size):
        h[j] += rates[j] * (a[j] - h[j])
        a[j] = one - a[j] * a[j]


@kernel
def gru(u: F32, b: F32, h: F32, a: F32, gain: F32) -> None:
    """A GRU: gates r, z, c. Onto `gain`: r, the factor of the last slope for recurrent weights."""
    units = h.size
    one = a.dtype.type(1)
    r, z, c = a[:units], a[units : 2 * units], a[2 * units :]
    fed, bias = u[2 * units :], b[2 * units :]
    gates = a[: 2 * units]
    _add(u[: 2 * units], b[: 2 * units], gates)
    for j in range(gates.size):
        gates[j] = sigmoid(gates[j])
    for j in range(units):
        gain[j] = r[j]
    for j in range(units):
        c[j] = tanh(c[j] + gain[j] * fed[j] + bias[j])
    for j in range(units):
        r[j] *= (one - r[j]) * fed[j]
    for j in range(units):
        gap, update = c[j] - h[j], z[j]
        h[j] += update * gap
        z[j] = gap * update * (one - update)
        c[j] = update * (one - c[j] * c[j])
    for j in range(units):
        r[j] *= c[j]


@kernel
def lstm(u: F32, b: F32, h: F32, cell: F32, a: F32) -> None:
    """An LSTM: gates i, f, o, g."""
    units = h.size
    one = a.dtype.type(1)
    gates = a[: 3 * units]
    i, f, o = gates[:units], gates[units : 2 * units], gates[2 * units :]
    g, by_cell = a[3 * units :], u[:units]
    _add(u, b, a)
    for j in range(gates.size):
        gates[j] = sigmoid(gates[j])
    for j in range(units):
        before = cell[j]
        g[j] = tanh(g[j])
        cell[j] = f[j] * before + i[j] * g[j]
        f[j] = before * f[j] * (one - f[j])
    for j in range(units):
        new = g[j]
        g[j] = i[j] * (one - new * new)
        i[j] = new * i[j] * (one - i[j])
    for j in range(units):
        t = tanh(cell[j])
        h[j] = o[j] * t
        by_cell[j] = o[j] * (one - t * t)
        o[j] *= t * (one - o[j])
    for j in range(units):
        i[j] *= by_cell[j]
        f[j] *= by_cell[j]
        g[j] *= by_cell[j]
