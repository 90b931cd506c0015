"""Numba kernels, read (and Numba with them) only when the first one is called.

A kernel is a pure function of arrays: inputs first, outputs last, no result, no allocation,
no state: even noise follows from what it is given. Each has one signature.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgelearn.kernels import dense as dense
    from edgelearn.kernels import dropout as dropout
    from edgelearn.kernels import errors as errors
    from edgelearn.kernels import fused as fused
    from edgelearn.kernels import leaky as leaky
    from edgelearn.kernels import lookup as lookup
    from edgelearn.kernels import mingru as mingru
    from edgelearn.kernels import moments as moments
    from edgelearn.kernels import noise as noise
    from edgelearn.kernels import norms as norms
    from edgelearn.kernels import recurrent as recurrent
    from edgelearn.kernels import signs as signs
    from edgelearn.kernels import similarity as similarity
    from edgelearn.kernels import sparse as sparse
    from edgelearn.kernels import spatial as spatial

_MODULES = (
    "dense",
    "dropout",
    "errors",
    "fused",
    "leaky",
    "lookup",
    "mingru",
    "moments",
    "noise",
    "norms",
    "recurrent",
    "signs",
    "similarity",
    "sparse",
    "spatial",
)


def __getattr__(name: str) -> ModuleType:
    if name in _MODULES:
        return importlib.import_module(f"edgelearn.kernels.{name}")
    raise AttributeError(name)
