"""Human activities from a phone at the waist (Reyes-Ortiz et al. 2015, UCI HAPT).

Read from a folder ``hapt`` below ``EDGELEARN_DATA``:

- ``signals_int16.npz``: ``signals`` (samples at 50 Hz, 6), all experiments after each other;
  acceleration in 1/720 g, then turning in steps of the sensor (17.5 thousandths of a degree a
  second), x, y, z each.
- ``experiments.csv``: columns experiment, user, split (train or test), offset, length.
- ``labels.csv``: columns experiment, activity_id, start_sample_1based, end_sample_1based.

A sample is 128 steps (2.56 s) inside one labelled activity, half of them shared with the next one:
7,415 for training and 2,996 for testing, by the official split of users (21 and 9). The classes
are the six basic activities; the six transitions between postures are left out, because most
are shorter than a window. The data forbid commercial use, so nothing is downloaded.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgelearn.arrays import F32, Array
from edgelearn.datasets import _local, npz
from edgelearn.datasets._base import Dataset, DataSpec, Progress, Source
from edgelearn.errors import DataFileError

FILES = ("signals_int16.npz", "experiments.csv", "labels.csv")
HOW = (
    f"write {', '.join(FILES)} ('edgelearn.datasets.hapt' says how) from the raw data of "
    "https://archive.ics.uci.edu/dataset/341 into a folder hapt below EDGELEARN_DATA"
)
CLASSES = (
    "WALKING", "WALKING_UPSTAIRS", "WALKING_DOWNSTAIRS", "SITTING", "STANDING", "LAYING",
)  # fmt: skip
WINDOW, HOP = 128, 64
CHANNELS = 6
UNITS = np.array([1 / 720] * 3 + [0.0175 * np.pi / 180] * 3, np.float32)
"""g and radians a second of one step of the sensors."""


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Samples (windows, 128, 6), labels, users (1 to 30), and whether a user is for testing."""

    x: F32
    y: Array
    user: Array
    is_test: Array


def describe(source: Source) -> DataSpec:
    """128 steps of acceleration and turning, six activities."""
    return DataSpec((WINDOW, CHANNELS), CLASSES)


def load(source: Source, progress: Progress) -> Dataset:
    """Windows of shape (128, 6), float32: acceleration in g, turning in radians a second."""
    found = windows()
    train, test = ~found.is_test, found.is_test
    x, y = found.x, found.y
    return Dataset("hapt", x[train], y[train], x[test], y[test], CLASSES)


def windows() -> Windows:
    """All windows of the six activities, with the users they come from."""
    folder = _local.require("hapt", HOW)
    signals_path, experiments, labels = (_local.require_file(folder, (n,), HOW) for n in FILES)
    signals = _signals(signals_path)
    try:
        rows = list(_rows(experiments, labels, len(signals)))
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(folder, "experiments and labels that fit the signals", repr(error)) from None
    if not rows:
        raise _damaged(folder, f"activities of {WINDOW} steps or more", "none")
    starts, y, user, is_test = (np.array(column) for column in zip(*rows, strict=True))
    x = signals[starts[:, None] + np.arange(WINDOW)] * UNITS
    return Windows(x, y, user, is_test)


def _rows(experiments: Path, labels: Path, count: int) -> Iterator[tuple[int, int, int, bool]]:
    """First sample, label, user and part of every window."""
    known = {row["experiment"]: row for row in _table(experiments)}
    for row in _table(labels):
        label, own = int(row["activity_id"]) - 1, known[row["experiment"]]
        offset, length = int(own["offset"]), int(own["length"])
        first, end = int(row["start_sample_1based"]) - 1, int(row["end_sample_1based"])
        if not 0 <= first < end <= length or offset < 0 or offset + length > count:
            raise ValueError(f"samples {first + 1} to {end} of experiment {row['experiment']}")
        if label < len(CLASSES):
            for start in range(offset + first, offset + end - WINDOW + 1, HOP):
                yield start, label, int(own["user"]), own["split"] == "test"


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _signals(path: Path) -> Array:
    signals = npz.read(path, f"data {str(path)!r}").get("signals", np.empty(0))
    if signals.ndim != 2 or signals.shape[1] != CHANNELS or signals.dtype.kind not in "if":
        expected = f"an array 'signals' of shape (samples, {CHANNELS})"
        raise _damaged(path, expected, f"{signals.dtype}{list(signals.shape)}")
    return signals


def _damaged(path: Path, expected: str, got: str) -> DataFileError:
    return DataFileError(f"data {str(path)!r}", expected=expected, got=got, fix=HOW)
