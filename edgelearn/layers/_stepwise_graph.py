"""Cells that learn one step at a time, unrolled as nodes of a Graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgelearn.ir.builder import Builder
from edgelearn.ir.ops import AddOuter, Concat, Reduce, Slice
from edgelearn.layers._base import Learning, Names, Trace
from edgelearn.layers._sequence import emit_sequence, emit_steps
from edgelearn.readout import Emitted, Readout

if TYPE_CHECKING:
    from edgelearn.layers._stepwise import Stepwise


@dataclass(frozen=True, slots=True)
class CellStep:
    """One step as nodes: new states, and the slopes of all gates (batch, gates * units).

    `recurrent` are the slopes for the recurrent weights, where they differ.
    """

    states: list[str]
    slopes: str
    recurrent: str


@dataclass(frozen=True, slots=True)
class _Step:
    """One step of the unrolled sequence: its input, what is fed back, its mask, what it gives."""

    x: str
    fed: str | None
    mask: str | None
    states: list[str]
    slopes: str
    recurrent: str
    count: str
    seen: str


def emit_forward(cell: Stepwise, b: Builder, params: Names, x: str) -> Trace[str]:
    """The nodes of `Stepwise.forward`."""
    return Trace(x, _returned(cell, b, _unroll(cell, b, params, x)))


def emit_learning(
    cell: Stepwise, b: Builder, params: Names, x: str, labels: str, readout: Readout, p: str | None
) -> Learning:
    """The nodes of `Stepwise.learn`."""
    steps = _unroll(cell, b, params, x)
    judged = steps if cell.targets == "every" else steps[-1:]
    found = []
    for number, step in enumerate(judged):
        with b.scope(f"judge{number}"):
            error = readout.emit_error(b, step.seen, labels, p)
            found.append(_weighted(b, error, _weight(cell, b, step, steps[-1])))

    def descend(rate: str, into: Names) -> Names:
        new = dict(into)
        for step, error in zip(judged, found, strict=True):
            new |= _descended(cell, b, step, error, rate, new)
            if readout.learns:
                new["p"] = error.descend(b, rate, new["p"])
        return new

    return Learning(Trace(x, _returned(cell, b, steps)), descend)


def _unroll(cell: Stepwise, b: Builder, params: Names, x: str) -> list[_Step]:
    features = cell.features(b.specs[x].shape[1:])
    found: list[_Step] = []
    states: list[str] = []
    total, sofar = "", ""
    for number, inputs in enumerate(emit_steps(b, x)):
        with b.scope(f"t{number}"):
            mask = b.apply(Slice(1, features, features + 1), inputs) if cell.masked else None
            step = b.apply(Slice(1, 0, features), inputs) if cell.masked else inputs
            fed = cell.emit_feed(b, params, states[0]) if states else None
            a = b.binary("add", b.matmul(step, params["w"]), params["b"])
            u = b.matmul(fed, params["u"]) if fed else None
            done = cell.emit_cell(b, a, u, states)
            states = [_kept(b, old, new, mask) for old, new in _pairs(states, done.states)]
            counted = states[0] if mask is None else b.binary("mul", states[0], mask)
            total = b.binary("add", total, counted) if total else counted
            if mask is not None:
                sofar = b.binary("add", sofar, mask) if sofar else mask
            count = b.binary("max", sofar, b.scalar(1)) if sofar else b.scalar(number + 1)
            seen = cell.emit_summary(b, states[0], b.binary("div", total, count))
            found.append(_Step(step, fed, mask, states, done.slopes, done.recurrent, count, seen))
    return found


def _pairs(old: list[str], new: list[str]) -> list[tuple[str | None, str]]:
    return [(old[i] if old else None, value) for i, value in enumerate(new)]


def _kept(b: Builder, old: str | None, new: str, mask: str | None) -> str:
    """`new` where the mask is 1, else `old`, which is 0 at the first step."""
    if mask is None:
        return new
    if old is None:
        return b.binary("mul", new, mask)
    return b.binary("add", old, b.binary("mul", b.binary("sub", new, old), mask))


def _returned(cell: Stepwise, b: Builder, steps: list[_Step]) -> str:
    if cell.returns != "sequence":
        return steps[-1].seen
    states = [
        step.states[0] if step.mask is None else b.apply(Concat(1), step.states[0], step.mask)
        for step in steps
    ]
    return emit_sequence(b, states)


def _weight(cell: Stepwise, b: Builder, step: _Step, last: _Step) -> str | None:
    """What the loss of a step weighs: its place squared, scaled to sum 1; None for 1."""
    if cell.targets == "last":
        return None
    length = last.count
    place = b.binary("div", step.count, length)
    one = b.scalar(1)
    after = b.binary("add", length, one)
    norm = b.binary("mul", after, b.binary("add", b.binary("add", length, length), one))
    share = b.binary("div", b.binary("mul", b.scalar(6), length), norm)
    weight = b.binary("mul", b.binary("mul", place, place), share)
    return weight if step.mask is None else b.binary("mul", weight, step.mask)


def _weighted(b: Builder, error: Emitted, weight: str | None) -> Emitted:
    if weight is None:
        return error
    slopes = None if error.slopes is None else b.binary("mul", error.slopes, weight)
    return Emitted(b.binary("mul", error.error, weight), error.features, slopes)


def _descended(
    cell: Stepwise, b: Builder, step: _Step, error: Emitted, rate: str, into: Names
) -> Names:
    """What the weights are after the share of one step."""
    last, mean = cell.emit_split(b, error.error)
    e = last
    if mean is not None:
        share = b.binary("div", mean, step.count)
        e = share if last is None else b.binary("add", last, share)
    assert e is not None  # noqa: S101  one of the two is seen
    scaled = b.binary("mul", e, b.unary("neg", rate))
    every = scaled if cell.gates == 1 else b.apply(Concat(1, cell.gates), *[scaled] * cell.gates)
    d = b.binary("mul", every, step.slopes)
    new = {
        "w": b.apply(AddOuter(), into["w"], step.x, d),
        "b": b.binary("add", into["b"], b.apply(Reduce("sum", (0,)), d)),
    }
    if step.fed is not None:
        back = b.binary("mul", every, step.recurrent)
        new["u"] = b.apply(AddOuter(), into["u"], step.fed, back)
    return new
