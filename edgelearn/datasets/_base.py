"""What a data set is, and how it is named in a recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import msgspec
import numpy as np

from edgelearn.arrays import Array, Shape, check_finite
from edgelearn.errors import DataShapeError, DataValueError

Progress: TypeAlias = Callable[[str, int, int], None]
"""Told of long work: what it is, bytes done, bytes in all (0 if unknown)."""


def no_progress(what: str, done: int, total: int) -> None:
    """Tell nobody."""


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """``[dataset]``: a data set by `name`, or files of a `format` at `path`."""

    name: str | None = None
    format: str | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class DataSpec:
    """Shape of one sample, and the class names in the order of the labels."""

    in_shape: Shape
    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Samples and labels, split into training and test parts.

    Attributes
    ----------
    name : str
    x_train, x_test : array, shape (samples, *in_shape)
        Any number type: they become float32 a batch at a time.
    y_train, y_test : int64 array, shape (samples,)
        Indices into `classes`.
    classes : tuple of str
    """

    name: str
    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array
    classes: tuple[str, ...]

    @property
    def spec(self) -> DataSpec:
        """Shape of one sample, and the classes."""
        return DataSpec(self.x_train.shape[1:], self.classes)

    @property
    def nbytes(self) -> int:
        """Bytes of all samples and labels."""
        return sum(a.nbytes for a in (self.x_train, self.y_train, self.x_test, self.y_test))

    def checked(self) -> Dataset:
        """This data set, or a `DataError` that says what is wrong with it."""
        for part in ("train", "test"):
            x, y = getattr(self, f"x_{part}"), getattr(self, f"y_{part}")
            where = f"data {self.name!r}, {part} part"
            check_samples(x, y, where)
            check_finite(x, where)
            check_labels(y, len(self.classes), where)
        if self.x_test.shape[1:] != self.x_train.shape[1:]:
            raise DataShapeError(
                f"data {self.name!r}",
                expected=f"test samples of shape {list(self.x_train.shape[1:])}, as in training",
                got=f"{list(self.x_test.shape[1:])}",
                fix="give both parts the same features",
            )
        return self


def check_samples(x: Array, y: Array, where: str) -> None:
    """Raise unless there are samples, numbers all, and one label for each."""
    if x.ndim < 2 or x.dtype.kind not in "fiub" or not x.size:
        raise DataShapeError(
            where,
            expected="numbers of shape (samples, features...), at least one sample",
            got=f"{x.dtype}{list(x.shape)}",
            fix="store one sample a row, numbers only",
        )
    if y.shape != (len(x),):
        raise DataShapeError(
            where,
            expected=f"{len(x)} labels, one a sample",
            got=f"labels of shape {list(y.shape)}",
            fix="give every sample one label",
        )


def check_labels(y: Array, classes: int, where: str) -> None:
    """Raise `DataValueError` if a label is no index of a class."""
    bad = np.flatnonzero((y < 0) | (y >= classes))
    if bad.size:
        raise DataValueError(
            f"{where}, row {bad[0]}",
            expected=f"labels from 0 to {classes - 1}",
            got=f"{y[bad[0]]} ({bad.size} such labels in all)",
            fix="correct these labels or remove their samples",
        )
