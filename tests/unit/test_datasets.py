"""Data sets: what is read is right, and whatever is wrong with a file is said in one line."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import struct
import threading
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edgelearn import datasets
from edgelearn.datasets import Source, _mirror, fashion_mnist, idx, mnist
from edgelearn.datasets._base import MAX_CLASSES, Dataset
from edgelearn.errors import (
    ConfigError,
    DataError,
    DataFileError,
    DataShapeError,
    DataUnavailable,
    DataValueError,
    MissingFile,
    UnknownName,
)

# The digits that are shipped


def test_digits(digits):
    assert digits.x_train.shape == (1258, 64)
    assert digits.x_test.shape == (539, 64)
    assert digits.x_train.dtype == digits.x_test.dtype == np.uint8
    assert digits.y_train.dtype == np.int64
    assert digits.classes == tuple("0123456789")
    assert max(digits.x_train.max(), digits.x_test.max()) == 16
    x = np.concatenate([digits.x_train, digits.x_test])
    y = np.concatenate([digits.y_train, digits.y_test])
    assert (len(x), int(x.sum(dtype=np.int64)), int(y.sum())) == (1797, 561718, 8070)


def test_digits_are_split_apart_and_stratified(digits):
    both = {x.tobytes() for x in digits.x_train} & {x.tobytes() for x in digits.x_test}
    assert not both
    for label in range(10):
        train = (digits.y_train == label).sum()
        share = train / (train + (digits.y_test == label).sum())
        assert abs(share - 0.7) < 0.01


def test_digits_are_split_the_same_for_ever(digits):
    """Accuracies in model cards are on these very samples."""
    found = hashlib.sha256(digits.x_test.tobytes() + digits.y_test.tobytes()).hexdigest()
    assert found.startswith("cac942a056cae5f3")


def test_every_named_set_describes_what_it_loads(digits):
    assert datasets.describe(Source(name="digits")) == digits.spec
    assert digits.nbytes == 1797 * (64 + 8)


# Sources


@pytest.mark.parametrize(
    ("source", "error", "words"),
    [
        (Source(), ConfigError, "either name"),
        (Source(name="digits", format="npz"), ConfigError, "either name"),
        (Source(name="digits", path="x"), ConfigError, "path"),
        (Source(name="digit"), UnknownName, "write 'digits'"),
        (Source(name=""), UnknownName, "digits"),
        (Source(name="_base"), UnknownName, "digits"),
        (Source(name="../digits"), UnknownName, "digits"),
        (Source(format="npz"), ConfigError, "path"),
        (Source(format="idx"), ConfigError, "path"),
        (Source(format="npz", path="none.npz"), MissingFile, "no such file"),
        (Source(format="idx", path="none"), MissingFile, "train-images"),
    ],
)
@pytest.mark.parametrize("what", [datasets.load, datasets.describe])
def test_sources_that_are_none(source, error, words, what):
    with pytest.raises(error, match=words):
        what(source)


# IDX


def idx_bytes(array: np.ndarray) -> bytes:
    code = {np.dtype(d): c for c, d in idx.TYPES.items()}[array.dtype.newbyteorder(">")]
    head = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.mark.parametrize("dtype", [">u1", ">i1", ">i2", ">i4", ">f4", ">f8"])
@pytest.mark.parametrize("shape", [(4,), (2, 3), (2, 3, 4)])
def test_idx_decodes_what_is_encoded(dtype, shape):
    array = np.arange(np.prod(shape)).astype(dtype).reshape(shape)
    found = idx.decode(idx_bytes(array), "file")
    assert np.array_equal(found, array)
    assert found.dtype.isnative


def damaged(content: bytes) -> str:
    with pytest.raises(DataFileError) as caught:
        idx.decode(content, "file")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_idx_truncated_or_too_long():
    content = idx_bytes(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    for length in range(len(content)):
        damaged(content[:length])
    damaged(content + b"\0")


@pytest.mark.parametrize(
    "content",
    [
        b"\0\1\x08\1\0\0\0\1x",
        b"\1\0\x08\1\0\0\0\1x",
        b"\0\0\x07\1\0\0\0\1x",
        b"\0\0\x08\0",
        b"\0\0\x08\0x",
        b"\0\0\x08\1\0\0\0\0",
        b"\0\0\x08\x02\0\0\0\0\0\0\0\x05",
        b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"x",
        b"\x1f\x8b\x08\0",
        b"PK\x03\x04",
        b"<!DOCTYPE html>",
    ],
)
def test_idx_with_another_head(content):
    damaged(content)


def test_idx_with_huge_dimensions_takes_no_memory():
    for dims in [(0xFFFFFFFF,), (0xFFFFFFFF,) * 4, (1 << 16, 1 << 16, 1)]:
        tracemalloc.start()
        damaged(bytes([0, 0, 8, len(dims)]) + struct.pack(f">{len(dims)}I", *dims) + b"xyz")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 1 << 20


def test_gzip_that_is_damaged_or_a_bomb(monkeypatch):
    packed = gzip.compress(b"hello" * 1000)
    assert idx.decompress(packed, "file") == b"hello" * 1000
    for wrong in [b"", packed[:20], packed[:-1], packed[:-4] + b"abcd", b"no gzip", packed + b"x"]:
        if wrong:
            with pytest.raises(DataFileError, match="gzip"):
                idx.decompress(wrong, "file")
    monkeypatch.setattr(idx, "MAX_BYTES", 1 << 20)
    with pytest.raises(DataFileError, match="at most"):
        idx.decompress(gzip.compress(bytes(1 << 24)), "file")


def idx_folder(folder: Path, *, packed: bool = False, **changes) -> Path:
    """The four files of a small data set of three classes."""
    rng = np.random.default_rng(0)
    parts = {
        "x_train": rng.integers(0, 255, (6, 4, 4)).astype(np.uint8),
        "y_train": np.array([0, 1, 2, 0, 1, 2], np.uint8),
        "x_test": rng.integers(0, 255, (3, 4, 4)).astype(np.uint8),
        "y_test": np.array([2, 1, 0], np.uint8),
    } | changes
    folder.mkdir(parents=True, exist_ok=True)
    for key, value in parts.items():
        if value is None:
            continue
        content = value if isinstance(value, bytes) else idx_bytes(value)
        name = idx.PARTS[key] + (".gz" if packed else "")
        (folder / name).write_bytes(gzip.compress(content) if packed else content)
    return folder


@pytest.mark.parametrize("packed", [False, True])
def test_a_folder_of_idx_files(tmp_path, packed):
    found = datasets.load(Source(format="idx", path=str(idx_folder(tmp_path / "d", packed=packed))))
    assert found.name == "d"
    assert found.spec.in_shape == (4, 4)
    assert found.classes == ("0", "1", "2")
    assert found.y_test.tolist() == [2, 1, 0]


def test_a_class_of_the_test_part_alone_counts(tmp_path):
    folder = idx_folder(tmp_path / "d", y_test=np.array([2, 4, 0], np.uint8))
    found = datasets.load(Source(format="idx", path=str(folder)))
    assert found.classes == ("0", "1", "2", "3", "4")


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"y_test": None}, MissingFile, "t10k-labels"),
        ({"x_train": b"hello"}, DataFileError, "train-images"),
        ({"y_train": np.array([0, 1], np.uint8)}, DataShapeError, "6 labels"),
        (
            {"y_train": np.zeros(6, np.uint8), "y_test": np.zeros(3, np.uint8)},
            DataValueError,
            "two",
        ),
        ({"y_train": np.array([0, 1, 2, 0, 1, -1], np.int8)}, DataValueError, "row 6.*-1"),
        ({"y_train": np.array([0, 1, 2, 0, 1, 2**31 - 1], np.int32)}, DataValueError, "row 6"),
        ({"y_train": np.array([0, 1, 2, 0, 0.5, 1], np.float32)}, DataValueError, "row 5.*0.5"),
        ({"y_train": np.zeros((6, 1), np.uint8)}, DataShapeError, "labels of shape"),
        ({"x_test": np.zeros((3, 4, 5), np.uint8)}, DataShapeError, r"\[4, 5\]"),
        ({"x_train": np.zeros(6, np.uint8)}, DataShapeError, "samples, features"),
        (
            {"x_test": np.full((3, 4, 4), np.nan, np.float32)},
            DataValueError,
            r"test part, row 1, feature \(1, 1\).*48 such",
        ),
    ],
)
def test_folders_of_idx_files_with_mistakes(tmp_path, changes, error, words):
    with pytest.raises(error, match=words):
        datasets.load(Source(format="idx", path=str(idx_folder(tmp_path / "d", **changes))))


# NumPy archives

RNG = np.random.default_rng(1)
X = RNG.normal(size=(40, 5))
Y = np.arange(40) % 3


def archive(tmp_path, **arrays) -> Source:
    path = tmp_path / "d.npz"
    np.savez(path, **arrays)
    return Source(format="npz", path=str(path))


def parts(**changes):
    return {"x_train": X, "y_train": Y, "x_test": X[:8], "y_test": Y[:8]} | changes


def with_(array, place, value):
    copy = array.astype(np.result_type(array, type(value)))
    copy[place] = value
    return copy


def test_an_archive_of_four_arrays(tmp_path):
    found = datasets.load(archive(tmp_path, **parts()))
    assert found.name == "d"
    assert np.array_equal(found.x_train, X)
    assert np.array_equal(found.y_test, Y[:8])
    assert found.classes == ("0", "1", "2")


def test_an_archive_of_two_arrays_is_split(tmp_path):
    found = datasets.load(archive(tmp_path, x=X, y=Y))
    assert (len(found.x_train), len(found.x_test)) == (32, 8)
    rows = np.concatenate([found.x_train, found.x_test])
    assert np.array_equal(rows[np.lexsort(rows.T)], X[np.lexsort(X.T)])
    again = datasets.load(archive(tmp_path, x=X, y=Y))
    assert np.array_equal(again.x_test, found.x_test)
    for x, y in zip(found.x_train, found.y_train, strict=True):
        assert Y[np.flatnonzero((x == X).all(axis=1))] == [y]


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_small_archives_have_a_test_part(tmp_path, count):
    y = np.zeros(count, int)
    source = archive(tmp_path, x=X[:count], y=y, classes=np.array(["a", "b"]))
    with pytest.raises(DataValueError, match="two classes"):
        datasets.load(source)
    assert len(datasets.names()) >= 5


@pytest.mark.parametrize(
    "labels",
    [Y.astype(t) for t in (np.uint8, np.int8, np.uint64, np.int32, ">i4", np.float32, np.float64)],
    ids=lambda y: str(y.dtype),
)
def test_labels_of_every_number_type(tmp_path, labels):
    found = datasets.load(archive(tmp_path, x=X, y=labels))
    assert found.y_train.dtype == np.int64
    assert set(found.y_train.tolist()) == {0, 1, 2}


@pytest.mark.parametrize(
    "x",
    [X.astype(t) for t in (np.float16, np.float32, np.longdouble, ">f4", np.int8)]
    + [X > 0, np.asfortranarray(X), X[:, ::2], np.ones((40, 2, 3, 1)), np.full((40, 2), 3e38)],
    ids=lambda x: f"{x.dtype}{x.shape}",
)
def test_samples_of_every_number_type(tmp_path, x):
    found = datasets.load(archive(tmp_path, x=x, y=Y))
    assert found.spec.in_shape == x.shape[1:]


@pytest.mark.parametrize(
    "names", [np.array(["no", "yes", "größe"]), np.array([b"a", b"b", b"\xc3\xa4"]), np.arange(3)]
)
def test_names_of_classes(tmp_path, names):
    found = datasets.load(archive(tmp_path, **parts(classes=names)))
    assert len(found.classes) == 3
    assert all(isinstance(name, str) for name in found.classes)
    assert not any(name.startswith("b'") for name in found.classes)


def test_a_class_may_have_test_samples_only(tmp_path):
    found = datasets.load(archive(tmp_path, **parts(y_test=np.arange(8) % 5)))
    assert found.classes == ("0", "1", "2", "3", "4")


SERIES = RNG.normal(size=(40, 6, 2))
LENGTHS = np.arange(40) % 6 + 1


@pytest.mark.parametrize("padding", [0, 7.5, np.nan])
@pytest.mark.parametrize("dtype", [np.int64, np.uint8, ">i4"])
def test_lengths_make_a_mask(tmp_path, padding, dtype):
    x = np.where((np.arange(6) < LENGTHS[:, None])[..., None], SERIES, padding)
    y, lengths = Y, LENGTHS.astype(dtype)
    parts = {"x_train": x, "y_train": y, "x_test": x[:8], "y_test": y[:8]}
    given = {"lengths_train": lengths, "lengths_test": lengths[:8]}
    found = datasets.load(archive(tmp_path, **parts, **given))
    assert found.masked
    assert found.spec.masked
    assert found.x_train.shape == (40, 6, 3)
    assert found.x_train[..., -1].sum(axis=1).tolist() == LENGTHS.tolist()
    for row, length in zip(range(40), LENGTHS, strict=True):
        assert np.array_equal(found.x_train[row, :length, :2], SERIES[row, :length])
        assert not found.x_train[row, length:].any()
    assert np.array_equal(found.x_test, found.x_train[:8])


def test_lengths_are_split_with_their_samples(tmp_path):
    found = datasets.load(archive(tmp_path, x=SERIES, y=Y, lengths=LENGTHS))
    for sample in np.concatenate([found.x_train, found.x_test]):
        row = np.flatnonzero(SERIES[:, 0, 0] == sample[0, 0])
        assert sample[:, -1].sum() == LENGTHS[row]
    assert not datasets.load(archive(tmp_path, x=SERIES, y=Y)).masked


MISTAKES = {
    "lengths of no series": ({"x": X, "y": Y, "lengths": LENGTHS}, DataShapeError, "steps, feat"),
    "length 0": (
        {"x": SERIES, "y": Y, "lengths": with_(LENGTHS, 3, 0)},
        DataValueError,
        r"x, lengths, row 4.*from 1 to 6.*got 0 \(1 such",
    ),
    "too long": ({"x": SERIES, "y": Y, "lengths": LENGTHS + 1}, DataValueError, "row 6.*got 7"),
    "half lengths": ({"x": SERIES, "y": Y, "lengths": LENGTHS / 2}, DataShapeError, "float64"),
    "few lengths": ({"x": SERIES, "y": Y, "lengths": LENGTHS[:9]}, DataShapeError, r"int64\[9\]"),
    "lengths of one part": (
        parts(x_train=SERIES, x_test=SERIES[:8], lengths_train=LENGTHS),
        DataShapeError,
        "lengths_train and lengths_test",
    ),
    "lengths of another split": (
        {"x": SERIES, "y": Y, "lengths_train": LENGTHS},
        DataShapeError,
        "lengths beside x",
    ),
    "lengths of nothing": ({"y": Y, "lengths": LENGTHS}, DataShapeError, "lengths beside x"),
    "NaN in a real step": (
        {"x": with_(SERIES, (7, 1, 0), np.nan), "y": Y, "lengths": LENGTHS},
        DataValueError,
        r"x, row 8, feature \(2, 1\)",
    ),
    "nothing": ({}, DataShapeError, "x_train, y_train.*got none"),
    "other names": ({"a": X, "b": Y}, DataShapeError, "got a, b"),
    "test part missing": ({"x_train": X, "y_train": Y}, DataShapeError, "got x_train, y_train"),
    "labels missing": ({"x": X}, DataShapeError, "got x"),
    "NaN in x": ({"x": with_(X, (7, 3), np.nan), "y": Y}, DataValueError, "x, row 8, feature 4"),
    "inf in x": ({"x": with_(X, (9, 0), -np.inf), "y": Y}, DataValueError, "row 10.*-inf"),
    "too large for float32": ({"x": with_(X, (5, 1), 1e39), "y": Y}, DataValueError, "1e\\+39"),
    "NaN in the test part": (
        parts(x_test=with_(X[:8], (2, 4), np.nan)),
        DataValueError,
        r"test part, row 3, feature 5.*nan \(1 such",
    ),
    "NaN label": ({"x": X, "y": with_(Y, 6, np.nan)}, DataValueError, "y, row 7.*nan"),
    "inf label": ({"x": X, "y": with_(Y, 6, np.inf)}, DataValueError, "y, row 7.*inf"),
    "half a label": ({"x": X, "y": with_(Y, 4, 0.5)}, DataValueError, "y, row 5.*0.5"),
    "negative label": ({"x": X, "y": with_(Y, 11, -1)}, DataValueError, "y, row 12.*-1"),
    "huge label": ({"x": X, "y": with_(Y, 3, 10**15)}, DataValueError, "row 4.*1000000000000000"),
    "label beyond int64": (
        {"x": X, "y": np.full(40, 2**63, np.uint64)},
        DataValueError,
        "9223372036854775808",
    ),
    "text labels": ({"x": X, "y": Y.astype(str)}, DataValueError, "y: .*<U21.*'classes'"),
    "flags as labels": ({"x": X, "y": Y > 0}, DataValueError, "bool"),
    "one-hot labels": ({"x": X, "y": np.eye(3)[Y]}, DataShapeError, r"\[40, 3\]"),
    "a column of labels": ({"x": X, "y": Y[:, None]}, DataShapeError, r"\[40, 1\]"),
    "too few labels": ({"x": X, "y": Y[:30]}, DataShapeError, "40 labels"),
    "too few labels in one part": (parts(y_test=Y[:7]), DataShapeError, "test part.*8 labels"),
    "one class": ({"x": X, "y": Y * 0}, DataValueError, "class '0' only"),
    "no samples": ({"x": X[:0], "y": Y[:0]}, DataShapeError, r"\[0, 5\]"),
    "no test samples": (parts(x_test=X[:0], y_test=Y[:0]), DataShapeError, "test part"),
    "no features": ({"x": X[:, :0], "y": Y}, DataShapeError, r"\[40, 0\]"),
    "one sample": ({"x": X[:1], "y": Y[:1]}, DataShapeError, "two samples or more"),
    "a flat x": ({"x": X[:, 0], "y": Y}, DataShapeError, r"\[40\]"),
    "scalars": ({"x": np.float64(1), "y": np.float64(1)}, DataShapeError, "float64"),
    "complex": ({"x": X.astype(complex), "y": Y}, DataShapeError, "complex128"),
    "dates": ({"x": X.astype("datetime64[s]"), "y": Y}, DataShapeError, "datetime64"),
    "texts": ({"x": X.astype(str), "y": Y}, DataShapeError, "<U"),
    "records": ({"x": np.zeros(40, [("a", "f4")]), "y": Y}, DataShapeError, "'a'"),
    "objects": ({"x": X.astype(object), "y": Y}, DataFileError, "x: .*plain arrays"),
    "object names": (parts(classes=np.array([None, 1, 2])), DataFileError, "classes"),
    "other features in the test part": (parts(x_test=X[:8, :4]), DataShapeError, r"\[5\].*\[4\]"),
    "names twice": (parts(classes=np.array(["a", "b", "a"])), DataValueError, "'a' more than"),
    "too few names": (parts(classes=np.array(["a", "b"])), DataValueError, "from 0 to 1, got 2"),
    "names in a table": (parts(classes=np.array([["a", "b", "c"]])), DataShapeError, "classes"),
    "one name, no list": (parts(classes=np.array("abc")), DataShapeError, "classes"),
    "names that are floats": (parts(classes=np.arange(3.0)), DataShapeError, "classes"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_archives_with_mistakes(tmp_path, mistake):
    arrays, error, words = MISTAKES[mistake]
    source = archive(tmp_path, **arrays)
    with pytest.raises(error, match=words) as caught:
        datasets.load(source)
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)


def npz_of(content: bytes, name: str = "x.npy") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as made:
        made.writestr(name, content)
    return packed.getvalue()


def npy_head(shape: str) -> bytes:
    head = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode()
    head = head.ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"\x80\x04\x95\x0b\0\0\0\0\0\0\0\x8c\x05hello\x94.",
        npy_head("(1, 5)") + bytes(40),
        npz_of(b"no array"),
        npz_of(npy_head("(1000000000000, 64)") + bytes(64)),
        npz_of(npy_head("(-1, 64)") + bytes(64)),
        npz_of(npy_head("__import__('os')") + bytes(64)),
        npz_of(npy_head("(4, 4)") + bytes(64)),
        npz_of(b"", name="../../x.npy"),
    ],
)
def test_files_that_are_no_archive(tmp_path, content):
    path = tmp_path / "d.npz"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        datasets.load(Source(format="npz", path=str(path)))
    assert "allow_pickle" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("place", "value"), [((6, 8), 1), ((8, 10), 99)])
def test_archives_that_are_encrypted_or_packed_in_another_way(tmp_path, place, value):
    source = archive(tmp_path, x=X, y=Y)
    content = bytearray(Path(source.path).read_bytes())
    for mark, at in zip((b"PK\3\4", b"PK\1\2"), place, strict=True):
        content[content.index(mark) + at] = value
    Path(source.path).write_bytes(bytes(content))
    with pytest.raises(DataFileError, match=r"x: expected a whole \.npz"):
        datasets.load(source)


def test_damaged_archives_never_do_worse(tmp_path):
    """Every truncation and many flipped bits: a `DataError`, or data that is still right."""
    path = tmp_path / "d.npz"
    np.savez_compressed(path, x=X, y=Y)
    content = path.read_bytes()
    rng = np.random.default_rng(2)
    variants = [content[:length] for length in range(0, len(content), 41)]
    for place in rng.integers(0, len(content), 400):
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(rng.integers(8))
        variants.append(bytes(flipped))
    refused = 0
    for variant in variants:
        path.write_bytes(variant)
        try:
            found = datasets.load(Source(format="npz", path=str(path)))
        except DataError:
            refused += 1
        else:
            assert np.isin(found.x_train, X).all()
    assert refused > len(variants) / 2


def test_labels_are_checked_against_the_classes():
    assert MAX_CLASSES >= 1000
    for y in ([0, 2], [-1, 0]):
        labels = np.array(y)
        data = Dataset("d", X[:2], labels, X[:2], labels, ("a", "b"))
        with pytest.raises(DataValueError, match="from 0 to 1"):
            data.checked()


# Data sets that are found in a folder, in the cache or on the net


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, no EDGELEARN_DATA, and no proxy between us and ourselves."""
    monkeypatch.delenv("EDGELEARN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "cache" / "edgelearn" / "data"


def contents() -> dict[str, bytes]:
    """The files of a small data set with the names of MNIST's."""
    rng = np.random.default_rng(3)
    arrays = {
        "x_train": rng.integers(0, 255, (20, 28, 28)).astype(np.uint8),
        "y_train": (np.arange(20) % 10).astype(np.uint8),
        "x_test": rng.integers(0, 255, (10, 28, 28)).astype(np.uint8),
        "y_test": np.arange(10).astype(np.uint8),
    }
    return {idx.PARTS[key]: idx_bytes(value) for key, value in arrays.items()}


@pytest.fixture
def server(monkeypatch, cache):
    """A mirror on this machine; `server.reply(path)` gives status, headers and body."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked.append(self.path)
            status, headers, body = self.server.reply(self.path)
            if status is None:
                self.wfile.write(body)
                return
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        files = contents()
        found.asked = []
        found.reply = lambda path: served(files, path)
        url = f"http://127.0.0.1:{found.server_port}/m"
        digests = {stem: hashlib.sha256(body).hexdigest() for stem, body in files.items()}
        for module in (mnist, fashion_mnist):
            monkeypatch.setattr(module, "URL", url)
            monkeypatch.setattr(module, "SHA256", digests)
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def served(files, path):
    body = gzip.compress(files[path.removeprefix("/m/").removesuffix(".gz")])
    return 200, {"Content-Length": str(len(body))}, body


def test_a_download_is_kept(server, cache):
    told = []
    found = datasets.load(Source(name="mnist"), lambda *what: told.append(what))
    assert found.x_train.shape == (20, 28, 28)
    assert found.name == "mnist"
    assert sorted(p.name for p in (cache / "mnist").iterdir()) == sorted(contents())
    assert len(server.asked) == 4
    assert all(done <= total for _, done, total in told)
    assert {what for what, _, _ in told} == set(contents())
    datasets.load(Source(name="mnist"))
    assert len(server.asked) == 4


def test_a_damaged_file_in_the_cache_is_fetched_again(server, cache):
    datasets.load(Source(name="mnist"))
    damaged_file = cache / "mnist" / idx.PARTS["x_test"]
    damaged_file.write_bytes(damaged_file.read_bytes()[:-1])
    datasets.load(Source(name="mnist"))
    assert len(server.asked) == 5
    assert damaged_file.read_bytes() == contents()[damaged_file.name]


def test_fashion_mnist_names_its_classes(server):
    assert datasets.load(Source(name="fashion_mnist")).classes[9] == "Ankle boot"


def cut(files, path):
    status, headers, body = served(files, path)
    return status, headers, body[: len(body) // 2]


def cut_without_length(files, path):
    status, _, body = served(files, path)
    return status, {}, body[: len(body) // 2]


BODY = {"Content-Length": "5"}
REPLIES = {
    "not found": lambda _files, _path: (404, BODY, b"hello"),
    "server error": lambda _files, _path: (500, BODY, b"hello"),
    "a page instead": lambda _files, _path: (200, BODY, b"<html"),
    "nothing": lambda _files, _path: (200, {"Content-Length": "0"}, b""),
    "a length that is none": lambda files, path: (200, {"Content-Length": "x"}, b"hello"),
    "cut": cut,
    "cut without a length": cut_without_length,
    "other bytes": lambda files, path: served({k: v + b"x" for k, v in files.items()}, path),
    "no HTTP at all": lambda _files, _path: (None, {}, b"220 smtp ready\r\n"),
    "silence": lambda _files, _path: (None, {}, b""),
    "round and round": lambda _files, path: (302, {"Location": path}, b""),
}


@pytest.mark.parametrize("reply", REPLIES)
def test_wrong_replies_leave_nothing(server, cache, reply):
    files = contents()
    server.reply = lambda path: REPLIES[reply](files, path)
    with pytest.raises(DataUnavailable, match="EDGELEARN_DATA") as caught:
        datasets.load(Source(name="mnist"))
    assert "\n" not in str(caught.value)
    assert not [p for p in cache.rglob("*") if p.is_file()]


def test_a_reply_that_breaks_off_is_called_so(server):
    files = contents()
    server.reply = lambda path: cut(files, path)
    with pytest.raises(DataUnavailable, match=r"broke off after \d+ of \d+|IncompleteRead"):
        datasets.load(Source(name="mnist"))


def test_a_reply_without_end(server, cache, monkeypatch):
    monkeypatch.setattr(_mirror, "MAX_DOWNLOAD_BYTES", 1000)
    with pytest.raises(DataUnavailable, match="does not end"):
        datasets.load(Source(name="mnist"))
    assert not [p for p in cache.rglob("*") if p.is_file()]


def test_what_was_fetched_before_a_failure_is_kept(server, cache):
    files = contents()
    broken = idx.PARTS["x_test"]
    server.reply = lambda path: (404, BODY, b"hello") if broken in path else served(files, path)
    with pytest.raises(DataUnavailable, match=broken):
        datasets.load(Source(name="mnist"))
    assert len(list((cache / "mnist").iterdir())) == 2


def test_nobody_answers(cache, monkeypatch):
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setattr(mnist, "URL", f"http://127.0.0.1:{free.getsockname()[1]}")
    with pytest.raises(DataUnavailable, match=r"(?i)refused.*EDGELEARN_DATA") as caught:
        datasets.load(Source(name="mnist"))
    assert caught.value.exit_code == 4


def test_a_cache_that_cannot_be_written(server, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(DataUnavailable, match="cannot be written"):
        datasets.load(Source(name="mnist"))
    assert not server.asked


def test_edgelearn_data_goes_first(server, tmp_path, monkeypatch):
    idx_folder(tmp_path / "data" / "mnist", packed=True)
    monkeypatch.setenv("EDGELEARN_DATA", str(tmp_path / "data"))
    assert datasets.load(Source(name="mnist")).x_train.shape == (6, 4, 4)
    assert not server.asked


def test_edgelearn_data_with_a_part_missing(server, tmp_path, monkeypatch):
    idx_folder(tmp_path / "data" / "mnist", y_test=None)
    monkeypatch.setenv("EDGELEARN_DATA", str(tmp_path / "data"))
    with pytest.raises(MissingFile, match="t10k-labels"):
        datasets.load(Source(name="mnist"))


@pytest.mark.parametrize("folder", ["data", "none"])
def test_edgelearn_data_without_the_set_means_the_cache(server, tmp_path, monkeypatch, folder):
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("EDGELEARN_DATA", str(tmp_path / folder))
    assert datasets.load(Source(name="mnist")).x_train.shape == (20, 28, 28)
    assert len(server.asked) == 4


@pytest.mark.parametrize(("name", "module"), [("mnist", mnist), ("fashion_mnist", fashion_mnist)])
def test_the_real_sets(data_folder, name, module):
    if not (data_folder / name).is_dir():
        pytest.skip(f"EDGELEARN_DATA has no folder {name}")
    found = datasets.load(Source(name=name))
    assert found.x_train.shape == (60_000, 28, 28)
    assert found.x_test.shape == (10_000, 28, 28)
    assert found.spec == datasets.describe(Source(name=name))
    for stem, digest in module.SHA256.items():
        content = idx._content(data_folder / name, stem)
        assert hashlib.sha256(content).hexdigest() == digest
