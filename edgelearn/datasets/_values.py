"""Targets that are values: what a regression learns, one column an output."""

from __future__ import annotations

import numpy as np

from edgelearn.arrays import F32, Array, as_f32, check_finite
from edgelearn.errors import DataShapeError, DataValueError


def target_values(y: Array, where: str) -> F32:
    """`y`, shape (samples,) or (samples, outputs), as float32 of shape (samples, outputs).

    >>> target_values(np.array([1, 2]), "y").tolist()
    [[1.0], [2.0]]
    """
    if y.ndim not in (1, 2) or y.dtype.kind not in "fiub" or not y.size:
        raise DataShapeError(
            where,
            expected="numbers of shape (samples,) or (samples, outputs)",
            got=f"{y.dtype}{list(y.shape)}",
            fix="store the values to be predicted, one row a sample",
        )
    columns = y.reshape(len(y), -1)
    check_finite(columns, where, ("row", "output"))
    return as_f32(columns)


def numbered_outputs(count: int) -> tuple[str, ...]:
    """Names of outputs that have none.

    >>> numbered_outputs(1), numbered_outputs(2)
    (('y',), ('y1', 'y2'))
    """
    return ("y",) if count == 1 else tuple(f"y{i + 1}" for i in range(count))


def check_values(y: Array, outputs: tuple[str, ...], where: str) -> None:
    """Raise unless `y` is float32 with a finite column for each of `outputs`."""
    if y.dtype != np.float32 or y.shape[1:] != (len(outputs),):
        raise DataShapeError(
            where,
            expected=f"float32 targets of {len(outputs)} outputs",
            got=f"{y.dtype}{list(y.shape)}",
            fix="give every sample one value for each output",
        )
    check_finite(y, f"{where}, targets", ("row", "output"))


def check_spread(y: Array, outputs: tuple[str, ...], where: str) -> None:
    """Raise `DataValueError` if an output never changes: there is nothing to learn."""
    for column, name in enumerate(outputs):
        if (y[:, column] == y[0, column]).all():
            raise DataValueError(
                f"{where}, output {name!r}",
                expected="values that differ",
                got=f"{y[0, column]} for every sample",
                fix="leave this output out",
            )
