"""Rows of a table by number. Numbers are float32 that hold whole numbers of the table's range."""

from __future__ import annotations

import math

from edgelearn.kernels._jit import F32, kernel


@kernel
def rows(tokens: F32, table: F32, out: F32) -> None:
    """Onto `out` (batch, steps, units + some): the row of each token of `tokens`.

    `tokens` is (batch, steps, channels); the token is the first channel, the others are copied
    after the row.
    """
    units = table.shape[1]
    for n in range(tokens.shape[0]):
        for t in range(tokens.shape[1]):
            row, target = table[int(tokens[n, t, 0])], out[n, t]
            for j in range(units):
                target[j] = row[j]
            for c in range(1, tokens.shape[2]):
                target[units + c - 1] = tokens[n, t, c]


@kernel
def unknown(tokens: F32, vocabulary: int, bad: F32) -> None:
    """Onto `bad` (2,): how many tokens are no number of a row, and the first of them."""
    zero, one = bad.dtype.type(0), bad.dtype.type(1)
    bad[0], bad[1] = zero, zero
    for n in range(tokens.shape[0]):
        for t in range(tokens.shape[1]):
            token = tokens[n, t, 0]
            if not (zero <= token < vocabulary and token == math.floor(token)):
                if bad[0] == zero:
                    bad[1] = token
                bad[0] += one


@kernel
def mean_of_steps(x: F32, out: F32) -> None:
    """Onto `out` (batch, units): means of `x` (batch, steps, units), or of those its mask says."""
    zero, one = x.dtype.type(0), x.dtype.type(1)
    units = out.shape[1]
    out[:] = zero
    for n in range(x.shape[0]):
        count = zero
        for t in range(x.shape[1]):
            part = x[n, t, units] if x.shape[2] > units else one
            count += part
            for j in range(units):
                out[n, j] += part * x[n, t, j]
        for j in range(units):
            out[n, j] /= max(count, one)


@kernel
def add_to_rows(tokens: F32, d: F32, table: F32) -> None:
    """Onto `table`: the share of each step times ``d[n]`` for the row of its token.

    `d` (batch, units) is that of the mean over the steps.
    """
    zero, one = d.dtype.type(0), d.dtype.type(1)
    for n in range(tokens.shape[0]):
        error, count = d[n], zero
        for t in range(tokens.shape[1]):
            count += tokens[n, t, 1] if tokens.shape[2] > 1 else one
        share = one / max(count, one)
        for t in range(tokens.shape[1]):
            part = share * tokens[n, t, 1] if tokens.shape[2] > 1 else share
            if part != zero:
                row = table[int(tokens[n, t, 0])]
                for j in range(row.size):
                    row[j] += part * error[j]
