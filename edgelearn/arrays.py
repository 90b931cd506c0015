"""The one door for arrays: float32, C-contiguous, finite."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgelearn.errors import DataValueError

Array: TypeAlias = NDArray[Any]
F32: TypeAlias = NDArray[np.float32]
Mask: TypeAlias = NDArray[np.uint8]
"""1 for a weight that stays, 0 for one that is 0; the shape of the weights."""
Shape: TypeAlias = tuple[int, ...]


def as_f32(values: ArrayLike) -> F32:
    """`values` as a C-contiguous float32 array, copied only when it is not one already.

    >>> as_f32([[1, 2], [3, 4]]).dtype
    dtype('float32')
    """
    return np.require(np.asarray(values), dtype=np.float32, requirements=["C"])


def check_finite(values: Array, where: str, axes: tuple[str, str] = ("row", "feature")) -> None:
    """Raise `DataValueError` at the first value that is NaN, infinite or beyond float32.

    `axes` says what the first index and the rest, counted from 1, are called in the message.

    >>> check_finite(np.ones(3), "x")
    """
    largest = float(np.finfo(np.float32).max)
    if values.dtype.kind != "f" or not values.size:
        return
    if float(values.min()) >= -largest and float(values.max()) <= largest:  # NaN makes both false
        return
    bad = ~np.isfinite(values)
    if values.itemsize > 4:
        bad |= np.abs(values) > largest
    first = tuple(int(i) for i in np.argwhere(bad)[0])
    row, *rest = (i + 1 for i in first)
    place = f"{axes[0]} {row}"
    place += f", {axes[1]} {rest[0] if len(rest) == 1 else tuple(rest)}" if rest else ""
    raise DataValueError(
        f"{where}, {place}",
        expected="finite numbers within float32",
        got=f"{values[first]} ({int(bad.sum())} such values in all)",
        fix="remove or impute these samples before training",
    )
