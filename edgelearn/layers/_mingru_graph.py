"""minGRU, unrolled as nodes of a Graph, with its exact traces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgelearn.ir.builder import Builder
from edgelearn.ir.ops import Concat, Reduce, Reshape, Slice
from edgelearn.ir.tensor import BATCH
from edgelearn.layers._base import Names
from edgelearn.layers._carried import Tally

if TYPE_CHECKING:
    from edgelearn.layers.mingru import MinGru


@dataclass(frozen=True, slots=True)
class Move:
    """One step: the new state; update gate z, candidate c, z where the step counts, c - h."""

    h: str
    z: str
    c: str
    moved: str
    gap: str


def emit_move(
    b: Builder, units: int, params: Names, x: tuple[str, str | None], h: str | None
) -> Move:
    """One step from state `h`, which is 0 if there is none; `x`: inputs and mask."""
    inputs, mask = x
    pre = b.binary("add", b.matmul(inputs, params["w"]), params["b"])
    z = b.unary("sigmoid", b.apply(Slice(1, 0, units), pre))
    c = b.unary("tanh", b.apply(Slice(1, units, 2 * units), pre))
    moved = z if mask is None else b.binary("mul", z, mask)
    gap = c if h is None else b.binary("sub", c, h)
    change = b.binary("mul", moved, gap)
    return Move(change if h is None else b.binary("add", h, change), z, c, moved, gap)


class Unrolled:
    """Names of values of a whole sequence: states, their mean, the traces of both."""

    def __init__(self, layer: MinGru, b: Builder, params: Names, x: str, *, traces: bool) -> None:
        self._layer, self._b, self._units = layer, b, layer.units
        self.tally = Tally(b)
        self.states: list[str] = []
        self.masks: list[str | None] = []
        self.last: Names = {}
        self.sums: Names = {}
        for number, (inputs, mask) in enumerate(layer.emit_steps(b, x)):
            with b.scope(f"t{number}"):
                before = self.states[-1] if self.states else None
                move = emit_move(b, self._units, params, (inputs, mask), before)
                if traces:
                    self._trace(inputs, move, mask)
            self.tally.add(move.h, mask)
            self.states.append(move.h)
            self.masks.append(mask)

    def seen(self) -> str:
        """What the readout sees."""
        return self._layer.emit_summary(self._b, self.states[-1], self.tally.mean())

    def _trace(self, x: str, move: Move, mask: str | None) -> None:
        """The derivative of the state by weights and bias, and of the total."""
        b, one = self._b, self._b.scalar(1)
        slope = b.binary("sub", one, b.binary("mul", move.c, move.c))
        closing = b.binary("mul", move.moved, b.binary("sub", one, move.z))
        by_z = b.binary("mul", move.gap, closing)
        gain = b.apply(Concat(1), by_z, b.binary("mul", move.moved, slope))
        kept = b.binary("sub", one, move.moved)
        keep = b.apply(Concat(1), kept, kept)
        wide = 2 * self._units
        tall = b.apply(Reshape((BATCH, b.specs[x].shape[1], 1)), x)
        fresh = {"w": b.binary("mul", tall, b.apply(Reshape((BATCH, 1, wide)), gain)), "b": gain}
        for key, gained in fresh.items():
            value = gained
            if self.states:
                rest = b.apply(Reshape((BATCH, 1, wide)), keep) if key == "w" else keep
                value = b.binary("add", b.binary("mul", self.last[key], rest), gained)
            self.last[key] = value
            lifted = mask
            if mask is not None and key == "w":
                lifted = b.apply(Reshape((BATCH, 1, 1)), mask)
            self.sums[key] = self._summed(self.sums.get(key, ""), value, lifted)

    def _summed(self, total: str, value: str, mask: str | None) -> str:
        counted = value if mask is None else self._b.binary("mul", value, mask)
        return self._b.binary("add", total, counted) if total else counted

    def descend(self, error: str, rate: str, into: Names) -> Names:
        """The new weights and bias, given the error of what is seen."""
        b = self._b
        last, mean = self._layer.emit_split(b, error)
        if mean is not None:
            mean = b.binary("div", mean, self.tally.count())
        new = {}
        for key in ("w", "b"):
            total = self._gradient((last, self.last[key]), (mean, self.sums[key]))
            new[key] = b.binary("sub", into[key], b.binary("mul", total, rate))
        return new

    def _gradient(self, *parts: tuple[str | None, str]) -> str:
        """The sum over samples and parts of an error of units times the traces of their gates."""
        b, found = self._b, []
        for error, trace in parts:
            if error is not None:
                both = b.apply(Concat(1), error, error)
                if len(b.specs[trace].shape) == 3:
                    both = b.apply(Reshape((BATCH, 1, 2 * self._units)), both)
                found.append(b.binary("mul", both, trace))
        total = found[0] if len(found) == 1 else b.binary("add", *found)
        return b.apply(Reduce("sum", (0,)), total)
