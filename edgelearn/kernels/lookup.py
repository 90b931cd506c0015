"""Rows of a table by number. Numbers are float32 that hold whole numbers of the table's range."""

from __future__ import annotations

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
def add_to_rows(tokens: F32, d: F32, share: F32, table: F32) -> None:
    """Onto `table`: ``share[n, t] * d[n]`` for the row of each token; `d` (batch, units)."""
    zero = d.dtype.type(0)
    for n in range(tokens.shape[0]):
        error = d[n]
        for t in range(tokens.shape[1]):
            part = share[n, t]
            if part != zero:
                row = table[int(tokens[n, t, 0])]
                for j in range(row.size):
                    row[j] += part * error[j]
