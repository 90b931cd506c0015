"""Japanese Vowels: who of nine men says /ae/ (Kudo, Toyama & Shimbo 1999; UEA archive).

Read from ``JapaneseVowels.npz`` in a folder ``ucr_uea_small`` below ``EDGELEARN_DATA``, with arrays
``x_train, x_test`` (samples, features, steps), ``len_train, len_test`` (real steps of each) and
``y_train, y_test`` (0 to 8); what stands beyond a length is not read. The split is the archive's:
270 for training, 370 for testing. A sample is 7 to 29 steps of 12 cepstrum coefficients and the
mask. The archive is free for research; it states no licence, so nothing is downloaded.
"""

from __future__ import annotations

import numpy as np

from edgelearn.arrays import Array
from edgelearn.datasets import _local, npz
from edgelearn.datasets._base import Dataset, DataSpec, Progress, Source, class_numbers
from edgelearn.datasets._masks import with_mask
from edgelearn.errors import DataShapeError

FILE = "JapaneseVowels.npz"
HOW = (
    f"write {FILE} with arrays x_*, len_* and y_* ('edgelearn.datasets.japanese_vowels' says how) "
    "from https://timeseriesclassification.com/aeon-toolkit/JapaneseVowels.zip into a folder "
    "ucr_uea_small below EDGELEARN_DATA"
)
CLASSES = tuple("123456789")
STEPS, FEATURES = 29, 12
PARTS = ("train", "test")


def describe(source: Source) -> DataSpec:
    """29 steps of 12 features and the mask, nine speakers."""
    return DataSpec((STEPS, FEATURES + 1), CLASSES, masked=True)


def load(source: Source, progress: Progress) -> Dataset:
    """Cepstrum coefficients, float32, masked."""
    path = _local.require_file(_local.require("ucr_uea_small", HOW), (FILE,), HOW)
    where = f"data {str(path)!r}"
    arrays = npz.read(path, where)
    wanted = {f"{key}_{part}" for key in ("x", "y", "len") for part in PARTS}
    if not wanted <= arrays.keys():
        got = ", ".join(arrays) or "none"
        expected = f"arrays {', '.join(sorted(wanted))}"
        raise DataShapeError(where, expected=expected, got=got, fix=HOW)
    x_train, x_test = (
        with_mask(_padded(arrays[f"x_{p}"], where), arrays[f"len_{p}"], f"{where}, x_{p}")
        for p in PARTS
    )
    y_train, y_test = (class_numbers(arrays[f"y_{p}"], f"{where}, y_{p}") for p in PARTS)
    return Dataset("japanese_vowels", x_train, y_train, x_test, y_test, CLASSES, masked=True)


def _padded(x: Array, where: str) -> Array:
    """`x` as (samples, steps, features), the steps of both parts made the same number."""
    if x.ndim != 3 or x.shape[1] != FEATURES or x.shape[2] > STEPS:
        raise DataShapeError(
            where,
            expected=f"samples of shape [{FEATURES}, at most {STEPS}]",
            got=f"{list(x.shape[1:])}",
            fix=HOW,
        )
    return np.pad(x.transpose(0, 2, 1), ((0, 0), (0, STEPS - x.shape[2]), (0, 0)))
