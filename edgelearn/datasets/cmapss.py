"""Remaining life of turbofan engines, simulated (NASA C-MAPSS, FD001; Saxena et al. 2008).

Read from a folder ``cmapss_fd001`` below ``EDGELEARN_DATA``: ``train_FD001.txt``,
``test_FD001.txt`` and ``RUL_FD001.txt``, packed with gzip or not. A sample is 30 cycles of the 14
sensors that change, a regression of the cycles that are left (``rul``), at most 125: before that an
engine shows no wear. 17,731 windows of 100 engines that ran to failure for training; for testing
the last window of 100 other engines, as is usual, their remaining life capped alike.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np

from edgelearn.arrays import F32, Array, as_f32
from edgelearn.datasets import _local
from edgelearn.datasets._base import Dataset, DataSpec, Progress, Source
from edgelearn.errors import DataFileError

HOW = (
    "unpack the three files of FD001 from https://phm-datasets.s3.amazonaws.com/NASA/"
    "6.+Turbofan+Engine+Degradation+Simulation+Data+Set.zip into a folder cmapss_fd001 below "
    "EDGELEARN_DATA"
)
WINDOW = 30
LONGEST_CYCLES = 125
SENSORS = np.array([2, 3, 4, 7, 8, 9, 11, 12, 13, 14, 15, 17, 20, 21])
"""Numbers of the sensors that do not stay at one value."""
FIRST_SENSOR = 4
"""Column of sensor 0, if there were one: unit, cycle, three settings, sensors from 1."""
COLUMNS = 26
OUTPUTS = ("rul",)


def describe(source: Source) -> DataSpec:
    """30 cycles of 14 sensors, one output."""
    return DataSpec((WINDOW, len(SENSORS)), (), outputs=OUTPUTS)


def load(source: Source, progress: Progress) -> Dataset:
    """Windows of shape (30, 14), float32, and the cycles that are left."""
    train = [_windows(engine) for engine in _engines("train_FD001.txt")]
    y = [_capped(np.arange(len(x) - 1, -1, -1)) for x in train]
    test = [_windows(engine)[-1:] for engine in _engines("test_FD001.txt")]
    left = _table("RUL_FD001.txt", 1)
    if len(left) != len(test):
        raise _damaged("RUL_FD001.txt", f"{len(test)} rows, one an engine", f"{len(left)}")
    return Dataset(
        name="cmapss",
        x_train=np.concatenate(train),
        y_train=np.concatenate(y),
        x_test=np.concatenate(test),
        y_test=_capped(left[:, 0]),
        classes=(),
        outputs=OUTPUTS,
    )


def _capped(cycles: Array) -> F32:
    return as_f32(np.minimum(cycles, LONGEST_CYCLES)[:, None])


def _windows(engine: Array) -> F32:
    """Every window of one engine, shape (windows, 30, 14)."""
    series = engine[:, FIRST_SENSOR + SENSORS]
    found = np.lib.stride_tricks.sliding_window_view(series, WINDOW, axis=0)
    return as_f32(found.transpose(0, 2, 1))


def _engines(name: str) -> list[Array]:
    """The cycles of each engine, in order, of those that ran for a window or longer."""
    table = _table(name, COLUMNS)
    starts = np.flatnonzero(np.diff(table[:, 0])) + 1
    engines = np.split(table, starts)
    short = [int(engine[0, 0]) for engine in engines if len(engine) < WINDOW]
    if short:
        raise _damaged(name, f"{WINDOW} cycles or more an engine", f"fewer of engine {short[0]}")
    return engines


def _table(name: str, columns: int) -> Array:
    path = _path(name)
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("ascii")
        table = np.array([line.split() for line in text.splitlines()], np.float64)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise _damaged(name, "rows of numbers", repr(error)) from None
    if table.ndim != 2 or table.shape[1] != columns:
        raise _damaged(name, f"{columns} columns", f"shape {list(table.shape)}")
    return table


def _path(name: str) -> Path:
    return _local.require_file(_local.require("cmapss_fd001", HOW), (f"{name}.gz", name), HOW)


def _damaged(name: str, expected: str, got: str) -> DataFileError:
    return DataFileError(f"data {str(_path(name))!r}", expected=expected, got=got, fix=HOW)
