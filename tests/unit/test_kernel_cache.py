"""Folders of compiled kernels: old ones go, those in use stay."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys

import pytest

from edgelearn.kernels import _cache

NAMES = ("a", "b", "c", "d", "e", "f")


@pytest.fixture
def folders(tmp_path):
    """Folders of versions, the first one the oldest; something is compiled in each."""
    for age, name in enumerate(reversed(NAMES)):
        (tmp_path / name / "dense").mkdir(parents=True)
        (tmp_path / name / "dense" / "add.nbi").write_bytes(b"compiled")
        os.utime(tmp_path / name, (10**9 - age, 10**9 - age))
    return tmp_path


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_stay(folders):
    _cache.clean(folders)
    assert left(folders) == ["d", "e", "f"]
    assert (folders / "d" / "dense" / "add.nbi").read_bytes() == b"compiled"


def test_what_a_running_process_uses_stays(folders):
    code = (
        "import pathlib, sys; from edgelearn.kernels import _cache; "
        "_cache._use(pathlib.Path(sys.argv[1])); print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(folders / "a")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        os.utime(folders / "a", (1, 1))  # as if it had begun long ago
        _cache.clean(folders)
        assert left(folders) == ["a", "d", "e", "f"]
        other.communicate()
    _cache.clean(folders)
    assert left(folders) == ["d", "e", "f"]


def test_a_new_version_cleans_and_is_in_use(folders, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(folders.parent / "home"))
    kernels = folders.parent / "home" / "edgelearn" / "kernels"
    kernels.parent.mkdir(parents=True)
    folders.rename(kernels)
    monkeypatch.setattr(_cache, "_locks", [])
    found = _cache.cache_folder()
    assert left(kernels) == sorted([_cache.digest(), "e", "f"])
    with pytest.raises(BlockingIOError):
        _cache._take(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(_cache._locks[0])


def test_where_files_cannot_be_locked_the_folder_is_used_all_the_same(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(37, "no locks available")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(_cache.fcntl, "flock", refuse)
    assert _cache.cache_folder() == tmp_path / "edgelearn" / "kernels" / _cache.digest()


def test_a_file_among_them_is_left_alone(folders):
    (folders / "note").write_text("mine")
    os.utime(folders / "note", (1, 1))
    _cache.clean(folders)
    assert left(folders) == ["d", "e", "f", "note"]
