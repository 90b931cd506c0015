"""Data sets that are looked for below EDGELEARN_DATA, one folder each."""

from __future__ import annotations

import os
from pathlib import Path

from edgelearn.errors import DataUnavailable, MissingFile


def find(name: str) -> Path | None:
    """The folder of data set `name` below ``EDGELEARN_DATA``, if there is one."""
    root = os.environ.get("EDGELEARN_DATA")
    folder = Path(root) / name if root else None
    return folder if folder is not None and folder.is_dir() else None


def require(name: str, how: str) -> Path:
    """The folder of data set `name`, or `DataUnavailable`; `how` says what to put there."""
    folder = find(name)
    if folder is None:
        raise DataUnavailable(
            f"data set folder {name!r}",
            expected=f"a folder {name} below EDGELEARN_DATA: this data set is not downloaded",
            got="none" if os.environ.get("EDGELEARN_DATA") else "no EDGELEARN_DATA",
            fix=how,
        )
    return folder


def require_file(folder: Path, names: tuple[str, ...], how: str) -> Path:
    """The first of `names` that is in `folder`, or `MissingFile`."""
    found = next((folder / name for name in names if (folder / name).exists()), None)
    if found is None:
        raise MissingFile(
            f"data folder {str(folder)!r}", expected=" or ".join(names), got="no such file", fix=how
        )
    return found
