"""The running mean of states, as nodes of a Graph."""

from __future__ import annotations

from edgelearn.ir.builder import Builder


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
