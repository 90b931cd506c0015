"""The one door for arrays: float32, C-contiguous, finite."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgelearn.errors import DataValueError

Array: TypeAlias = NDArray[Any]
F32: TypeAlias = NDArray[np.float32]
Shape: TypeAlias = tuple[int, ...]


def as_f32(values: ArrayLike) -> F32:
    """`values` as a C-contiguous float32 array, copied only when it is not one already.

    >>> as_f32([[1, 2], [3, 4]]).dtype
    dtype('float32')
    """
    return np.require(np.asarray(values), dtype=np.float32, requirements=["C"])


def check_finite(values: Array, where: str) -> None:
    """Raise `DataValueError` at the first NaN or infinity in `values`.

    >>> check_finite(np.ones(3), "x")
    """
    if values.dtype.kind != "f":
        return
    good = np.isfinite(values)
    if good.all():
        return
    first = tuple(int(i) for i in np.argwhere(~good)[0])
    row, rest = first[0], first[1:]
    place = f"row {row}" + (f", feature {rest[0] if len(rest) == 1 else rest}" if rest else "")
    raise DataValueError(
        f"{where}, {place}",
        expected="finite numbers",
        got=f"{values[first]} ({int((~good).sum())} such values in all)",
        fix="remove or impute these samples before training",
    )
