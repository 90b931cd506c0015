"""The functions of one number in C: every result within a few units in the last place."""

from __future__ import annotations

import numpy as np
import pytest
from c_programs import lane, predicting, session_of

from edgelearn.ir import Builder

SIZE = 400_001
TRUTH = {
    "exp": np.exp,
    "log": np.log,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "sqrt": np.sqrt,
}
SPANS = {
    "exp": [(-110, 88.72), (-1, 1), (-1e-3, 1e-3)],
    "log": [(1e-45, 1e-37), (1e-30, 1e30), (0.5, 2)],
    "tanh": [(-12, 12), (-1, 1), (-1e-3, 1e-3), (-1e30, 1e30)],
    "sigmoid": [(-100, 100), (-1, 1), (-1e30, 1e30)],
    "sqrt": [(0, 1e38), (0, 2)],
}
UNITS = {"exp": 2, "log": 2, "tanh": 4, "sigmoid": 3, "sqrt": 0.5}
"""Allowed error, in units in the last place of the result; sqrt is exact, that is rounded once."""


@pytest.fixture(scope="module")
def function(tmp_path_factory):
    """All functions in one program, each with an input of its own."""
    b = Builder("numbers")
    outs = [b.unary(kind, b.input(f"x_{kind}", (SIZE,)), name=kind) for kind in TRUTH]
    program = predicting(b.graph(outs), 1)
    with session_of(program, tmp_path_factory.mktemp("numbers"), "-O2") as session:
        yield lane(program, session).run


def samples(low, high):
    """Evenly spread, or by orders of magnitude where the span has many."""
    if low > 0 and high / low > 1e6:
        return np.geomspace(low, high, SIZE).astype(np.float32)
    return np.linspace(low, high, SIZE).astype(np.float32)


@pytest.mark.parametrize("place", range(4))
def test_last_places(function, place):
    spans = {kind: found[place % len(found)] for kind, found in SPANS.items()}
    feeds = {f"x_{kind}": samples(*span) for kind, span in spans.items()}
    got = function(feeds)
    for kind, truth in TRUTH.items():
        with np.errstate(over="ignore"):
            wanted = truth(feeds[f"x_{kind}"].astype(np.float64))
        unit = np.spacing(np.abs(wanted).astype(np.float32)).astype(np.float64)
        worst = float((np.abs(got[kind] - wanted) / unit).max())
        assert worst <= UNITS[kind] + 1e-6, (kind, spans[kind], worst)


def test_signs_and_zero(function):
    zeros = np.zeros(SIZE, np.float32)
    got = function({f"x_{kind}": zeros + (kind == "log") for kind in TRUTH})
    firsts = {kind: float(value[0]) for kind, value in got.items()}
    assert firsts == {"exp": 1, "log": 0, "tanh": 0, "sigmoid": 0.5, "sqrt": 0}
