"""Reading and writing files so that a crash or a full disk never leaves half of one."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edgelearn.errors import MissingFile, OutputError


def require_file(path: Path, what: str, fix: str) -> Path:
    """`path` if it is a readable file, or `MissingFile`."""
    if path.is_file():
        return path
    got = "a folder" if path.is_dir() else "no such file"
    raise MissingFile(f"{what} {str(path)!r}", expected="a file", got=got, fix=fix)


@contextlib.contextmanager
def staged(target: Path) -> Iterator[Path]:
    """A temporary path beside `target` that replaces it when the block ends without an error.

    The bytes are synced before the rename and the folder after it, so that after a power cut
    either the old file or the whole new one stands there.

    Raises
    ------
    OutputError
        If the folder is missing, not writable or full.
    """
    stage = _stage(target)
    try:
        yield stage
        stage.chmod(0o666 & ~_umask())
        _sync(stage)
        stage.replace(target)
        _sync(target.parent)
    except OSError as error:
        raise _cannot_write(target, error) from None
    finally:
        stage.unlink(missing_ok=True)


def require_writable(target: Path) -> None:
    """Raise `OutputError` now rather than after hours of work if `target` cannot be written."""
    if os.path.isdir(target):  # noqa: PTH112  Path.is_dir raises if the name is too long
        raise _cannot_write(target, IsADirectoryError("it is a folder"))
    _stage(target).unlink()


def write_atomic(target: Path, content: bytes) -> None:
    """Replace `target` by `content`, all of it or nothing."""
    with staged(target) as stage:
        stage.write_bytes(content)


def _stage(target: Path) -> Path:
    """A new empty file beside `target`."""
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
        os.close(handle)
    except OSError as error:
        raise _cannot_write(target, error) from None
    return Path(name)


def _cannot_write(target: Path, error: OSError) -> OutputError:
    return OutputError(
        f"output {str(target)!r}",
        expected="a place that can be written",
        got=(error.strerror or str(error)).lower(),
        fix="choose another --out, make the folder, or free some space",
    )


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
