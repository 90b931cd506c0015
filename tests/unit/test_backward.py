"""Reverse mode: the rule of every op against central differences in float64."""

from __future__ import annotations

import numpy as np
import pytest
from op_cases import CASES, Arg, case
from slopes import PRECISE, places, run64, slope

from edgelearn.ir import BATCH, Builder
from edgelearn.ir.ops import Binary, Gather, Pool2d, Reduce, Slice, Unary
from edgelearn.passes.backward import Backward

CORNERS = [  # values of whole numbers, many of them equal
    case(Reduce("max", (1,)), Arg((BATCH, 7), "int64", high=3)),
]


def with_loss(b, out):
    """`out` weighed at random and summed, as the value ``loss``, and its error."""
    shape = tuple(5 if n == BATCH else n for n in b.specs[out].shape)
    weights = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    error = b.constant("weights", weights) if BATCH not in b.specs[out].shape else None
    if error is None:
        error = b.input("weights", b.specs[out].shape)
    total = b.binary("mul", out, error)
    axes = tuple(range(len(shape)))
    loss = b.apply(Reduce("sum", axes), total, name="loss") if axes else b.rename(total, "loss")
    return error, weights, loss


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_op_follows_central_differences(case):
    b, feeds = case.built(5)
    nodes = list(b.nodes)
    fed = {**feeds, **{n: case_constant(b, n) for n in b.specs if n.startswith("k")}}
    sources = [name for name, value in fed.items() if value.dtype == np.float32]
    back = Backward(b, sources)
    if not back.wants("out"):
        assert type(case.op).__name__ in {"OneHot", "BatchSize", "Reshape", "Transpose", "Unary"}
        return
    error, weights, loss = with_loss(b, "out")
    back.send("out", error)
    back.walk(nodes)
    errors = {name: back.error(name) for name in sources}
    graph = b.graph([loss, *errors.values()])
    given = {**fed, "weights": weights}
    found = run64(graph, given)
    for name, value in errors.items():
        scale = max(1.0, float(np.abs(found[value]).max()))
        assert found[value].shape == fed[name].shape
        for place in places(fed[name].size):
            if fed[name].flat[place] == 0:  # a corner, or next to one
                continue
            expected = slope(graph, given, loss, name, place)
            assert abs(found[value].flat[place] - expected) <= PRECISE * scale


def case_constant(b, name):
    return b.graph([]).constants[name]
