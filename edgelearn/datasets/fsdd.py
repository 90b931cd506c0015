"""Free Spoken Digit Dataset: 3,000 recordings of six speakers (Jackson et al., CC BY-SA 4.0).

Read from ``recordings.zip`` or a folder ``recordings`` of ``{digit}_{speaker}_{number}.wav`` in a
folder ``fsdd`` below ``EDGELEARN_DATA``. The official split: numbers 0 to 4 of every digit and
speaker are the test part (300), the rest is for training (2,700); the same speakers are in both.

A sample is 20 log-mel energies every 16 ms, of 32 ms each, and the mask: 64 steps, that is 1.04 s.
14 of the 3,000 recordings are longer and are cut there.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edgelearn.datasets import _local
from edgelearn.datasets._audio import LogMel, read_wav
from edgelearn.datasets._base import Dataset, DataSpec, Progress, Source
from edgelearn.datasets._masks import with_mask
from edgelearn.errors import DataFileError

HOW = (
    "put recordings.zip, or the folder recordings, of "
    "https://github.com/Jakobovski/free-spoken-digit-dataset into a folder fsdd below "
    "EDGELEARN_DATA"
)
CLASSES = tuple("0123456789")
RATE_HZ = 8000
FEATURES = LogMel(RATE_HZ, window=256, hop=128, bands=20)
STEPS = 64
TEST_NUMBERS = 5
NAME = re.compile(r"(?:.*/)?([0-9])_([a-z]+)_([0-9]+)\.wav")
_DAMAGE = (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


def describe(source: Source) -> DataSpec:
    """64 steps of 20 bands and the mask, ten digits."""
    return DataSpec((STEPS, FEATURES.bands + 1), CLASSES, masked=True)


def load(source: Source, progress: Progress) -> Dataset:
    """Log-mel energies, float32, masked; in the order of numbers, so that every part is mixed."""
    folder = _local.require("fsdd", HOW)
    path = _local.require_file(folder, ("recordings.zip", "recordings"), HOW)
    found = sorted(_recordings(path))
    if not found:
        raise _damaged(path, "none")
    x = np.zeros((len(found), STEPS, FEATURES.bands), np.float32)
    lengths = np.zeros(len(found), np.int64)
    for row, (take, content) in enumerate(found):
        features = FEATURES(read_wav(content, RATE_HZ, f"data {str(path)!r}, {take}"))[:STEPS]
        lengths[row] = len(features)
        x[row, : len(features)] = features
    x = with_mask(x, lengths, f"data {str(path)!r}")
    y = np.array([take.digit for take, _ in found])
    test = np.array([take.number < TEST_NUMBERS for take, _ in found])
    return Dataset("fsdd", x[~test], y[~test], x[test], y[test], CLASSES, masked=True)


class Take(NamedTuple):
    """Which recording: the parts of its name."""

    number: int
    speaker: str
    digit: int


def _take(name: str) -> Take | None:
    match = NAME.fullmatch(name)
    return Take(int(match[3]), match[2], int(match[1])) if match else None


def _recordings(path: Path) -> Iterator[tuple[Take, bytes]]:
    """Every recording and its content."""
    try:
        if path.is_dir():
            yield from ((t, p.read_bytes()) for p in path.iterdir() if (t := _take(p.name)))
            return
        with zipfile.ZipFile(path) as archive:
            yield from ((t, archive.read(n)) for n in archive.namelist() if (t := _take(n)))
    except _DAMAGE as error:
        raise _damaged(path, str(error)) from None


def _damaged(path: Path, got: str) -> DataFileError:
    return DataFileError(
        f"data {str(path)!r}",
        expected="recordings named {digit}_{speaker}_{number}.wav",
        got=got,
        fix="fetch the data set again",
    )
