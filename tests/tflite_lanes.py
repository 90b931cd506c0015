"""A Graph as a TFLite file, on every runtime and delegate that is installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from edgelearn.arrays import Array
from edgelearn.ir import Graph, run

TOLERANCE = 1e-6
"""Of one run, relative where values are over 1: a few roundings of float32, as sums go in other
orders and tanh and exp are approximated."""


OP_TOLERANCE = 2e-6
"""Of an op alone, of which some sum thousands of products."""


def lanes(graph: Graph, batch: int) -> Iterator:
    """The lanes of the target, with the file of `graph` loaded."""
    pytest.importorskip("ai_edge_litert", reason="the extra tflite is not installed")
    from edgelearn.export.target import Options
    from edgelearn.export.tflite_target import TARGET

    draft = TARGET.draft(graph, {}, Options(batch=batch))
    for lane in TARGET.lanes(draft):
        yield lane, draft


def assert_agrees(
    graph: Graph,
    feeds: Mapping[str, Array],
    batch: int,
    steps: int = 1,
    tolerance: float = TOLERANCE,
) -> None:
    """Every lane computes what the interpreter does, from the states that the file comes to."""
    from edgelearn.export.verify import compare

    seen = 0
    for lane, draft in lanes(graph, batch):
        again = iter([dict(feeds)] * steps)
        parity = compare(graph, draft.outputs, draft.states, lane.run, again)
        assert parity.max_abs_error <= tolerance, (lane.name, parity)
        seen += 1
    assert seen >= 2
    assert run(graph, feeds).outputs
