"""What goes on from step to step, as nodes of a Graph: states of a stream, a running mean."""

from __future__ import annotations

import numpy as np

from edgelearn.ir.builder import Builder
from edgelearn.ir.tensor import BATCH


def held(b: Builder, name: str, size: int) -> str:
    """A state of a stream, (batch, size), 0 before the first step."""
    return b.state(name, np.zeros((1, size), np.float32), (BATCH, size))


def keep(b: Builder, state: str, value: str) -> str:
    """Say that `value` is the next one of a state; what it is called from now on."""
    new = b.rename(value, f"{state}.next")
    b.update(state, new)
    return new


class Tally:
    """Sums states (batch, units) that count, and how many those are.

    `total` and `sofar` are what is known before the first one; empty: nothing.
    """

    def __init__(self, b: Builder, total: str = "", sofar: str = "") -> None:
        self._b = b
        self.total, self.sofar = total, sofar
        self._steps = 0

    def add(self, h: str, mask: str | None) -> None:
        """One more state; it counts where the `mask` (batch, 1) is 1."""
        b = self._b
        counted = h if mask is None else b.binary("mul", h, mask)
        self.total = b.binary("add", self.total, counted) if self.total else counted
        self._steps += 1
        if mask is not None or self.sofar:
            more = b.scalar(1) if mask is None else mask
            self.sofar = b.binary("add", self.sofar, more) if self.sofar else more

    def count(self) -> str:
        """How many states count, at least 1."""
        b = self._b
        return b.binary("max", self.sofar, b.scalar(1)) if self.sofar else b.scalar(self._steps)

    def mean(self) -> str:
        """The mean of those that count."""
        return self._b.binary("div", self.total, self.count())
