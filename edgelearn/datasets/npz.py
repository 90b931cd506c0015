"""NumPy archives: ``x_train, y_train, x_test, y_test``, or ``x, y``, which are split 80/20.

An optional array ``classes`` names the classes; else they are named by their numbers.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from edgelearn.arrays import Array
from edgelearn.datasets._base import Dataset, DataSpec, Progress, Source, check_samples, no_progress
from edgelearn.errors import ConfigError, DataFileError, DataShapeError, DataValueError
from edgelearn.files import require_file
from edgelearn.rng import Stream, permutation

PARTS = ("x_train", "y_train", "x_test", "y_test")
TRAIN_SHARE = 0.8


def describe(source: Source) -> DataSpec:
    """Shape and classes, from the archive."""
    return load(source, no_progress).spec


def load(source: Source, progress: Progress) -> Dataset:
    """The archive at `source.path`."""
    if source.path is None:
        raise ConfigError("dataset", expected="a path", got="none", fix='write path = "data.npz"')
    path = require_file(Path(source.path), "data", "name an .npz file that exists")
    arrays = _read(path)
    parts = arrays if set(PARTS) <= arrays.keys() else _split(arrays, path)
    x = {key: parts[key] for key in PARTS if key[0] == "x"}
    y = {key: _labels(parts[key], f"data {str(path)!r}, {key}") for key in PARTS if key[0] == "y"}
    count = int(max(labels.max(initial=0) for labels in y.values())) + 1
    classes = tuple(str(c) for c in arrays.get("classes", np.arange(count)))
    return Dataset(path.stem, **x, **y, classes=classes)


def _read(path: Path) -> dict[str, Array]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not hasattr(archive, "files"):
                raise ValueError("a single array, no archive")
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataFileError(
            f"data {str(path)!r}",
            expected="a whole .npz archive of plain arrays",
            got=str(error).splitlines()[0],
            fix="write it again with numpy.savez",
        ) from None


def _split(arrays: dict[str, Array], path: Path) -> dict[str, Array]:
    if not {"x", "y"} <= arrays.keys():
        raise DataShapeError(
            f"data {str(path)!r}",
            expected=f"arrays {', '.join(PARTS)}, or x and y",
            got=", ".join(arrays) or "none",
            fix="rename the arrays",
        )
    x, y = arrays["x"], arrays["y"]
    check_samples(x, y, f"data {str(path)!r}")
    order = permutation(0, Stream.SPLIT, 0, len(x))
    cut = round(TRAIN_SHARE * len(x))
    train, test = np.sort(order[:cut]), np.sort(order[cut:])
    return {"x_train": x[train], "y_train": y[train], "x_test": x[test], "y_test": y[test]}


def _labels(y: Array, where: str) -> Array:
    if y.dtype.kind in "iu":
        return y.astype(np.int64)
    if y.dtype.kind == "f" and np.array_equal(y, np.floor(y)):
        return y.astype(np.int64)
    raise DataValueError(
        where,
        expected="class numbers 0, 1, 2, ...",
        got=f"{y.dtype} labels",
        fix="store labels as integers, and their names in an array 'classes'",
    )
