"""Constants that are computed once: the answers stay, nodes go, and no constant grows."""

from __future__ import annotations

import numpy as np
import pytest

from edgelearn.ir import BATCH, Builder, run
from edgelearn.ir.ops import Concat, Unary
from edgelearn.layers import SequenceLearner, examples
from edgelearn.passes.fold import fold

X = np.array([[1, -2, 3]], np.float32)


def small():
    """``x * sqrt(k + 1)``, where k is all that is stored."""
    b = Builder("small")
    x, k = b.input("x", (BATCH, 3)), b.constant("k", np.array([3, 8, 15], np.float32))
    spread = b.unary("sqrt", b.binary("add", k, b.scalar(1)))
    return b.graph([b.binary("mul", x, spread, name="out")])


def test_what_constants_decide_is_a_constant():
    graph = fold(small())
    assert [type(node.op).__name__ for node in graph.nodes] == ["Binary"]
    assert [value.tolist() for value in graph.constants.values()] == [[2, 3, 4]]
    np.testing.assert_array_equal(run(graph, {"x": X}).outputs["out"], [[2, -6, 12]])


def test_what_is_read_elsewhere_too_stays():
    b = Builder("shared")
    x, k = b.input("x", (BATCH, 3)), b.constant("k", np.ones(3, np.float32))
    a = b.binary("mul", x, b.unary("neg", k))
    graph = fold(b.graph([b.binary("add", a, k, name="out")]))
    assert len(graph.constants) == 2
    np.testing.assert_array_equal(run(graph, {"x": X}).outputs["out"], 1 - X)


def test_a_value_larger_than_its_parts_is_not_stored():
    b = Builder("tiled")
    x, k = b.input("x", (BATCH, 6)), b.constant("k", np.ones(3, np.float32))
    tiled = b.apply(Concat(0), k, k)
    graph = b.graph([b.binary("mul", x, tiled, name="out")])
    assert fold(graph).nodes == graph.nodes


def test_what_leaves_the_graph_is_made_by_it():
    b = Builder("leaving")
    state = b.state("s", np.zeros(3, np.float32))
    b.update(state, b.unary("neg", b.constant("k", np.ones(3, np.float32))))
    graph = b.graph([b.unary("exp", "k", name="out")])
    assert {node.op for node in fold(graph).nodes} == {Unary("neg"), Unary("exp")}
    assert fold(graph).states == graph.states


@pytest.mark.parametrize(
    ("layer", "in_shape"), [e for e in examples() if not isinstance(e[0], SequenceLearner)], ids=str
)
def test_layers_answer_the_same(layer, in_shape):
    b = Builder("layer")
    x = b.input("x", (BATCH, *in_shape))
    params = {k: b.constant(k, v) for k, v in layer.init(in_shape, 0, 0).items()}
    b.unary("neg", layer.emit(b, params, x).a, name="a")  # one node, whatever the layer does
    graph = b.graph(["a"])
    feeds = {"x": np.random.default_rng(0).random((2, *in_shape), np.float32)}
    expected, folded = run(graph, feeds).outputs["a"], fold(graph)
    np.testing.assert_array_equal(run(folded, feeds).outputs["a"], expected)
    stored = [sum(v.nbytes for v in g.constants.values()) for g in (graph, folded)]
    assert stored[1] <= stored[0]
