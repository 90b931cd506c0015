"""The only import of Numba, and its compile flags."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeAlias, TypeVar, cast

import numba  # noqa: TID251  the one place
import numpy as np
from numpy.typing import NDArray

from edgelearn.kernels._cache import cache_folder

F32: TypeAlias = NDArray[np.float32]
Labels: TypeAlias = NDArray[np.int64]
U8: TypeAlias = NDArray[np.uint8]
U16: TypeAlias = NDArray[np.uint16]
U32: TypeAlias = NDArray[np.uint32]
P = ParamSpec("P")
R = TypeVar("R")


_FOLDER = cache_folder()


@contextlib.contextmanager
def _own_cache() -> Iterator[None]:
    """Numba chooses the cache folder when it decorates; other users of Numba keep theirs."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(_FOLDER)
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before


@contextlib.contextmanager
def _packing() -> Iterator[None]:
    """Numba reads this flag whenever it compiles; other kernels are compiled without."""
    before = numba.config.SLP_VECTORIZE
    numba.config.SLP_VECTORIZE = 1
    try:
        yield
    finally:
        numba.config.SLP_VECTORIZE = before


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` at its first call, or take what an earlier process compiled.

    No fastmath: results must not depend on how a loop was vectorised.
    """
    with _own_cache():
        return cast("Callable[P, R]", numba.njit(cache=True, error_model="numpy")(function))


def packed_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """`kernel` whose equal operations in a row share a vector register; they give the same bits.

    For loops that are too short for the vectoriser of loops, such as blocks of four weights.
    """
    made: Any = kernel(function)
    if not numba.config.DISABLE_JIT:
        compile_one = made.compile

        def compile_packed(signature: Any) -> Any:
            with _packing():
                return compile_one(signature)

        made.compile = compile_packed
    return cast("Callable[P, R]", made)
