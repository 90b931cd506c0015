"""Leaky cells as nodes of a Graph: one step, and learning from traces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgelearn.ir.builder import Builder
from edgelearn.ir.ops import AddOuter, Reduce, Reshape, Slice
from edgelearn.ir.tensor import BATCH
from edgelearn.layers._base import Learning, Names, Trace
from edgelearn.layers._cell_graph import CellStep, Step, emit_returned, unroll
from edgelearn.readout import Readout

if TYPE_CHECKING:
    from edgelearn.layers.leaky import Leaky

TINY = 1e-30
"""Below every share of a trace; instead of 0 for a sequence without a step that counts."""


def emit_ready(layer: Leaky, b: Builder, params: Names) -> Names:
    """Rates of units (1, units) and groups (groups, 1), and which unit is in which group."""
    groups = np.eye(layer.count, dtype=np.float32)[:, layer.members]
    rates = b.unary("sigmoid", b.apply(Reshape((1, layer.count)), params["leak"]))
    members = b.constant(b.fresh("groups"), groups)
    return {
        **params,
        "members": members,
        "rates": b.matmul(rates, members),
        "group_rates": b.apply(Reshape((layer.count, 1)), rates),
    }


def emit_cell(b: Builder, params: Names, z: str, states: list[str]) -> CellStep:
    """One step: the new state, the slope of c, and what a step adds to the derivative by leak."""
    one, rates = b.scalar(1), params["rates"]
    c = b.unary("tanh", z)
    gap = b.binary("sub", c, states[0]) if states else c
    change = b.binary("mul", rates, gap)
    h = b.binary("add", states[0], change) if states else change
    slope = b.binary("sub", one, b.binary("mul", c, c))
    return CellStep([h], slope, b.binary("mul", b.binary("sub", one, rates), gap))


def emit_learning(
    layer: Leaky, b: Builder, params: Names, x: str, labels: str, readout: Readout, p: str | None
) -> Learning:
    """The nodes of `Leaky.learn`."""
    params = emit_ready(layer, b, params)
    traces, steps = _Traces(layer, b, params), []
    for number, step in enumerate(unroll(layer, b, params, x)):
        with b.scope(f"trace{number}"):
            traces.follow(step)
        steps.append(step)
    found = readout.emit_error(b, steps[-1].seen, labels, p)

    def descend(rate: str, into: Names) -> Names:
        new = traces.descend(found.error, steps[-1].count, rate, into)
        return new | (
            {"p": found.descend(b, b.unary("neg", rate), into["p"])} if readout.learns else {}
        )

    return Learning(Trace(x, emit_returned(layer, b, steps)), descend)


@dataclass(slots=True)
class _Leak:
    """A trace and the sum of what it leaks after; empty before the first value."""

    trace: str = ""
    total: str = ""

    def add(self, b: Builder, value: str, rate: str, counted: str) -> None:
        """One more `value`; `counted` is what the sum takes of it."""
        gap = b.binary("sub", value, self.trace) if self.trace else value
        change = b.binary("mul", rate, gap)
        self.trace = b.binary("add", self.trace, change) if self.trace else change
        self.total = b.binary("add", self.total, counted) if self.total else counted


class _Traces:
    """What `edgelearn.kernels.leaky.Traces` holds, as names of values."""

    def __init__(self, layer: Leaky, b: Builder, params: Names) -> None:
        self._layer, self._b, self._params = layer, b, params
        self._before = {"w": _Leak(), "u": _Leak()}
        self._ones = _Leak()
        self._slope, self._gain = _Leak(), _Leak()

    def follow(self, step: Step) -> None:
        """One step of time."""
        b, params, mask = self._b, self._params, step.mask
        rates, group_rates, one = params["rates"], params["group_rates"], b.scalar(1)
        if mask is not None:
            rates = b.binary("mul", rates, mask)
            one = b.apply(Reshape((BATCH, 1, 1)), mask)
            group_rates = b.binary("mul", group_rates, one)
        self._ones.add(b, b.scalar(1), group_rates, one)
        for key, value in (("w", step.x), ("u", step.fed)):
            if value is not None:
                row = b.apply(Reshape((BATCH, 1, b.specs[value].shape[1])), value)
                self._before[key].add(b, row, group_rates, self._counted(value, mask))
        self._slope.add(b, step.slopes, rates, self._counted(step.slopes, mask))
        self._gain.add(b, step.recurrent, rates, self._counted(step.recurrent, mask))

    def _counted(self, value: str, mask: str | None) -> str:
        return value if mask is None else self._b.binary("mul", value, mask)

    def _share(self) -> str:
        """The trace of 1 at each unit's rate, (batch, units) or (1, units)."""
        b, trace = self._b, self._ones.trace
        samples = BATCH if b.specs[trace].has_batch else 1
        groups = b.apply(Reshape((samples, self._layer.count)), trace)
        return b.matmul(groups, self._params["members"])

    def descend(self, error: str, count: str, rate: str, into: Names) -> Names:
        """What the weights are after the error of what is seen; see `kernels.leaky.credit`."""
        b, one, rates = self._b, self._b.scalar(1), self._params["rates"]
        last, mean = self._layer.emit_split(b, b.binary("mul", error, b.unary("neg", rate)))
        share, tiny = self._share(), b.scalar(TINY)
        rest = b.binary("div", b.binary("sub", one, rates), rates)
        errors, by_total = [], None
        if last is not None:
            by_last = b.binary("mul", last, self._slope.trace)
            errors.append(b.binary("div", by_last, b.binary("max", share, tiny)))
        if mean is not None:
            mean = b.binary("div", mean, count)
            shares = b.binary("sub", count, b.binary("mul", rest, share))
            slopes = self._summed(self._slope, rest)
            by_total = b.binary("mul", mean, slopes)
            by_total = b.binary("div", by_total, b.binary("max", shares, tiny))
            errors.append(b.unary("neg", b.binary("mul", rest, by_total)))
        by_trace = errors[0] if len(errors) == 1 else b.binary("add", *errors)
        new = {key: self._outer(key, into[key], by_trace, by_total) for key in ("w", "u")}
        bias = b.binary("mul", by_trace, share)
        if by_total is not None:
            bias = b.binary("add", bias, b.binary("mul", by_total, count))
        new["b"] = b.binary("add", into["b"], b.apply(Reduce("sum", (0,)), bias))
        if self._layer.trainable:
            new["leak"] = self._leak(last, mean, rest, into["leak"])
        return new

    def _summed(self, leak: _Leak, rest: str) -> str:
        """The sum over time of a trace, from its last value and the sum of what it leaks after."""
        return self._b.binary("sub", leak.total, self._b.binary("mul", rest, leak.trace))

    def _outer(self, key: str, into: str, by_trace: str, by_total: str | None) -> str:
        """The new value of `into`, group by group where its inputs are traced."""
        b, before, count = self._b, self._before[key], self._layer.count
        if not before.trace:  # a sequence of one step: no state was fed back
            return into
        width = b.specs[before.trace].shape[2]
        for k in range(count):
            own = b.apply(Slice(0, k, k + 1), self._params["members"])
            trace = b.apply(Reshape((BATCH, width)), b.apply(Slice(1, k, k + 1), before.trace))
            into = b.apply(AddOuter(), into, trace, b.binary("mul", by_trace, own))
        if by_total is None:
            return into
        return b.apply(AddOuter(), into, before.total, by_total)

    def _leak(self, last: str | None, mean: str | None, rest: str, into: str) -> str:
        b, parts = self._b, []
        if last is not None:
            parts.append(b.binary("mul", last, self._gain.trace))
        if mean is not None:
            parts.append(b.binary("mul", mean, self._summed(self._gain, rest)))
        total = parts[0] if len(parts) == 1 else b.binary("add", *parts)
        units = b.apply(Reduce("sum", (0,), keepdims=True), total)
        groups = b.matmul(units, self._params["members"], transpose_b=True)
        return b.binary("add", into, b.apply(Reshape((self._layer.count,)), groups))
