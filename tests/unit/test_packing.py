"""Arrays of mostly zeros in a file: the same to the bit, smaller, and refused when damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelearn.errors import ModelFileError
from edgelearn.ir import Builder
from edgelearn.ir.packing import BITS, VALUES, pack, unpack
from edgelearn.ir.store import Bundle, from_bytes, to_bytes

LIMIT = 1 << 20


@given(
    st.sampled_from(["float32", "uint8", "int64", "int8"]),
    st.lists(st.integers(1, 20), min_size=1, max_size=3),
    st.floats(0, 1),
    st.integers(0, 99),
)
def test_every_array_comes_back_to_the_bit(dtype, shape, share, seed):
    rng = np.random.default_rng(seed)
    value = (rng.normal(size=shape) * 100 * (rng.random(shape) < share)).astype(dtype)
    if dtype == "float32":
        value.flat[0] = rng.choice(np.array([-0.0, np.nan, 0], np.float32))
    found, shapes = pack({"x": value})
    again = unpack(found, shapes, LIMIT)["x"]
    assert (again.dtype, again.shape) == (value.dtype, value.shape)
    assert again.tobytes() == value.tobytes()


def test_only_what_pays_is_packed():
    tensors = {
        "dense": np.ones((64, 64), np.float32),
        "small": np.zeros(10, np.float32),
        "sparse": np.eye(64, dtype=np.float32),
    }
    found, shapes = pack(tensors)
    assert shapes == {"sparse": (64, 64)}
    assert found["dense"] is tensors["dense"]
    assert found[VALUES + "sparse"].size == 64
    assert found[BITS + "sparse"].nbytes == 64 * 64 // 8


@pytest.mark.parametrize(
    "change",
    [
        lambda parts, _: parts.pop(BITS + "x"),
        lambda parts, _: parts.pop(VALUES + "x"),
        lambda parts, _: parts.update({BITS + "x": parts[BITS + "x"][:-1]}),
        lambda parts, _: parts.update({BITS + "x": parts[BITS + "x"].astype(np.int8)}),
        lambda parts, _: parts.update({VALUES + "x": parts[VALUES + "x"][:1]}),
        lambda parts, _: parts.update({VALUES + "x": parts[VALUES + "x"][None]}),
        lambda _, shapes: shapes.update(x=(64, 65)),
        lambda _, shapes: shapes.update(x=(-64, -64)),
        lambda _, shapes: shapes.update(x=(1 << 20, 1 << 20)),
    ],
)
def test_parts_that_do_not_fit(change):
    parts, shapes = pack({"x": np.eye(64, dtype=np.float32)})
    change(parts, shapes)
    with pytest.raises((ValueError, KeyError)):
        unpack(parts, shapes, LIMIT)


def test_a_limit_for_all_together():
    parts, shapes = pack({name: np.zeros(1 << 17, np.float32) for name in "ab"})
    assert len(unpack(parts, shapes, LIMIT)) == 2
    with pytest.raises(ValueError, match="packed"):
        unpack(parts, shapes, LIMIT - 1)


def test_a_file_of_mostly_zeros(monkeypatch):
    b = Builder("sparse")
    w = np.eye(256, dtype=np.float32)
    y = b.matmul(b.input("x", (1, 256)), b.constant("w", w))
    content = to_bytes(Bundle({"infer": b.graph([y])}, {}))
    assert len(content) < w.nbytes / 20
    again = from_bytes(content, Path("file"))
    assert np.array_equal(again.graphs["infer"].constants["w"], w)
    monkeypatch.setattr("edgelearn.ir.store.MAX_BYTES", w.nbytes - 1)
    with pytest.raises(ModelFileError, match="packed"):
        from_bytes(content, Path("file"))
