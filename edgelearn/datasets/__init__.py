"""Data sets and file formats, one file each. This folder is the registry.

A file ``NAME.py`` holds ``describe(source) -> DataSpec``, which reads as little as it can, and
``load(source, progress) -> Dataset``.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from edgelearn.datasets._base import Dataset, DataSpec, Progress, Source, no_progress
from edgelearn.datasets._values import numbered_outputs
from edgelearn.errors import ConfigError, unknown

__all__ = [
    "DataSpec",
    "Dataset",
    "Progress",
    "Source",
    "describe",
    "load",
    "names",
    "no_progress",
    "numbered_outputs",
]


def names() -> list[str]:
    """Every data set and format that can be loaded.

    >>> "digits" in names()
    True
    """
    return [m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")]


def _module(source: Source) -> Any:
    if (source.name is None) == (source.format is None):
        raise ConfigError(
            "dataset",
            expected='either name = "digits" or format = "npz" with a path',
            got=f"name = {source.name!r}, format = {source.format!r}",
            fix="write one of the two",
        )
    if source.name is not None and source.path is not None:
        raise ConfigError(
            "dataset",
            expected="a path beside a format only",
            got=f"name = {source.name!r}, path = {source.path!r}",
            fix='leave out the path, or write format = "npz" instead of the name',
        )
    if source.target == "value" and source.format != "npz":
        raise ConfigError(
            "dataset",
            expected='target = "value" beside format = "npz" only',
            got=f"name = {source.name!r}, format = {source.format!r}",
            fix="leave it out, or save the samples and their values as an .npz archive",
        )
    wanted = source.name or source.format or ""
    if wanted not in names():
        raise unknown("data set or format", wanted, names())
    return importlib.import_module(f"{__name__}.{wanted}")


def describe(source: Source) -> DataSpec:
    """Shape of a sample and the classes, without loading the samples where possible."""
    spec: DataSpec = _module(source).describe(source)
    return spec


def load(source: Source, progress: Progress = no_progress) -> Dataset:
    """The data set, checked: finite numbers, labels in range, shapes that agree.

    Raises
    ------
    DataError
        If the data is missing, damaged, or holds NaN or labels out of range.
    """
    dataset: Dataset = _module(source).load(source, progress)
    if source.samples is not None:
        dataset = dataset.first(source.samples)
    return dataset.checked()
