"""Data sets that are found through EDGELEARN_DATA, in the cache, or downloaded and checked."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from edgelearn.datasets import _local, idx
from edgelearn.datasets._base import Dataset, Progress
from edgelearn.errors import DataFileError, DataUnavailable, OutputError
from edgelearn.files import require_writable, write_atomic

TIMEOUT_S = 20
MAX_DOWNLOAD_BYTES = 1 << 28
CHUNK_BYTES = 1 << 16


def load_idx(name: str, url: str, digests: Mapping[str, str], progress: Progress) -> Dataset:
    """The four IDX files of data set `name`.

    Parameters
    ----------
    name : str
        Also the folder below ``EDGELEARN_DATA``.
    url : str
        Where the gzip files lie, if they must be downloaded.
    digests : mapping of str to str
        sha256 of the decompressed bytes of each file, by its name without ``.gz``.
    """
    local = _local.find(name)
    if local is not None:
        return idx.read_folder(local, name)
    folder = cache_folder() / name
    for stem, digest in digests.items():
        target = folder / stem
        if not (target.is_file() and _sha256(target.read_bytes()) == digest):
            _download(f"{url}/{stem}.gz", target, digest, progress)
    return idx.read_folder(folder, name)


def cache_folder() -> Path:
    """Where downloads are kept."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    return Path(home) / "edgelearn" / "data"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _download(url: str, target: Path, digest: str, progress: Progress) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        require_writable(target)
    except (OSError, OutputError):
        raise _unavailable(target, f"a cache that cannot be written, {target.parent}") from None
    try:
        content = idx.decompress(_fetch(url, target.name, progress), url)
    except (OSError, http.client.HTTPException, ValueError, DataFileError) as error:
        reason = error.got if isinstance(error, DataFileError) else getattr(error, "reason", error)
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise _unavailable(target, f"from {url}: {reason}") from None
    if _sha256(content) != digest:
        raise _unavailable(target, f"{url} gave other bytes (sha256 {_sha256(content)[:12]}...)")
    write_atomic(target, content)


def _fetch(url: str, what: str, progress: Progress) -> bytes:
    packed = bytearray()
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as reply:  # noqa: S310  a constant
        total = int(reply.headers.get("Content-Length") or 0)
        while chunk := reply.read(CHUNK_BYTES):
            packed += chunk
            progress(what, len(packed), total)
            if len(packed) > MAX_DOWNLOAD_BYTES:
                raise ValueError("the reply does not end")
    if total and len(packed) != total:
        raise ValueError(f"the reply broke off after {len(packed)} of {total} bytes")
    return bytes(packed)


def _unavailable(target: Path, got: str) -> DataUnavailable:
    return DataUnavailable(
        f"data set {target.parent.name!r}, file {target.name!r}",
        expected="the file in a folder below EDGELEARN_DATA, or a download",
        got=got,
        fix=f"set EDGELEARN_DATA to a folder that holds {target.parent.name}/{target.name}.gz",
    )
