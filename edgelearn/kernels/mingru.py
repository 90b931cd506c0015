"""minGRU over a sequence; products with weights are made outside."""

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
def run(a: F32, b: F32, x: F32, features: int, h: F32, total: F32, out: F32) -> None:
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
def traces(a: F32, b: F32, x: F32, work: F32, h: F32, total: F32, e: F32, s: F32, out: F32) -> None:
    """`run`, and beside it the derivative of every state by its weights, forward in time.

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
def add(last: F32, mean: F32, e: F32, s: F32, out: F32) -> None:
    """Onto `out`: ``last * e + mean * s``; last, mean: (units,), for both halves."""
    units = last.size
    for i in range(out.shape[0]):
        for half in (0, units):
            total = out[i, half : half + units]
            first, second = e[i, half : half + units], s[i, half : half + units]
            for j in range(units):
                total[j] += last[j] * first[j] + mean[j] * second[j]
