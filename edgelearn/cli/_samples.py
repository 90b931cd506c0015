"""Samples from the files and lines that `edgelearn predict` is given."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from edgelearn.arrays import Array
from edgelearn.datasets import npz
from edgelearn.datasets._masks import with_mask
from edgelearn.errors import DataFileError, DataShapeError, UnknownName

LENGTHS = {"x": "lengths", "x_test": "lengths_test"}
"""What says how many steps of each sample of an archive are real."""


def reader(path: Path) -> Callable[[Path], Iterator[Array]]:
    """What reads a file of that name."""
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return _npy
    if suffix == ".npz":
        return _npz
    if suffix in (".csv", ".tsv", ".txt"):
        return _text
    raise UnknownName(
        f"data {str(path)!r}",
        expected="a .npy, .npz, .csv, .tsv or .txt file",
        got=f"a file ending in {path.suffix!r}",
        fix="save the samples as one of these",
    )


def _npy(path: Path) -> Iterator[Array]:
    where = f"data {str(path)!r}"
    try:
        with path.open("rb") as file:
            if file.read(6) != b"\x93NUMPY":
                raise ValueError("another kind of file")
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, MemoryError) as error:
        raise DataFileError(
            where,
            expected="a whole .npy array, one sample a row",
            got=(str(error) or type(error).__name__).splitlines()[0],
            fix="write it again with numpy.save",
        ) from None
    yield from _rows(array, where)


def _npz(path: Path) -> Iterator[Array]:
    """Array x of an archive, or x_test; with its mask, if lengths stand beside it."""
    where = f"data {str(path)!r}"
    arrays = npz.read(path, where)
    key = next((key for key in ("x", "x_test") if key in arrays), None)
    if key is None:
        raise DataShapeError(
            where,
            expected="an array x, or x_test, of samples",
            got=", ".join(arrays) or "none",
            fix="save them with numpy.savez(path, x=samples)",
        )
    lengths = arrays.get(LENGTHS[key])
    samples = arrays[key]
    if lengths is not None:
        samples = with_mask(samples, lengths, f"{where}, {key}")
    yield from _rows(samples, f"{where}, {key}")


def _rows(array: Array, where: str) -> Iterator[Array]:
    if array.ndim < 2 or array.dtype.kind not in "fiub":
        raise DataShapeError(
            where,
            expected="an array of numbers, one sample a row",
            got=f"{array.dtype}{list(array.shape)}",
            fix="reshape it to (samples, features)",
        )
    yield from array


def _text(path: Path) -> Iterator[Array]:
    with path.open(encoding="utf-8", errors="replace") as lines:
        yield from lines_of(lines, str(path))


def lines_of(lines: Iterable[str], where: str) -> Iterator[Array]:
    for number, line in enumerate(lines, start=1):
        words = _words(line)
        if words:
            numbers = [_number(w, f"{where}, line {number}, column {c + 1}") for c, w in words]
            yield np.array(numbers)


def _words(line: str) -> list[tuple[int, str]]:
    """The fields of a line with their places; between separators an empty one counts too."""
    text = line.strip(" \r\n\f\v\ufeff")
    fields = re.split(r"[,;\t]", text) if re.search(r"[,;\t]", text) else text.split()
    if fields and not fields[-1].strip():
        fields.pop()  # a separator at the end of a line is a habit, no missing value
    return list(enumerate(field.strip() for field in fields))


def _number(word: str, where: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise DataFileError(
            where,
            expected="a number",
            got=repr(word[:40]) if word else "nothing",
            fix="remove headings and text columns, and samples with missing values",
        ) from None
