"""minGRU, unrolled as nodes of a Graph, and its exact local gradient.

Of a long sequence it is met forward in time, by traces as large as the weights for each sample. Of
a short one all states are smaller than that: then it is met from the end, where the credit of a
state is known, and gates, which follow from the input alone, are made once more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgelearn.ir.builder import Builder
from edgelearn.ir.ops import AddOuter, Concat, Reduce, Reshape, Slice
from edgelearn.ir.tensor import BATCH
from edgelearn.layers._base import Names
from edgelearn.layers._carried import Tally

if TYPE_CHECKING:
    from edgelearn.layers.mingru import MinGru


TRACES = 3
"""How many times a trace is held at once: of the last state, of the sum, and what a step adds."""


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


def _emit_gain(b: Builder, move: Move) -> str:
    """The derivative of the new state by the pre-activations of z and c, (batch, 2 * units)."""
    one = b.scalar(1)
    slope = b.binary("sub", one, b.binary("mul", move.c, move.c))
    closing = b.binary("mul", move.moved, b.binary("sub", one, move.z))
    by_z = b.binary("mul", move.gap, closing)
    return b.apply(Concat(1), by_z, b.binary("mul", move.moved, slope))


class Unrolled:
    """Names of values of a whole sequence: states and their mean, the traces of both if any.

    There are none where the states of all steps need less room than those would.
    """

    def __init__(self, layer: MinGru, b: Builder, params: Names, x: str, *, learns: bool) -> None:
        self._layer, self._b, self._units = layer, b, layer.units
        self._params, self._x = params, x
        self.tally = Tally(b)
        self.states: list[str] = []
        self.masks: list[str | None] = []
        steps, features = b.specs[x].shape[1], layer.features(b.specs[x].shape[1:])
        self._traced = learns and layer.returns != "sequence" and steps > TRACES * 2 * features
        self.last: Names = {}
        self.sums: Names = {}
        # All steps are cut off at once: who keeps them anyway need not keep the sample.
        for number, (inputs, mask) in enumerate([*layer.emit_steps(b, x)]):
            with b.scope(f"t{number}"):
                before = self.states[-1] if self.states else None
                move = emit_move(b, self._units, params, (inputs, mask), before)
                if self._traced:
                    self._trace(inputs, move, mask)
            self.tally.add(move.h, mask)
            self.states.append(move.h)
            self.masks.append(mask)

    def seen(self) -> str:
        """What the readout sees."""
        return self._layer.emit_summary(self._b, self.states[-1], self.tally.mean())

    def _trace(self, x: str, move: Move, mask: str | None) -> None:
        """The derivative of the state by weights and bias, and of the total."""
        b, gain = self._b, _emit_gain(self._b, move)
        kept = b.binary("sub", b.scalar(1), move.moved)
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
        if not self._traced:
            return self._descend_back(last, mean, b.unary("neg", rate), into)
        new = {}
        for key in ("w", "b"):
            total = self._gradient((last, self.last[key]), (mean, self.sums[key]))
            new[key] = b.binary("sub", into[key], b.binary("mul", total, rate))
        return new

    def _descend_back(self, last: str | None, mean: str | None, down: str, into: Names) -> Names:
        """The same from the last step to the first; the credit of a state reaches the one before.

        `down` is minus the rate; the credit is that of the last state, and of the mean from each.
        """
        b, found = self._b, []
        last, mean = (None if e is None else b.binary("mul", e, down) for e in (last, mean))
        credit = last
        backwards = reversed([None, *self.states[:-1]])
        steps = self._layer.emit_steps(b, self._x, back=True)
        for number, (before, (x, mask)) in enumerate(zip(backwards, steps, strict=True)):
            with b.scope(f"back{number}"):
                if mean is not None:
                    own = mean if mask is None else b.binary("mul", mean, mask)
                    credit = own if credit is None else b.binary("add", credit, own)
                assert credit is not None  # noqa: S101  one of the two is seen
                move = emit_move(b, self._units, self._params, (x, mask), before)
                both = b.apply(Concat(1), credit, credit)
                found.append((x, b.binary("mul", _emit_gain(b, move), both)))
                credit = b.binary("mul", credit, b.binary("sub", b.scalar(1), move.moved))
        w, bias = into["w"], into["b"]
        for x, d in found:  # last of all: until then gates are made from the old weights
            w = b.apply(AddOuter(), w, x, d)
            bias = b.binary("add", bias, b.apply(Reduce("sum", (0,)), d))
        return {**into, "w": w, "b": bias}

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
