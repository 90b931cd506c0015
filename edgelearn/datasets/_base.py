"""What a data set is, and how it is named in a recipe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Literal, TypeAlias

import msgspec
import numpy as np

from edgelearn.arrays import Array, Shape, check_finite
from edgelearn.datasets._masks import check_mask
from edgelearn.datasets._values import check_spread, check_values
from edgelearn.errors import DataShapeError, DataValueError

MAX_CLASSES = 1 << 16

Progress: TypeAlias = Callable[[str, int, int], None]
"""Told of long work: what it is, bytes done, bytes in all (0 if unknown)."""


def no_progress(what: str, done: int, total: int) -> None:
    """Tell nobody."""


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """``[dataset]``: a data set by `name`, or files of a `format` at `path`.

    `target`: whether y of an archive holds class numbers or the values of a regression.
    `samples`: train on this many of the first training samples; the test part stays whole.
    """

    name: str | None = None
    format: str | None = None
    path: str | None = None
    target: Literal["class", "value"] = "class"
    samples: Annotated[int, msgspec.Meta(ge=1)] | None = None


@dataclass(frozen=True, slots=True)
class DataSpec:
    """Shape of one sample, and the class names in the order of the labels.

    `masked`: the last channel of a sample says which of its steps are real. `outputs`: names of
    what a regression predicts; there are no classes then.
    """

    in_shape: Shape
    classes: tuple[str, ...]
    masked: bool = False
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Samples and labels, split into training and test parts.

    Attributes
    ----------
    name : str
    x_train, x_test : array, shape (samples, *in_shape)
        Any number type: they become float32 a batch at a time.
    y_train, y_test : array
        int64 (samples,), indices into `classes`; or float32 (samples, outputs), if there are
        `outputs`.
    classes : tuple of str
    masked : bool
        Samples are of different lengths: shape (steps, features + 1), the last channel 1 in real
        steps and 0 in padding, which is at the end and 0 in all features.
    outputs : tuple of str
        Names of the values to be predicted, instead of classes.
    """

    name: str
    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array
    classes: tuple[str, ...]
    masked: bool = False
    outputs: tuple[str, ...] = ()

    @property
    def spec(self) -> DataSpec:
        """Shape of one sample, and the classes or outputs."""
        return DataSpec(self.x_train.shape[1:], self.classes, self.masked, self.outputs)

    @property
    def nbytes(self) -> int:
        """Bytes of all samples and labels."""
        return sum(a.nbytes for a in (self.x_train, self.y_train, self.x_test, self.y_test))

    def first(self, samples: int) -> Dataset:
        """This data set with at most so many of its first training samples."""
        return replace(self, x_train=self.x_train[:samples], y_train=self.y_train[:samples])

    def checked(self) -> Dataset:
        """This data set, or a `DataError` that says what is wrong with it."""
        for part in ("train", "test"):
            x, y = getattr(self, f"x_{part}"), getattr(self, f"y_{part}")
            where = f"data {self.name!r}, {part} part"
            if self.outputs:
                check_values(y, self.outputs, where)
            check_samples(x, y[:, 0] if self.outputs else y, where)
            check_finite(x, where)
            if not self.outputs:
                check_labels(y, len(self.classes), where)
            if self.masked:
                check_mask(x, where)
        self._check_names()
        if self.outputs:
            check_spread(self.y_train, self.outputs, f"data {self.name!r}, train part")
        else:
            self._check_classes()
        if self.x_test.shape[1:] != self.x_train.shape[1:]:
            raise DataShapeError(
                f"data {self.name!r}",
                expected=f"test samples of shape {list(self.x_train.shape[1:])}, as in training",
                got=f"{list(self.x_test.shape[1:])}",
                fix="give both parts the same features",
            )
        return self

    def _check_names(self) -> None:
        kind = "output" if self.outputs else "class"
        names = Counter(self.outputs or self.classes)
        twice = [name for name, count in names.items() if count > 1]
        if twice:
            raise DataValueError(
                f"data {self.name!r}",
                expected=f"a name of its own for every {kind}",
                got=f"{twice[0]!r} more than once",
                fix=f"name each {kind} once",
            )

    def _check_classes(self) -> None:
        if (self.y_train == self.y_train[0]).all():
            raise DataValueError(
                f"data {self.name!r}, train part",
                expected="samples of at least two classes",
                got=f"samples of class {self.classes[self.y_train[0]]!r} only",
                fix="add samples of what it is to be told from",
            )


def class_numbers(y: Array, where: str) -> Array:
    """`y` as int64 class numbers, or a `DataValueError` that names the first that is none."""
    if y.dtype.kind not in "iuf":
        raise DataValueError(
            where,
            expected="class numbers 0, 1, 2, ...",
            got=f"{y.dtype} labels",
            fix="store labels as integers, and their names in an array 'classes'",
        )
    bad = np.flatnonzero(~((y >= 0) & (y < MAX_CLASSES) & (y == np.floor(y))))
    if bad.size:
        raise DataValueError(
            f"{where}, row {bad[0] + 1}",
            expected=f"class numbers from 0 to at most {MAX_CLASSES - 1}",
            got=f"{y.flat[bad[0]]} ({bad.size} such labels in all)",
            fix='number the classes 0, 1, 2, ..., or write target = "value" for a regression',
        )
    return y.astype(np.int64)


def numbered(*parts: Array) -> tuple[str, ...]:
    """Names of classes that have none: their numbers, up to the largest label of all parts."""
    count = 1 + max(int(part.max(initial=0)) for part in parts)
    return tuple(str(c) for c in range(count))


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
            f"{where}, row {bad[0] + 1}",
            expected=f"labels from 0 to {classes - 1}",
            got=f"{y[bad[0]]} ({bad.size} such labels in all)",
            fix="correct these labels or remove their samples",
        )
