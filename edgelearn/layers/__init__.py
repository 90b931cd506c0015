"""Layers, one file per kind. This folder is the registry: a new file is found by itself.

A file holds ``LAYER``, the class (a frozen `msgspec.Struct` that fulfils `Layer`), and
``EXAMPLES``, pairs of settings and an input shape with which the tests try it.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Any

from edgelearn.arrays import Shape
from edgelearn.layers._base import (
    Descent,
    Dropper,
    Follower,
    Layer,
    Learner,
    Learning,
    Lesson,
    Names,
    Params,
    SequenceLearner,
    Sparse,
    Starter,
    Streamer,
    Trace,
)
from edgelearn.layers._kept import Kept, places_of

__all__ = [
    "Descent",
    "Dropper",
    "Follower",
    "Kept",
    "Layer",
    "Learner",
    "Learning",
    "Lesson",
    "Names",
    "Params",
    "SequenceLearner",
    "Sparse",
    "Starter",
    "Streamer",
    "Trace",
    "examples",
    "kinds",
    "places_of",
]


@cache
def _modules() -> tuple[Any, ...]:
    names = [m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")]
    return tuple(importlib.import_module(f"{__name__}.{name}") for name in names)


def kinds() -> dict[str, type[Layer]]:
    """Every kind of layer by the word that recipes use.

    >>> "dense" in kinds()
    True
    """
    return {module.LAYER.kind: module.LAYER for module in _modules()}


def examples() -> list[tuple[Layer, Shape]]:
    """Every example layer with an input shape it accepts."""
    return [example for module in _modules() for example in module.EXAMPLES]
