"""IDX files, gzip or not: the format of MNIST. `path` is the folder of the four files."""

from __future__ import annotations

import gzip
import io
import math
import zlib
from pathlib import Path

import numpy as np

from edgelearn.arrays import Array
from edgelearn.datasets._base import (
    Dataset,
    DataSpec,
    Progress,
    Source,
    class_numbers,
    numbered,
)
from edgelearn.errors import ConfigError, DataFileError, MissingFile

PARTS = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
MAX_RANK = 8
MAX_BYTES = 1 << 30
"""No gzip file is unpacked further than this."""


def describe(source: Source) -> DataSpec:
    """Shape and classes, from the files."""
    return load(source, lambda *_: None).spec


def load(source: Source, progress: Progress) -> Dataset:
    """The four files of the folder `source.path`."""
    if source.path is None:
        raise ConfigError(
            "dataset", expected="a path", got="none", fix='write path = "folder/of/idx/files"'
        )
    return read_folder(Path(source.path), Path(source.path).name)


def read_folder(folder: Path, name: str) -> Dataset:
    """The data set in `folder`, its classes named by their numbers."""
    arrays = {key: decode(_content(folder, stem), stem) for key, stem in PARTS.items()}
    y_train, y_test = (
        class_numbers(arrays[key], f"data file {PARTS[key]!r}") for key in ("y_train", "y_test")
    )
    classes = numbered(y_train, y_test)
    return Dataset(name, arrays["x_train"], y_train, arrays["x_test"], y_test, classes)


def _content(folder: Path, stem: str) -> bytes:
    for path in (folder / stem, folder / f"{stem}.gz"):
        if path.is_file():
            content = path.read_bytes()
            return decompress(content, str(path)) if path.suffix == ".gz" else content
    raise MissingFile(
        f"data folder {str(folder)!r}",
        expected=f"a file {stem} or {stem}.gz",
        got="neither",
        fix="name the folder that holds the four IDX files",
    )


def decompress(content: bytes, where: str) -> bytes:
    """The bytes in a gzip file, or `DataFileError`."""
    try:
        with gzip.open(io.BytesIO(content)) as packed:
            found = packed.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(where, "a whole gzip file", str(error)) from None
    if len(found) > MAX_BYTES:
        raise _damaged(where, f"at most {MAX_BYTES} bytes of data", "more")
    return found


def decode(content: bytes, where: str) -> Array:
    """The array in an IDX file; `where` is named in errors.

    >>> decode(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9]), "two").tolist()
    [7, 9]
    """
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in TYPES:
        raise _damaged(where, "an IDX file", f"first bytes {content[:4].hex(' ')}")
    dtype, rank = np.dtype(TYPES[content[2]]), content[3]
    start = 4 + 4 * rank
    if not 0 < rank <= MAX_RANK or len(content) < start:
        raise _damaged(where, f"1 to {MAX_RANK} dimensions", f"{rank} in {len(content)} bytes")
    shape = tuple(int(n) for n in np.frombuffer(content[4:start], ">u4"))
    size_bytes = dtype.itemsize * math.prod(shape)
    if not size_bytes or len(content) != start + size_bytes:
        expected = f"{size_bytes} bytes of data" if size_bytes else "data"
        raise _damaged(where, expected, f"{len(content) - start} bytes for shape {list(shape)}")
    values = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return values.astype(dtype.newbyteorder("="), copy=False)


def _damaged(where: str, expected: str, got: str) -> DataFileError:
    return DataFileError(
        f"data file {where!r}", expected=expected, got=got, fix="fetch or write the file again"
    )
