"""NumPy archives: ``x_train, y_train, x_test, y_test``, or ``x, y``, which are split 80/20.

An optional array ``classes`` names the classes; else they are named by their numbers. With
``target = "value"`` y holds what a regression predicts, of shape (samples,) or (samples, outputs),
and an optional array ``outputs`` names it. Optional
arrays ``lengths_train, lengths_test``, or ``lengths``, say how many steps of each sample are
real, for samples of shape (steps, features) that were padded; the mask is then added to them.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgelearn.arrays import Array, check_finite
from edgelearn.datasets._base import (
    Dataset,
    DataSpec,
    Progress,
    Source,
    check_samples,
    class_numbers,
    no_progress,
    numbered,
)
from edgelearn.datasets._masks import with_mask
from edgelearn.datasets._values import numbered_outputs, target_values
from edgelearn.errors import ConfigError, DataFileError, DataShapeError
from edgelearn.files import require_file
from edgelearn.rng import Stream, permutation

PARTS = ("x_train", "y_train", "x_test", "y_test")
LENGTHS = {"lengths": "x", "lengths_train": "x_train", "lengths_test": "x_test"}
TARGETS: dict[str, Callable[[Array, str], Array]] = {
    "class": class_numbers,
    "value": target_values,
}
"""What makes labels of an array y."""
TRAIN_SHARE = 0.8
_DAMAGE = (
    OSError,
    ValueError,
    EOFError,
    MemoryError,
    RuntimeError,  # encrypted, or packed in a way that zipfile does not know
    zipfile.BadZipFile,
    zlib.error,
)


def describe(source: Source) -> DataSpec:
    """Shape and classes, from the archive."""
    return load(source, no_progress).spec


def load(source: Source, progress: Progress) -> Dataset:
    """The archive at `source.path`."""
    if source.path is None:
        raise ConfigError("dataset", expected="a path", got="none", fix='write path = "data.npz"')
    path = require_file(Path(source.path), "data", "name an .npz file that exists")
    where = f"data {str(path)!r}"
    arrays = read(path, where)
    masked = not LENGTHS.keys().isdisjoint(arrays)
    if masked:
        arrays |= _masked(arrays, where)
    parts = arrays if set(PARTS) <= arrays.keys() else _split(arrays, source.target, where)
    read_targets = TARGETS[source.target]
    y_train, y_test = (read_targets(parts[k], f"{where}, {k}") for k in ("y_train", "y_test"))
    classes: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    if source.target == "value":
        outputs = _names(arrays, "outputs", where) or numbered_outputs(y_train.shape[1])
    else:
        classes = _names(arrays, "classes", where) or numbered(y_train, y_test)
    return Dataset(
        name=path.stem,
        x_train=parts["x_train"],
        y_train=y_train,
        x_test=parts["x_test"],
        y_test=y_test,
        classes=classes,
        masked=masked,
        outputs=outputs,
    )


def read(path: Path, where: str) -> dict[str, Array]:
    """The arrays in the archive at `path`, or `DataFileError`; `where` is named in it."""
    key = "the archive"
    found: dict[str, Array] = {}
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("no zip archive, or a part of one")
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            for key in archive.files:
                found[key] = archive[key]
    except _DAMAGE as error:
        raise DataFileError(
            f"{where}, {key}",
            expected="a whole .npz archive of plain arrays, no larger than memory",
            got=(str(error) or type(error).__name__).splitlines()[0],
            fix="write it again with numpy.savez, numbers and texts only",
        ) from None
    return found


def _masked(arrays: dict[str, Array], where: str) -> dict[str, Array]:
    """Every array of samples with its mask."""
    whole = set(PARTS) <= arrays.keys()
    wanted = {"lengths_train", "lengths_test"} if whole else {"lengths"}
    given = arrays.keys() & LENGTHS.keys()
    if given != wanted or not {LENGTHS[key] for key in wanted} <= arrays.keys():
        raise DataShapeError(
            where,
            expected="lengths_train and lengths_test beside x_train and x_test, lengths beside x",
            got=", ".join(arrays),
            fix="store the number of real steps of every sample, or of none",
        )
    return {
        LENGTHS[key]: with_mask(arrays[LENGTHS[key]], arrays[key], f"{where}, {LENGTHS[key]}")
        for key in sorted(wanted)
    }


def _split(arrays: dict[str, Array], target: str, where: str) -> dict[str, Array]:
    if not {"x", "y"} <= arrays.keys():
        raise DataShapeError(
            where,
            expected=f"arrays {', '.join(PARTS)}, or x and y",
            got=", ".join(arrays) or "none",
            fix="rename the arrays",
        )
    x, y = arrays["x"], arrays["y"]
    check_samples(x, y[:, 0] if target == "value" and y.ndim == 2 else y, where)
    # Checked before the split, so that a message names the row in the file.
    check_finite(x, f"{where}, x")
    TARGETS[target](y, f"{where}, y")
    if len(x) < 2:
        raise DataShapeError(
            where, expected="two samples or more to split", got="one", fix="record more samples"
        )
    order = permutation(0, Stream.SPLIT, 0, len(x))
    cut = min(round(TRAIN_SHARE * len(x)), len(x) - 1)
    train, test = np.sort(order[:cut]), np.sort(order[cut:])
    return {"x_train": x[train], "y_train": y[train], "x_test": x[test], "y_test": y[test]}


def _names(arrays: dict[str, Array], key: str, where: str) -> tuple[str, ...]:
    """The names in array `key`, none if there is no such array."""
    if key not in arrays:
        return ()
    names = arrays[key]
    if names.ndim != 1 or names.dtype.kind not in "USiu":
        raise DataShapeError(
            f"{where}, {key}",
            expected="a list of names, one each",
            got=f"{names.dtype}{list(names.shape)}",
            fix=f'store e.g. {key} = numpy.array(["no", "yes"])',
        )
    texts = np.char.decode(names, "utf-8", "replace") if names.dtype.kind == "S" else names
    return tuple(str(name) for name in texts)
