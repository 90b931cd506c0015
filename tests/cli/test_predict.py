"""`edgelearn predict`: files and lines of samples, and every way in which they can be wrong."""

from __future__ import annotations

import json
import shutil
import struct
import threading

import numpy as np
import pytest

from edgelearn.evaluation import predict
from edgelearn.ir import Builder, store
from edgelearn.ir.store import Bundle

COUNT = 4


@pytest.fixture
def model(model_path, here):
    """The model of the digits, where the program looks for it."""
    return shutil.copy(model_path, here / "model.safetensors")


@pytest.fixture
def x(digits):
    """Some test samples."""
    return digits.x_test[:COUNT]


@pytest.fixture
def expected(trained, x):
    """What the engine says of them."""
    return predict(trained.network, x)


def csv(x, separator=","):
    return "".join(separator.join(map(str, row.ravel())) + "\n" for row in x)


def fits(done, expected):
    assert done.err == ""
    assert done.code == 0
    lines = [line.split("\t") for line in done.out.splitlines()]
    assert [name for name, _ in lines] == [str(row.argmax()) for row in expected]
    found = [float(probability) for _, probability in lines]
    np.testing.assert_allclose(found, expected.max(axis=1), atol=1e-4)
    return True


# What is right


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64, ">f4"])
def test_arrays(ask, model, here, x, expected, dtype):
    np.save(here / "x.npy", x.astype(dtype))
    assert fits(ask("predict", "x.npy"), expected)


@pytest.mark.parametrize("shape", [(COUNT, 64), (COUNT, 8, 8), (COUNT, 8, 8, 1)])
def test_arrays_of_another_shape_with_as_many_numbers(ask, model, here, x, expected, shape):
    np.save(here / "x.npy", np.asfortranarray(x.reshape(shape)))
    assert fits(ask("predict", "x.npy"), expected)


@pytest.mark.parametrize("separator", [",", ";", "\t", " ", ", ", "  ", " ;"])
@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.txt", "X.CSV", "größe 1.csv"])
def test_texts(ask, model, here, x, expected, separator, name):
    (here / name).write_text(csv(x, separator))
    assert fits(ask("predict", name), expected)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", ",\n"),
        lambda text: "\n" + text.replace("\n", "\n\n"),
        lambda text: "\ufeff" + text,
        lambda text: text.rstrip("\n"),
        lambda text: text.replace(",", ".0,+"),
        lambda text: "  " + text.replace("\n", " \n"),
    ],
)
def test_habits_of_other_programs(ask, model, here, x, expected, change):
    (here / "x.csv").write_text(change(csv(x)), encoding="utf-8", newline="")
    assert fits(ask("predict", "x.csv"), expected)
    assert fits(ask("predict", "-", stdin=change(csv(x))), expected)


def test_several_files_and_stdin(ask, model, here, x, expected):
    np.save(here / "x.npy", x[:1])
    (here / "y.csv").write_text(csv(x[1:2]))
    done = ask("predict", "x.npy", "y.csv", "-", stdin=csv(x[2:]))
    assert fits(done, expected)


def test_json(ask, model, here, x, expected):
    np.save(here / "x.npy", x)
    found = ask("predict", "x.npy", "--json").json
    assert [list(guess) for guess in found] == [["class", "probability"]] * COUNT
    assert [guess["class"] for guess in found] == [str(row.argmax()) for row in expected]


def test_another_model(ask, model, here, x, expected):
    model.rename(here / "other.safetensors")
    np.save(here / "x.npy", x)
    assert fits(ask("predict", "--model", "other.safetensors", "x.npy"), expected)


