"""Cells that learn one step at a time, unrolled as nodes of a Graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgelearn.ir.builder import Builder
from edgelearn.ir.ops import AddOuter, Concat, Reduce
from edgelearn.layers._base import Learning, Names, Trace
from edgelearn.layers._cell_graph import Step, emit_returned, unroll
from edgelearn.readout import Emitted, Readout

if TYPE_CHECKING:
    from edgelearn.layers._stepwise import Stepwise


def emit_learning(
    cell: Stepwise, b: Builder, params: Names, x: str, labels: str, readout: Readout, p: str | None
) -> Learning:
    """The nodes of `Stepwise.learn`."""
    steps = list(unroll(cell, b, params, x))
    judged = steps[-1:] if cell.targets == "last" and not cell.masked else steps
    found = []
    for number, step in enumerate(judged):
        with b.scope(f"judge{number}"):
            error = readout.emit_error(b, step.seen, labels, p)
            found.append(_weighted(b, error, _weight(cell, b, step, steps[-1])))

    def descend(rate: str, into: Names) -> Names:
        new, down = dict(into), b.unary("neg", rate)
        for step, error in zip(judged, found, strict=True):
            new |= _descended(cell, b, step, error, down, new)
            if readout.learns:
                new["p"] = error.descend(b, down, new["p"])
        return new

    return Learning(Trace(x, emit_returned(cell, b, steps)), descend)


def _weight(cell: Stepwise, b: Builder, step: Step, last: Step) -> str | None:
    """What the loss of a step weighs, sum 1 over the sequence; None for 1."""
    if cell.targets == "every":
        weight = _share(b, step.count, last.count)
    elif step.mask is None:
        return None
    else:  # 1 at the last step that counts, else 0 or less
        later = b.binary("sub", last.count, step.count)
        weight = b.unary("relu", b.binary("sub", b.scalar(1), later))
    return weight if step.mask is None else b.binary("mul", weight, step.mask)


def _share(b: Builder, count: str, length: str) -> str:
    """The place of a step squared, scaled to sum 1."""
    place = b.binary("div", count, length)
    one = b.scalar(1)
    after = b.binary("add", length, one)
    norm = b.binary("mul", after, b.binary("add", b.binary("add", length, length), one))
    share = b.binary("div", b.binary("mul", b.scalar(6), length), norm)
    return b.binary("mul", b.binary("mul", place, place), share)


def _weighted(b: Builder, error: Emitted, weight: str | None) -> Emitted:
    if weight is None:
        return error
    slopes = None if error.slopes is None else b.binary("mul", error.slopes, weight)
    return Emitted(b.binary("mul", error.error, weight), error.features, slopes)


def _descended(
    cell: Stepwise, b: Builder, step: Step, error: Emitted, down: str, into: Names
) -> Names:
    """What the weights are after the share of one step; `down` is minus the rate."""
    last, mean = cell.emit_split(b, error.error)
    e = last
    if mean is not None:
        share = b.binary("div", mean, step.count)
        e = share if last is None else b.binary("add", last, share)
    assert e is not None  # noqa: S101  one of the two is seen
    scaled = b.binary("mul", e, down)
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
