"""Files are written whole or not at all, and what stood there before survives a failure."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from edgelearn import files
from edgelearn.errors import MissingFile, OutputError
from edgelearn.files import require_file, require_writable, staged, write_atomic


@pytest.fixture
def target(tmp_path) -> Path:
    """A file with old content, alone in its folder."""
    path = tmp_path / "out.bin"
    path.write_bytes(b"old")
    return path


def untouched(target: Path) -> bool:
    return target.read_bytes() == b"old" and list(target.parent.iterdir()) == [target]


def failing(number):
    def fail(*_args, **_kwargs):
        raise OSError(number, os.strerror(number))

    return fail


def test_a_file_is_replaced(target):
    write_atomic(target, b"new")
    assert target.read_bytes() == b"new"
    assert list(target.parent.iterdir()) == [target]


def test_a_new_file(tmp_path):
    write_atomic(tmp_path / "new", b"x")
    assert (tmp_path / "new").read_bytes() == b"x"


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_permissions_are_those_of_any_new_file(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_atomic(tmp_path / "new", b"x")
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3)])
def test_an_error_in_the_block_leaves_all_as_it_was(target, error):
    def write_half():
        with staged(target) as stage:
            stage.write_bytes(b"half")
            raise error

    with pytest.raises(type(error)):
        write_half()
    assert untouched(target)


def test_the_old_file_stands_until_the_block_ends(target):
    with staged(target) as stage:
        stage.write_bytes(b"new")
        assert stage.parent == target.parent
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS])
@pytest.mark.parametrize("place", ["write_bytes", "chmod", "replace"])
def test_a_full_or_broken_disk(target, monkeypatch, number, place):
    monkeypatch.setattr(Path, place, failing(number))
    with pytest.raises(OutputError) as caught:
        write_atomic(target, b"new")
    assert os.strerror(number).lower() in str(caught.value)
    assert str(target) in str(caught.value)
    assert untouched(target)


def test_a_disk_that_is_full_when_it_is_synced(target, monkeypatch):
    monkeypatch.setattr(os, "fsync", failing(errno.ENOSPC))
    with pytest.raises(OutputError, match="no space left"):
        write_atomic(target, b"new")
    assert untouched(target)


def test_the_bytes_are_synced_before_the_file_is_replaced(target, monkeypatch):
    done = []
    monkeypatch.setattr(os, "fsync", lambda handle: done.append(os.fstat(handle).st_mode))
    real = Path.replace
    monkeypatch.setattr(Path, "replace", lambda p, t: (done.append("replace"), real(p, t)))
    write_atomic(target, b"new")
    assert stat.S_ISREG(done[0])
    assert done[1] == "replace"
    assert stat.S_ISDIR(done[2])


@pytest.mark.parametrize("where", ["missing/out", "file/out", "x" * 300])
def test_places_that_cannot_be_written(tmp_path, where):
    (tmp_path / "file").write_bytes(b"")
    for refuse in (require_writable, lambda path: write_atomic(path, b"new")):
        with pytest.raises(OutputError, match="Fix:"):
            refuse(tmp_path / where)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_folder_is_no_output(tmp_path):
    with pytest.raises(OutputError, match="folder"):
        require_writable(tmp_path)
    with pytest.raises(OutputError):
        write_atomic(tmp_path, b"new")


def test_a_folder_without_permission(tmp_path, monkeypatch):
    monkeypatch.setattr(files.tempfile, "mkstemp", failing(errno.EACCES))
    for refuse in (require_writable, lambda path: write_atomic(path, b"new")):
        with pytest.raises(OutputError, match="permission denied"):
            refuse(tmp_path / "out")


def test_looking_whether_a_place_can_be_written_leaves_nothing(target):
    require_writable(target)
    require_writable(target.with_name("new"))
    assert untouched(target)


def test_require_file(tmp_path):
    path = tmp_path / "a"
    with pytest.raises(MissingFile, match=r"model .*no such file.*Fix: look again"):
        require_file(path, "model", "look again")
    with pytest.raises(MissingFile, match="a folder"):
        require_file(tmp_path, "model", "look again")
    path.touch()
    assert require_file(path, "model", "look again") == path