def test_numba_is_not_needed(here, model, x):
    import subprocess
    import sys

    code = (
        "import sys; sys.modules['numba'] = None\n"
        "from edgelearn.cli import run; sys.exit(run(['predict', '-']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=here, input=csv(x), capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert len(done.stdout.splitlines()) == COUNT


def test_lines_are_answered_as_they_come(started, model, x, expected):
    process = started("predict", "-")
    timer = threading.Timer(60, process.kill)
    timer.start()
    for row, wanted in zip(x, expected, strict=True):
        process.stdin.write(csv(row[None]))
        process.stdin.flush()
        answer = process.stdout.readline()
        assert answer.split("\t")[0] == str(wanted.argmax())
    process.stdin.close()
    assert process.wait() == 0
    timer.cancel()


def test_a_reader_that_has_seen_enough(started, model, here, x):
    (here / "many.csv").write_text(csv(x) * 3000)
    process = started("predict", "many.csv")
    assert process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(60) == 0


# What is wrong


def wrong_texts():
    ones = ["1"] * 64

    def row(place, word):
        return ",".join([*ones[:place], word, *ones[place + 1 :]]) + "\n"

    good = ",".join(ones) + "\n"
    return {
        "nothing": ("", ["E4001", "one sample at least", "got none"]),
        "empty lines": ("\n \n\r\n", ["E4001", "got none"]),
        "a heading": ("a,b,c\n" + good, ["E4003", "line 1, column 1", "'a'"]),
        "a word": (good + row(5, "high"), ["E4003", "line 2, column 6", "'high'"]),
        "a missing value": (row(10, ""), ["E4003", "line 1, column 11", "got nothing"]),
        "a blank value": (row(10, "  "), ["E4003", "line 1, column 11", "got nothing"]),
        "one value more, one missing": (row(10, "") [:-1] + ",1\n", ["column 11"]),
        "the first value missing": (row(0, ""), ["line 1, column 1"]),
        "the last value missing": (row(63, ""), ["E4001", "got 63"]),
        "two separators at the end": (good[:-1] + ",,\n", ["E4003", "column 65"]),
        "too few": ("1,2,3\n", ["E4001", "expected 64 numbers", "got 3"]),
        "too many": (good[:-1] + ",1\n", ["E4001", "got 65", "without the label"]),
        "too few later": (good + good + "1\n", ["E4001", "sample 3", "got 1"]),
        "NaN": (row(3, "nan"), ["E4002", "sample 1, feature 4", "nan (1 such"]),
        "infinity": (row(3, "-inf"), ["E4002", "feature 4", "-inf"]),
        "too large": (row(3, "1e39"), ["E4002", "feature 4", "1e+39"]),
        "decimal commas": (";".join(["1,5"] * 64), ["E4001", "got 128"]),
        "a quote": (row(3, '"1"'), ["E4003", "column 4"]),
        "binary": ("\0\1\2\3\n", ["E4003", "line 1, column 1"]),
    }  # fmt: skip


@pytest.mark.parametrize("mistake", wrong_texts())
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_texts_with_mistakes(ask, model, here, mistake, flags):
    text, words = wrong_texts()[mistake]
    (here / "x.csv").write_text(text, newline="")
    for name, done in {
        "x.csv": ask("predict", "x.csv", *flags),
        "stdin": ask("predict", "-", *flags, stdin=text),
    }.items():
        assert done.code == 4
        assert len(done.err.splitlines()) == 1
        assert f"E400{words[0][4]} {name}" in done.err if words[0].startswith("E") else True
        for word in words:
            assert word in done.err
        if flags:
            assert done.out == ""


def test_samples_before_a_mistake_are_answered(ask, model, here):
    (here / "x.csv").write_text((",".join(["1"] * 64) + "\n") * 2 + "oops\n")
    done = ask("predict", "x.csv")
    assert done.code == 4
    assert len(done.out.splitlines()) == 2


HEAD = (
    b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 64), }".ljust(117) + b"\n"
)
BOMB = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(HEAD)) + HEAD + bytes(64)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.ones(64), ["E4001", "one sample a row", "float64[64]"]),
        (np.float64(3), ["E4001", "float64[]"]),
        (np.ones((0, 64)), ["E4001", "got none"]),
        (np.ones((2, 63)), ["E4001", "expected 64 numbers (shape [64]), got 63"]),
        (np.ones((2, 2, 64)), ["E4001", "got 128"]),
        (np.ones((2, 64)).astype(str), ["E4001", "<U"]),
        (np.ones((2, 64), complex), ["E4001", "complex128"]),
        (np.zeros((2, 64), "datetime64[s]"), ["E4001", "datetime64"]),
        (np.zeros(64, [("a", "f4")]), ["E4001", "'a'"]),
        (np.full((2, 64), np.nan), ["E4002", "sample 1, feature 1", "nan (64 such"]),
        (np.full((2, 64), 1e300), ["E4002", "1e+300"]),
        (b"", ["E4003", "another kind of file"]),
        (b"hello", ["E4003", "another kind of file"]),
        (b"\x93NUMPY", ["E4003"]),
        (BOMB, ["E4003"]),
        (b"\x93NUMPY\x01\x00\x10\x00__import__('os')", ["E4003"]),
    ],
)
def test_arrays_with_mistakes(ask, model, here, array, words):
    if isinstance(array, bytes):
        (here / "x.npy").write_bytes(array)
    else:
        np.save(here / "x.npy", array)
    ask("predict", "x.npy").refused(4, "x.npy", *words)


def test_pickled_objects_are_never_read(ask, model, here):
    np.save(here / "x.npy", np.array([[1, None]], object), allow_pickle=True)
    ask("predict", "x.npy").refused(4, "E4003", "x.npy")


def test_a_truncated_array(ask, model, here, x):
    np.save(here / "x.npy", x)
    content = (here / "x.npy").read_bytes()
    for length in range(0, len(content), 23):
        (here / "x.npy").write_bytes(content[:length])
        ask("predict", "x.npy").refused(4, "E4003 data 'x.npy'")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none.csv", ["E2003 data 'none.csv'", "no such file"]),
        (".", ["E2003 data '.'", "a folder"]),
        ("model.safetensors", ["E2002 data", ".npy, .npz, .csv", "'.safetensors'"]),
    ],
)
def test_files_that_cannot_be_meant(ask, model, here, x, name, words):
    """Seen before the first answer, also when another file comes first."""
    (here / "x.csv").write_text(csv(x))
    ask("predict", name).refused(2, *words)
    ask("predict", "x.csv", name).refused(2, *words)


@pytest.mark.parametrize(("content", "code"), [(None, 2), (b"", 3), (b"\x02\0\0\0\0\0\0\0{}", 3)])
def test_models_that_are_none(ask, here, content, code):
    if content is not None:
        (here / "model.safetensors").write_bytes(content)
    ask("predict", "-", stdin="1\n").refused(code, "model 'model.safetensors'")


@pytest.mark.parametrize(
    ("phase", "meta"),
    [
        ("train", {"classes": ["a", "b"]}),
        ("infer", {}),
        ("infer", {"classes": "ab"}),
        ("infer", {"classes": ["a"]}),
        ("infer", {"classes": ["a", "b", "c"]}),
    ],
)
def test_graphs_that_are_no_classifier(ask, here, phase, meta):
    b = Builder("g")
    graph = b.graph([b.unary("neg", b.input("x", (-1, 2)))])
    store.write(here / "model.safetensors", Bundle({phase: graph}, meta))
    ask("predict", "-", stdin="1,2\n").refused(3, "E3001", "a model of another kind")


def test_json_through_a_pipe(spawn, model, x):
    done = spawn("predict", "-", "--json", stdin=csv(x))
    assert len(json.loads(done.out)) == COUNT
