"""Samples of different lengths: padded at the end, and a last channel that says what is real.

A masked sample has shape (steps, features + 1). Its last channel is 1 in a real step and 0 in
padding; features are 0 in padding, which is at the end. Every sample has a real step.
"""

from __future__ import annotations

import numpy as np

from edgelearn.arrays import Array
from edgelearn.errors import DataShapeError, DataValueError


def with_mask(x: Array, lengths: Array, where: str) -> Array:
    """`x` (samples, steps, features) with its mask; what it holds beyond the lengths is dropped.

    >>> with_mask(np.array([[[3], [4]], [[5], [6]]]), np.array([2, 1]), "x").tolist()
    [[[3, 1], [4, 1]], [[5, 1], [0, 0]]]
    """
    if x.ndim != 3 or x.dtype.kind not in "fiub" or not x.size:
        raise DataShapeError(
            where,
            expected="numbers of shape (samples, steps, features) where lengths are given",
            got=f"{x.dtype}{list(x.shape)}",
            fix="pad every sample to the longest; one feature alone is x[:, :, None]",
        )
    samples, steps, features = x.shape
    _check_lengths(lengths, samples, steps, where)
    result = np.zeros((samples, steps, features + 1), x.dtype)
    real = np.arange(steps) < lengths[:, None]
    result[real, :-1] = x[real]
    result[real, -1] = 1
    return result


def _check_lengths(lengths: Array, samples: int, steps: int, where: str) -> None:
    expected = f"{samples} lengths, integers from 1 to {steps} (the steps of x)"
    fix = "give every sample the number of its real steps"
    if lengths.shape != (samples,) or lengths.dtype.kind not in "iu":
        got = f"lengths {lengths.dtype}{list(lengths.shape)}"
        raise DataShapeError(where, expected=expected, got=got, fix=fix)
    bad = np.flatnonzero((lengths < 1) | (lengths > steps))
    if bad.size:
        got = f"{lengths[bad[0]]} ({bad.size} such lengths in all)"
        raise DataValueError(
            f"{where}, lengths, row {bad[0] + 1}", expected=expected, got=got, fix=fix
        )


def check_mask(x: Array, where: str) -> None:
    """Raise unless every sample of `x` keeps the rules of a masked sample."""
    if x.ndim != 3 or x.shape[2] < 2:
        raise DataShapeError(
            where,
            expected="masked samples of shape (steps, features + 1)",
            got=f"{list(x.shape[1:])}",
            fix="add a last channel: 1 in real steps, 0 in padding",
        )
    real = x[..., -1] == 1
    lengths = real.sum(axis=1)
    whole = (real == (np.arange(x.shape[1]) < lengths[:, None])).all(axis=1) & (lengths > 0)
    clean = ~(x.any(axis=2) & ~real).any(axis=1)
    bad = np.flatnonzero(~(whole & clean))
    if bad.size:
        raise DataValueError(
            f"{where}, row {bad[0] + 1}",
            expected="a last channel of 1 in real steps, then 0, with features 0 there",
            got=f"another one ({bad.size} such samples in all)",
            fix="pad at the end with zeros, mask included",
        )
