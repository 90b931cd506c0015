"""Scales of activations from a sample of real data: calibration of a quantiser."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
KEPT_OF_ONE, KEPT = 1 << 13, 1 << 16
"""Elements of a value, of one run and of all, from which percentiles and errors are computed."""
GOLDEN_RATIO = (5**0.5 - 1) / 2

Steps: TypeAlias = Sequence[Mapping[str, Array]]
"""What is fed in one run of a sequence: once, or one time step after the other."""


def calibrate(
    graph: Graph, names: Sequence[str], sequences: Iterable[Steps], method: Method = "min-max"
) -> dict[str, QuantParams]:
    """Scale and zero point, for int8, of each value in `names`.

    Parameters
    ----------
    graph : Graph
    names : sequence of str
    sequences : iterable of sequences of feeds
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
    seen = {name: _Seen() for name in names}
    runner = Runner(replace(graph, outputs=tuple(names)))
    for steps in sequences:
        states: Mapping[str, Array] = {}
        for feeds in steps:
            found = runner.run(feeds, states)
            states = found.states
            for name, value in found.outputs.items():
                seen[name].add(value)
    return {name: asymmetric(*value.span(graph, name, method)) for name, value in seen.items()}


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


class _Seen:
    """What a value has been: its range, and some of its elements."""

    def __init__(self) -> None:
        self.low, self.high = np.inf, -np.inf
        self.parts: list[Array] = []

    def add(self, value: Array) -> None:
        if not value.size:
            return
        self.low, self.high = min(self.low, value.min()), max(self.high, value.max())
        self.parts.append(_some(value.ravel(), KEPT_OF_ONE))
        if sum(map(len, self.parts)) > 2 * KEPT:
            self.parts = [_some(np.concatenate(self.parts), KEPT)]

    def span(self, graph: Graph, name: str, method: Method) -> tuple[float, float]:
        """The range that the integers are to cover."""
        if not np.isfinite([self.low, self.high]).all():
            raise GraphError(
                f"graph {graph.name!r}, {name!r}",
                expected="finite values to calibrate with",
                got="none" if not self.parts else "values that are not finite",
                fix="check the data, and the model with 'edgelearn eval'",
            )
        sample = np.concatenate(self.parts)
        if method == "percentile":
            low, high = np.percentile(sample, [OUTSIDE, 100 - OUTSIDE]).tolist()
            return low, high
        if method == "mse":
            shares = np.linspace(1, NARROWEST, TRIED).tolist()
            spans = [(self.low * share, self.high * share) for share in shares]
            return min(spans, key=lambda span: _squared_error(sample, asymmetric(*span)))
        return float(self.low), float(self.high)


def _some(elements: Array, count: int) -> Array:
    """At most `count` of the elements, spread by steps that never fall into step with channels."""
    if len(elements) <= count:
        return elements
    places = np.arange(count) * GOLDEN_RATIO % 1 * len(elements)
    found: Array = elements[places.astype(np.int64)]
    return found


def _squared_error(sample: Array, params: QuantParams) -> float:
    gap = dequantize(Dequantize(params), quantize(Quantize(params), sample)) - sample
    return float(np.dot(gap, gap))
