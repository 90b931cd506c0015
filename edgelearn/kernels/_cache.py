"""Where compiled kernels are kept, and how long: one folder for each version of their sources."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

KEPT = 3
"""Folders that stay: that of this version, and the ones used last."""
_LOCK = ".in-use"
_locks: list[int] = []
"""Held open as long as this process lives."""


def digest() -> str:
    """A name for the sources of all kernels: Numba does not see a callee change in another file."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(s.read_bytes() for s in sources)).hexdigest()[:16]


def cache_folder() -> Path:
    """A writable folder for compiled code: the user's cache, else a private temporary one.

    Folders of older versions are removed, but for the newest few and those that a running process
    uses.
    """
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    folder = Path(home) / "edgelearn" / "kernels" / digest()
    try:
        is_new = not folder.is_dir()
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            _use(folder)
            if is_new:
                clean(folder.parent)
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="edgelearn-kernels-"))


def _use(folder: Path) -> None:
    """Let nobody remove `folder` while this process lives, where files can be locked at all."""
    os.utime(folder)
    with contextlib.suppress(OSError):
        _locks.append(_take(folder, fcntl.LOCK_SH))
    folder.mkdir(parents=True, exist_ok=True)  # if it was being removed until now


def clean(parent: Path) -> None:
    """Remove all but the newest `KEPT` folders in `parent`; none that is in use."""
    folders = sorted(parent.iterdir(), key=lambda folder: folder.stat().st_mtime, reverse=True)
    for folder in folders[KEPT:]:
        with contextlib.suppress(OSError):  # in use, or another process was faster
            lock = _take(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                shutil.rmtree(folder)
            finally:
                os.close(lock)


def _take(folder: Path, how: int) -> int:
    """A lock on `folder`, as an open file."""
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, how)
    except OSError:
        os.close(lock)
        raise
    return lock
