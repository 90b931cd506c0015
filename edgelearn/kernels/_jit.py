"""The only import of Numba: compile flags, and where compiled code is kept."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ParamSpec, TypeAlias, TypeVar, cast

import numba  # noqa: TID251  the one place
import numpy as np
from numpy.typing import NDArray

F32: TypeAlias = NDArray[np.float32]
Labels: TypeAlias = NDArray[np.int64]
U8: TypeAlias = NDArray[np.uint8]
U16: TypeAlias = NDArray[np.uint16]
U32: TypeAlias = NDArray[np.uint32]
P = ParamSpec("P")
R = TypeVar("R")


def _digest() -> str:
    """A name for the sources of all kernels: Numba does not see a callee change in another file."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(s.read_bytes() for s in sources)).hexdigest()[:16]


def _cache_folder() -> Path:
    """A writable folder for compiled code: the user's cache, else a private temporary one."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    folder = Path(home) / "edgelearn" / "kernels" / _digest()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="edgelearn-kernels-"))


_FOLDER = _cache_folder()


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
