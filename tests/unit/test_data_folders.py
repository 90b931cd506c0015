"""Data sets that are read from EDGELEARN_DATA only: their files, and mistakes in them."""

from __future__ import annotations

import gzip
import io
import wave
import zipfile

import numpy as np
import pytest

from edgelearn import datasets
from edgelearn.datasets import Source, hapt, japanese_vowels
from edgelearn.datasets._base import Dataset
from edgelearn.datasets._masks import with_mask
from edgelearn.errors import (
    DataError,
    DataFileError,
    DataShapeError,
    DataUnavailable,
    DataValueError,
    MissingFile,
)

FOLDERS = {
    "cifar10": "cifar10",
    "cmapss": "cmapss_fd001",
    "fsdd": "fsdd",
    "hapt": "hapt",
    "japanese_vowels": "ucr_uea_small",
}


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An EDGELEARN_DATA that is empty."""
    monkeypatch.setenv("EDGELEARN_DATA", str(tmp_path))
    return tmp_path


def load(name: str) -> Dataset:
    return datasets.load(Source(name=name))


@pytest.mark.parametrize("name", FOLDERS)
def test_a_set_that_is_not_there(root, name, monkeypatch):
    with pytest.raises(DataUnavailable, match=f"a folder {FOLDERS[name]} below EDGELEARN_DATA"):
        load(name)
    (root / FOLDERS[name]).mkdir()
    with pytest.raises(MissingFile, match=f"https://.*folder {FOLDERS[name]}"):
        load(name)
    monkeypatch.delenv("EDGELEARN_DATA")
    with pytest.raises(DataUnavailable, match="no EDGELEARN_DATA"):
        load(name)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_set_is_described_without_its_files(name, monkeypatch):
    monkeypatch.delenv("EDGELEARN_DATA", raising=False)
    spec = datasets.describe(Source(name=name))
    assert len(spec.classes) >= 6 or spec.outputs


# The real sets


def real(data_folder, name: str) -> Dataset:
    if not (data_folder / FOLDERS[name]).is_dir():
        pytest.skip(f"EDGELEARN_DATA has no folder {FOLDERS[name]}")
    found = load(name)
    assert found.name == name
    assert found.spec == datasets.describe(Source(name=name))
    return found


def test_cifar10(data_folder):
    found = real(data_folder, "cifar10")
    assert len(found.x_train) % 10_000 == 0
    assert found.x_train.dtype == np.uint8
    assert found.x_train.flags["C_CONTIGUOUS"]
    assert found.x_train.max() == 255
    # The sky is above and blue, in aeroplanes and ships more than elsewhere.
    sky = found.x_train[np.isin(found.y_train, (0, 8)), :4].mean(axis=(0, 1, 2))
    assert sky[2] > sky[1] > sky[0]


def test_fsdd(data_folder):
    found = real(data_folder, "fsdd")
    assert (len(found.x_train), len(found.x_test)) == (2700, 300)
    assert (np.bincount(found.y_test) == 30).all()
    assert (np.bincount(found.y_train[-300:]) == 30).all()
    lengths = found.x_train[..., -1].sum(axis=1)
    assert 7 <= lengths.min() < 25 < lengths.max() == 64


def test_hapt(data_folder):
    found = real(data_folder, "hapt")
    assert (len(found.x_train), len(found.x_test)) == (7415, 2996)
    still = found.x_train[found.y_train >= 3, :, :3].mean(axis=1)
    gravity_g = np.linalg.norm(still, axis=1).mean()
    assert gravity_g == pytest.approx(1, abs=0.05)
    windows = hapt.windows()
    users = [set(windows.user[windows.is_test == part].tolist()) for part in (False, True)]
    assert [len(part) for part in users] == [21, 9]
    assert not users[0] & users[1]


def test_japanese_vowels(data_folder):
    found = real(data_folder, "japanese_vowels")
    assert (len(found.x_train), len(found.x_test)) == (270, 370)
    lengths = found.x_test[..., -1].sum(axis=1)
    assert (lengths.min(), lengths.max()) == (7, 29)
    assert np.bincount(found.y_test).tolist() == [31, 35, 88, 44, 29, 24, 40, 50, 29]


# CIFAR-10


def record(label: int, pixels: np.ndarray) -> bytes:
    return bytes([label]) + pixels.transpose(2, 0, 1).tobytes()


IMAGES = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)
RECORDS = [record(label, image) for label, image in zip((3, 9, 0, 1), IMAGES, strict=True)]


def test_cmapss(data_folder):
    found = real(data_folder, "cmapss")
    assert found.x_train.shape == (17_731, 30, 14)
    assert found.x_test.shape == (100, 30, 14)
    assert found.outputs == ("rul",)
    assert found.y_train.max() == found.y_test.max() == 125
    assert (found.y_train == 0).sum() == 100  # every engine runs until it fails
    assert found.y_test[:3, 0].tolist() == [112, 98, 69]  # the first rows of RUL_FD001.txt
    assert (found.x_train.std(axis=(0, 1)) > 0).all()


def engines(root, lengths, *, columns=26, left=None, pack=gzip.compress):
    """C-MAPSS files of engines that ran so long; sensors hold the cycle."""
    folder = root / "cmapss_fd001"
    folder.mkdir(exist_ok=True)
    rows = [
        " ".join(str(v) for v in (unit, cycle, *[cycle] * (columns - 2)))
        for unit, length in enumerate(lengths, start=1)
        for cycle in range(1, length + 1)
    ]
    for name in ("train", "test"):
        (folder / f"{name}_FD001.txt.gz").write_bytes(pack("\n".join(rows).encode()))
    left = [7] * len(lengths) if left is None else left
    (folder / "RUL_FD001.txt").write_text("\n".join(f"{n} " for n in left))


def test_windows_of_engines(root):
    engines(root, [32, 30], left=[200, 3])
    found = load("cmapss")
    assert found.y_train[:, 0].tolist() == [2, 1, 0, 0]
    assert found.y_test[:, 0].tolist() == [125, 3]
    assert found.x_train[1, :, 0].tolist() == list(range(2, 32))
    assert found.x_test[0, -1].tolist() == [32] * 14


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"lengths": [30, 29]}, "fewer of engine 2"),
        ({"lengths": [32, 31], "columns": 25}, "26 columns"),
        ({"lengths": [32, 31], "left": [1]}, "2 rows, one an engine"),
        ({"lengths": [32, 31], "left": ["x", 1]}, "rows of numbers"),
        ({"lengths": [32, 31], "pack": lambda text: gzip.compress(text)[:-9]}, "rows of numbers"),
        ({"lengths": [32, 31], "pack": lambda text: text}, "rows of numbers"),
    ],
)
def test_mistakes_in_cmapss(root, settings, words):
    engines(root, **settings)
    with pytest.raises(DataFileError, match=words):
        load("cmapss")


@pytest.mark.parametrize("packed", [False, True])
def test_batches_of_cifar10(root, packed):
    folder = root / "cifar10"
    folder.mkdir()
    files = {"data_batch_2": RECORDS[:2], "data_batch_5": RECORDS[2:3], "test_batch": RECORDS[3:]}
    for stem, records in files.items():
        content = b"".join(records)
        name = f"{stem}.bin" + (".gz" if packed else "")
        (folder / name).write_bytes(gzip.compress(content) if packed else content)
    found = load("cifar10")
    assert np.array_equal(found.x_train, IMAGES[:3])
    assert np.array_equal(found.x_test, IMAGES[3:])
    assert found.y_train.tolist() == [3, 9, 0]


@pytest.mark.parametrize(
    ("name", "content", "error", "words"),
    [
        ("test_batch.bin", None, MissingFile, "test_batch.bin or"),
        ("data_batch_1.bin", None, MissingFile, "data_batch_1.bin or"),
        ("test_batch.bin", b"", DataFileError, "0 bytes"),
        ("data_batch_1.bin", RECORDS[0][:-1], DataFileError, "3072 bytes"),
        ("test_batch.bin", record(10, IMAGES[0]), DataValueError, "row 1.*from 0 to 9.*10"),
    ],
)
def test_mistakes_in_cifar10(root, name, content, error, words):
    files = {"data_batch_1.bin": b"".join(RECORDS[:2]), "test_batch.bin": RECORDS[2]}
    (root / "cifar10").mkdir()
    for key, good in files.items():
        wanted = content if key == name else good
        if wanted is not None:
            (root / "cifar10" / key).write_bytes(wanted)
    with pytest.raises(error, match=words):
        load("cifar10")


# Spoken digits


def wav(count: int) -> bytes:
    sound = np.random.default_rng(count).integers(-9000, 9000, count).astype("<i2")
    packed = io.BytesIO()
    with wave.open(packed, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(sound.tobytes())
    return packed.getvalue()


WAVS = {
    "7_anna_10.wav": wav(900),
    "3_anna_5.wav": wav(100),
    "3_bert_4.wav": wav(20_000),
    "0_bert_0.wav": wav(256),
}


def zipped(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"fsdd-main/recordings/{name}", content)


@pytest.mark.parametrize("packed", [False, True])
def test_recordings(root, packed):
    folder = root / "fsdd"
    (folder / "recordings").mkdir(parents=True)
    for name, content in {**WAVS, "notes.txt": b"x"}.items():
        (folder / "recordings" / name).write_bytes(content)
    if packed:
        zipped(folder / "recordings.zip", {**WAVS, "._7_anna_10.wav": b"x"})
    found = load("fsdd")
    assert found.y_train.tolist() == [3, 7]
    assert found.y_test.tolist() == [0, 3]
    assert found.x_train[..., -1].sum(axis=1).tolist() == [1, 6]
    assert found.x_test[..., -1].sum(axis=1).tolist() == [1, 64]


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"no archive", "zip"), (None, "got none"), ({"3_anna_5.wav": b"x"}, "RIFF|part of one")],
)
def test_mistakes_in_recordings(root, content, words):
    (root / "fsdd").mkdir()
    path = root / "fsdd" / "recordings.zip"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        zipped(path, content or {"readme.wav": b"x"})
    with pytest.raises(DataFileError, match=words):
        load("fsdd")


def test_damaged_recordings_never_do_worse(root):
    (root / "fsdd").mkdir()
    path = root / "fsdd" / "recordings.zip"
    zipped(path, WAVS)
    content = path.read_bytes()
    for place in range(0, len(content), 97):
        flipped = bytearray(content)
        flipped[place] ^= 0x55
        path.write_bytes(bytes(flipped))
        try:
            load("fsdd")
        except DataError as error:
            assert "\n" not in str(error)  # noqa: PT017


# Activities

EXPERIMENTS = "experiment,user,split,offset,length\n1,4,train,0,400\n2,9,test,400,300\n"
LABELS = "experiment,activity_id,start_sample_1based,end_sample_1based\n"
SIGNALS = np.random.default_rng(1).integers(-900, 900, (700, 6)).astype(np.int16)


def activities(root, *rows: str, experiments: str = EXPERIMENTS, **arrays) -> None:
    (root / "hapt").mkdir()
    np.savez(root / "hapt" / "signals_int16.npz", **(arrays or {"signals": SIGNALS}))
    (root / "hapt" / "experiments.csv").write_text(experiments)
    (root / "hapt" / "labels.csv").write_text(LABELS + "\n".join(rows))


def test_windows_stay_within_their_activity(root):
    activities(root, "1,1,11,202", "1,5,203,330", "1,7,331,400", "2,6,1,127", "2,2,20,300")
    found = load("hapt")
    assert found.y_train.tolist() == [0, 0, 4]
    assert found.y_test.tolist() == [1, 1, 1]
    for x, start in zip(found.x_train, (10, 74, 202), strict=True):
        np.testing.assert_allclose(x[:, 0], SIGNALS[start : start + 128, 0] / 720, rtol=1e-6)
    turning = np.deg2rad(SIGNALS[419:547, 5] * 0.0175)
    np.testing.assert_allclose(found.x_test[0, :, 5], turning, rtol=1e-6)
    assert hapt.windows().user.tolist() == [4, 4, 4, 9, 9, 9]


@pytest.mark.parametrize(
    ("rows", "changes"),
    [
        (["1,1,1,401"], {}),
        (["1,1,0,200"], {}),
        (["1,1,200,100"], {}),
        (["3,1,1,200"], {}),
        (["1,walking,1,200"], {}),
        (["1,1"], {}),
        ([], {}),
        (["1,7,1,200"], {}),
        (["2,1,1,300"], {"signals": SIGNALS[:600]}),
        (["1,1,1,200"], {"signals": SIGNALS[:, :3]}),
        (["1,1,1,200"], {"x": SIGNALS}),
        (["1,1,1,200"], {"experiments": "a,b\n1,2\n"}),
    ],
)
def test_mistakes_in_activities(root, rows, changes):
    activities(root, *rows, **changes)
    with pytest.raises(DataFileError, match="hapt") as caught:
        load("hapt")
    assert "\n" not in str(caught.value)


# Japanese vowels


def vowels(root, **changes) -> None:
    x = np.random.default_rng(2).normal(size=(4, 12, 9)).astype(np.float32)
    x[0, :, 7:] = np.nan
    good = {"x": x, "len": np.array([7, 9, 9, 9]), "y": np.array([0, 1, 8, 0])}
    arrays = {f"{key}_{part}": good[key] for key in good for part in ("train", "test")} | changes
    (root / "ucr_uea_small").mkdir()
    path = root / "ucr_uea_small" / "JapaneseVowels.npz"
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})


def test_vowels_are_padded_to_the_longest_of_both_parts(root):
    vowels(root)
    found = load("japanese_vowels")
    assert found.x_train.shape == (4, japanese_vowels.STEPS, 13)
    assert found.x_train[..., -1].sum(axis=1).tolist() == [7, 9, 9, 9]
    assert not found.x_train[0, 7:].any()


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"len_test": None}, DataShapeError, "arrays len_test"),
        ({"x_train": np.zeros((4, 11, 9))}, DataShapeError, r"\[11, 9\]"),
        ({"x_test": np.zeros((4, 12, 30))}, DataShapeError, r"\[12, 30\]"),
        ({"len_train": np.array([9, 9, 9, 30])}, DataValueError, "row 4.*30"),
        ({"len_train": np.array([8, 9, 9, 9])}, DataValueError, r"row 1, feature \(8, 1\).*nan"),
        ({"y_train": np.array([0, 1, 9, 0])}, DataValueError, "row 3.*from 0 to 8"),
    ],
)
def test_mistakes_in_vowels(root, changes, error, words):
    vowels(root, **changes)
    with pytest.raises(error, match=words):
        load("japanese_vowels")


# Masks

X = np.random.default_rng(3).normal(1, 1, (3, 5, 2))
Y = np.array([0, 1, 1])
MASKED = with_mask(X, np.array([5, 1, 3]), "x")


def test_a_mask():
    assert MASKED[..., -1].tolist() == [[1] * 5, [1, 0, 0, 0, 0], [1, 1, 1, 0, 0]]
    assert np.array_equal(MASKED[2, :3, :2], X[2, :3])
    assert not MASKED[2, 3:].any()
    Dataset("d", MASKED, Y, MASKED, Y, ("a", "b"), masked=True).checked()


def put(place, value):
    copy = MASKED.copy()
    copy[place] = value
    return copy


@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        (MASKED[:, :, 0], DataShapeError, "features"),
        (MASKED[:, :, -1:], DataShapeError, "features"),
        (put((2, 3, 0), 0.1), DataValueError, "row 3.*1 such"),
        (put((2, 4, -1), 1), DataValueError, "row 3"),
        (put((1, 0, -1), 0), DataValueError, "row 2"),
        (put((0, 2, -1), 0.5), DataValueError, "row 1"),
        (put((1, 0), 0), DataValueError, "row 2"),
    ],
)
def test_masks_that_are_none(x, error, words):
    with pytest.raises(error, match=words):
        Dataset("d", x, Y, x, Y, ("a", "b"), masked=True).checked()
