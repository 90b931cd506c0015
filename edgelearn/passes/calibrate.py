"""Scales of activations from a sample of real data: calibration of a quantiser."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal, TypeAlias, get_args

import numpy as np

from edgelearn.arrays import Array
from edgelearn.errors import GraphError, unknown
from edgelearn.ir.graph import Graph
from edgelearn.ir.interp import Runner
from edgelearn.ir.interp_quant import dequantize, quantize
from edgelearn.ir.ops_quant import RANGES, Dequantize, Quantize, QuantParams

Method: TypeAlias = Literal["min-max", "percentile", "mse"]
METHODS: tuple[Method, ...] = get_args(Method)
OUTSIDE = 0.01
"""Per cent of elements that a percentile leaves outside, on either side."""
NARROWEST, TRIED = 0.3, 36
"""The least share of the whole range that the smallest mean squared error may choose; how many."""
BINS = 1 << 13
"""Of a histogram between the smallest and the largest element."""

Span: TypeAlias = tuple[float, float]
Steps: TypeAlias = Sequence[Mapping[str, Array]]
"""What is fed in one run of a sequence: once, or one time step after the other."""


def calibrate(
    graph: Graph, names: Sequence[str], sequences: Sequence[Steps], method: Method = "min-max"
) -> dict[str, QuantParams]:
    """Scale and zero point, for int8, of each value in `names`.

    Parameters
    ----------
    graph : Graph
    names : sequence of str
    sequences : sequence of sequences of feeds
        Each begins at the first values of the states.
    method : {"min-max", "percentile", "mse"}
        The whole range; the range without 0.01 % of elements on either side; the range with the
        smallest mean squared error, which weighs what is cut off against coarser steps.

    Raises
    ------
    UnknownName
        If there is no such method.
    GraphError
        If a value is not finite for this data, or there is none.

    >>> from edgelearn.ir import Builder
    >>> b = Builder("rectify")
    >>> graph = b.graph([b.unary("relu", b.input("x", (-1, 3)), name="y")])
    >>> calibrate(graph, ["y"], [[{"x": np.float32([[-1, 0, 510]])}]])["y"]
    QuantParams(scale=(2.0,), zero_point=(-128,), axis=None)
    """
    if method not in METHODS:
        raise unknown("calibration", method, METHODS)
    spans = dict.fromkeys(names, (np.inf, -np.inf))
    for name, value in _values(graph, names, sequences):
        low, high = spans[name]
        spans[name] = float(np.minimum(low, value.min())), float(np.maximum(high, value.max()))
    for name, span in spans.items():
        if not np.isfinite(span).all():
            raise _not_finite(graph, name, seen=span != (np.inf, -np.inf))
    if method == "min-max":
        return {name: asymmetric(*span) for name, span in spans.items()}
    counts = {name: np.zeros(BINS, np.int64) for name in names}
    for name, value in _values(graph, names, sequences):
        counts[name] += np.histogram(value, BINS, spans[name])[0]
    choose = _percentile if method == "percentile" else _least_error
    return {name: asymmetric(*choose(counts[name], spans[name])) for name in names}


def _values(
    graph: Graph, names: Sequence[str], sequences: Sequence[Steps]
) -> Iterator[tuple[str, Array]]:
    """Each value that is not empty, after every step."""
    runner = Runner(replace(graph, outputs=tuple(names)))
    for steps in sequences:
        states: Mapping[str, Array] = {}
        for feeds in steps:
            found = runner.run(feeds, states)
            states = found.states
            yield from ((n, value) for n, value in found.outputs.items() if value.size)


def _not_finite(graph: Graph, name: str, *, seen: bool) -> GraphError:
    return GraphError(
        f"graph {graph.name!r}, {name!r}",
        expected="finite values to calibrate with",
        got="values that are not finite" if seen else "none",
        fix="check the data, and the model with 'edgelearn eval'",
    )


def asymmetric(low: float, high: float) -> QuantParams:
    """The int8 scale from `low` to `high`, widened to 0, which has an integer of its own.

    >>> asymmetric(-1.0, 1.55)
    QuantParams(scale=(0.009999999776482582,), zero_point=(-28,), axis=None)
    """
    first, last = RANGES["int8"]
    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32((high - low) / (last - first)))
    if scale < np.finfo(np.float32).tiny:  # zeros alone
        return QuantParams((1.0,), (0,))
    return QuantParams((scale,), (int(np.clip(np.rint(first - low / scale), first, last)),))


def _percentile(counts: Array, span: Span) -> Span:
    """The bins that leave `OUTSIDE` per cent of the elements on either side."""
    edges, below = np.linspace(*span, BINS + 1), np.cumsum(counts)
    outside = OUTSIDE / 100 * below[-1]
    first = np.searchsorted(below, outside, side="right")
    last = np.searchsorted(below, below[-1] - outside)
    return float(edges[first]), float(edges[min(last + 1, BINS)])


def _least_error(counts: Array, span: Span) -> Span:
    """The part of the range with the smallest squared error of elements in the middle of bins."""
    edges = np.linspace(*span, BINS + 1)
    middles = ((edges[1:] + edges[:-1]) / 2).astype(np.float32)

    def squared_error(part: Span) -> float:
        params = asymmetric(*part)
        gap = dequantize(Dequantize(params), quantize(Quantize(params), middles)) - middles
        return float(counts @ (gap.astype(np.float64) ** 2))

    shares = np.linspace(1, NARROWEST, TRIED).tolist()
    return min(((span[0] * s, span[1] * s) for s in shares), key=squared_error)
