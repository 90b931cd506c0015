"""Cells with recurrent weights, step by step as nodes of a Graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgelearn.ir.builder import Builder
from edgelearn.layers._base import Names, Trace
from edgelearn.layers._carried import Tally

if TYPE_CHECKING:
    from edgelearn.layers._cell import Cell


@dataclass(frozen=True, slots=True)
class CellStep:
    """One step as nodes: new states, and the slopes of all gates (batch, gates * units).

    `recurrent` is what the recurrent weights need besides: their slopes where they differ, or the
    gain of a leaky cell.
    """

    states: list[str]
    slopes: str
    recurrent: str


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the unrolled sequence: its input, what is fed back, its mask, what it gives.

    `count` is how many steps counted so far, `seen` what a readout sees.
    """

    x: str
    fed: str | None
    mask: str | None
    states: list[str]
    slopes: str
    recurrent: str
    count: str
    seen: str


def emit_forward(cell: Cell, b: Builder, params: Names, x: str) -> Trace[str]:
    """The nodes of `Cell.forward`."""
    return Trace(x, emit_returned(cell, b, list(unroll(cell, b, params, x))))


def unroll(cell: Cell, b: Builder, params: Names, x: str) -> Iterator[Step]:
    """All steps, one after the other."""
    states: list[str] = []
    tally = Tally(b)
    # All steps are cut off at once: who keeps them anyway need not keep the sample.
    for number, (inputs, mask) in enumerate([*cell.emit_steps(b, x)]):
        with b.scope(f"t{number}"):
            step = emit_step(cell, b, params, (inputs, mask), states, tally)
        states = step.states
        yield step


def emit_step(
    cell: Cell, b: Builder, params: Names, x: tuple[str, str | None], old: list[str], tally: Tally
) -> Step:
    """One step from states `old`, which are 0 if there are none; `x`: inputs and mask."""
    inputs, mask = x
    fed = cell.emit_feed(b, params, old[0]) if old else None
    a = b.binary("add", b.matmul(inputs, params["w"]), params["b"])
    u = b.matmul(fed, params["u"]) if fed else None
    done = cell.emit_cell(b, params, a, u, old)
    states = [
        _kept(b, old[place] if old else None, new, mask) for place, new in enumerate(done.states)
    ]
    tally.add(states[0], mask)
    seen = cell.emit_summary(b, states[0], tally.mean())
    return Step(inputs, fed, mask, states, done.slopes, done.recurrent, tally.count(), seen)


def _kept(b: Builder, old: str | None, new: str, mask: str | None) -> str:
    """`new` where the mask is 1, else `old`, which is 0 at the first step."""
    if mask is None:
        return new
    if old is None:
        return b.binary("mul", new, mask)
    return b.binary("add", old, b.binary("mul", b.binary("sub", new, old), mask))


def emit_returned(cell: Cell, b: Builder, steps: list[Step]) -> str:
    """What the layer returns, given all steps."""
    if cell.returns != "sequence":
        return steps[-1].seen
    return cell.emit_sequence(b, [s.states[0] for s in steps], [s.mask for s in steps])
