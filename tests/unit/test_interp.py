"""What `run` accepts and gives back; the meaning of each op is tested with the runtimes."""

from __future__ import annotations

import numpy as np
import pytest

from edgelearn.errors import DataShapeError
from edgelearn.ir import BATCH, Builder, run


@pytest.fixture
def graph():
    """``y = (x + e) * h``, with a state `h` that becomes `y` and a parameter `p` that stays."""
    b = Builder("cell")
    x, e = b.input("x", (BATCH, 2)), b.input("e", (BATCH, 2))
    h = b.state("h", np.array([[1, 2]], np.float32), (BATCH, 2))
    p = b.state("p", np.ones(2, np.float32))
    y = b.binary("mul", b.binary("add", x, e), h, name="y")
    b.update(h, y)
    return b.graph([y, b.binary("add", p, p, name="q")])


def ones(*shape):
    return np.ones(shape, np.float32)


def test_outputs_and_states(graph):
    result = run(graph, {"x": ones(3, 2), "e": ones(3, 2)})
    assert list(result.outputs) == ["y", "q"]
    assert result.outputs["y"].tolist() == [[2, 4]] * 3
    assert result.states["h"].tolist() == [[2, 4]] * 3
    assert result.states["p"].tolist() == [1, 1]


def test_states_are_carried_by_the_caller(graph):
    feeds = {"x": ones(1, 2), "e": ones(1, 2)}
    first = run(graph, feeds)
    second = run(graph, feeds, first.states)
    assert second.outputs["y"].tolist() == [[4, 8]]
    assert run(graph, feeds).outputs["y"].tolist() == [[2, 4]]
    partly = run(graph, feeds, {"p": np.full(2, 5, np.float32)})
    assert partly.outputs["q"].tolist() == [10, 10]
    assert partly.outputs["y"].tolist() == [[2, 4]]


def test_nothing_that_is_fed_is_changed(graph):
    feeds = {"x": ones(2, 2), "e": ones(2, 2)}
    states = {"h": np.full((2, 2), 3, np.float32)}
    run(graph, feeds, states)
    assert (feeds["x"] == 1).all()
    assert (states["h"] == 3).all()
    assert graph.states[0].init.tolist() == [[1, 2]]


@pytest.mark.parametrize("name", ["x", "e"])
def test_a_missing_input(graph, name):
    feeds = {"x": ones(1, 2), "e": ones(1, 2)}
    del feeds[name]
    with pytest.raises(DataShapeError, match=rf"none for \['{name}'\]"):
        run(graph, feeds)


@pytest.mark.parametrize(
    "value",
    [
        ones(2),
        ones(1, 3),
        ones(1, 1, 2),
        np.ones((1, 2)),
        np.ones((1, 2), np.int64),
        np.ones((1, 2), np.float16),
        ones(2, 2),
    ],
)
def test_an_input_that_does_not_fit(graph, value):
    with pytest.raises(DataShapeError, match="input 'e'"):
        run(graph, {"x": ones(1, 2), "e": value})


def test_inputs_disagree_about_the_batch(graph):
    with pytest.raises(DataShapeError, match=r"float32\[3, 2\].*float32\[4, 2\]"):
        run(graph, {"x": ones(3, 2), "e": ones(4, 2)})


def test_a_bound_graph_takes_its_batch_only(graph):
    bound = graph.bind(2)
    feeds = {"x": ones(2, 2), "e": ones(2, 2)}
    assert run(bound, feeds).outputs["y"].shape == (2, 2)
    with pytest.raises(DataShapeError):
        run(bound, {"x": ones(1, 2), "e": ones(1, 2)})
    with pytest.raises(DataShapeError):
        run(bound, {"x": ones(3, 2), "e": ones(3, 2)})
