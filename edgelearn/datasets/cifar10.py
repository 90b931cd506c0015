"""CIFAR-10: small colour images of ten classes (Krizhevsky 2009).

Read from the binary version, cifar-10-binary.tar.gz (md5 c32a1d4ab5d03f1284b67883e8d87530), in a
folder ``cifar10`` below ``EDGELEARN_DATA``; files may be gzipped. The training part is every
``data_batch_1`` to ``data_batch_5`` that is there, 10,000 images each, the test part all of
``test_batch``: an accuracy on fewer than 50,000 and 10,000 images compares with nothing published.
The authors state no licence, so nothing is downloaded.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgelearn.arrays import Array
from edgelearn.datasets import _local, idx
from edgelearn.datasets._base import Dataset, DataSpec, Progress, Source
from edgelearn.errors import DataFileError

HOW = (
    "unpack the .bin files of https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz into a "
    "folder cifar10 below EDGELEARN_DATA"
)
CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer",
    "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
SIDE = 32
RECORD_BYTES = 1 + 3 * SIDE * SIDE
BATCHES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))


def describe(source: Source) -> DataSpec:
    """32x32 pixels of red, green and blue; ten classes."""
    return DataSpec((SIDE, SIDE, 3), CLASSES)


def load(source: Source, progress: Progress) -> Dataset:
    """Images of shape (32, 32, 3), uint8 from 0 to 255."""
    folder = _local.require("cifar10", HOW)
    there = [stem for stem in BATCHES if any((folder / n).exists() for n in _names(stem))]
    train = [_read(folder, stem) for stem in there or BATCHES[:1]]
    x_train, y_train = (np.concatenate(parts) for parts in zip(*train, strict=True))
    x_test, y_test = _read(folder, "test_batch.bin")
    return Dataset("cifar10", x_train, y_train, x_test, y_test, CLASSES)


def _names(stem: str) -> tuple[str, str]:
    return stem, f"{stem}.gz"


def _read(folder: Path, stem: str) -> tuple[Array, Array]:
    path = _local.require_file(folder, _names(stem), HOW)
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = idx.decompress(content, str(path))
    return decode(content, str(path))


def decode(content: bytes, where: str) -> tuple[Array, Array]:
    """Images (samples, 32, 32, 3) and labels of one file; `where` is named in errors.

    A record is a label and three planes, red, green and blue, of 32 rows each.
    """
    if not content or len(content) % RECORD_BYTES:
        raise DataFileError(
            f"data file {where!r}",
            expected=f"records of {RECORD_BYTES} bytes",
            got=f"{len(content)} bytes",
            fix="unpack the file again",
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD_BYTES)
    planes = records[:, 1:].reshape(-1, 3, SIDE, SIDE)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), records[:, 0].astype(np.int64)
