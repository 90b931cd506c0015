"""1,797 real handwritten digits, 8x8 pixels, shipped with the package (see digits.LICENSE).

They have no official split: a fixed, stratified 70/30 split is made here, the same for every
seed of training.
"""

from __future__ import annotations

import gzip
from importlib.resources import files

import numpy as np

from edgelearn.arrays import Array
from edgelearn.datasets._base import Dataset, DataSpec, Progress, Source
from edgelearn.rng import Stream, permutation

CLASSES = tuple("0123456789")
TRAIN_SHARE = 0.7


def describe(source: Source) -> DataSpec:
    """64 pixels, ten digits."""
    return DataSpec((64,), CLASSES)


def load(source: Source, progress: Progress) -> Dataset:
    """1,258 training and 539 test samples of 64 pixels from 0 to 16."""
    packed = (files("edgelearn.datasets") / "digits.csv.gz").read_bytes()
    rows = np.loadtxt(gzip.decompress(packed).decode("ascii").splitlines(), np.int64, delimiter=",")
    x, y = rows[:, :-1].astype(np.uint8), rows[:, -1]
    train = _stratified(y)
    return Dataset("digits", x[train], y[train], x[~train], y[~train], CLASSES)


def _stratified(y: Array) -> Array:
    train = np.zeros(len(y), bool)
    for label in range(len(CLASSES)):
        members = np.flatnonzero(y == label)
        order = permutation(0, Stream.SPLIT, label, len(members))
        train[members[order[: round(TRAIN_SHARE * len(members))]]] = True
    return train
