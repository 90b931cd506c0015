"""Errors that were sent to values, put together when a value is asked for its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from edgelearn.ir.builder import Builder
from edgelearn.ir.ops import Concat, Slice


class Part(NamedTuple):
    """The error of positions `start` to `stop` - 1 of one axis."""

    axis: int
    start: int
    stop: int
    error: str


class Collected:
    """The sum of all errors that were sent to each value so far."""

    def __init__(self, b: Builder) -> None:
        self._b = b
        self._whole: dict[str, str] = {}
        self._parts: defaultdict[str, list[Part]] = defaultdict(list)

    def add(self, value: str, error: str) -> None:
        """Add to the error of a whole value."""
        known = self._whole.get(value)
        self._whole[value] = error if known is None else self._b.binary("add", known, error)

    def add_part(self, value: str, part: Part) -> None:
        """Add to the error of a part of a value; parts side by side cost one `Concat` together."""
        self._parts[value].append(part)

    def take(self, value: str) -> str | None:
        """The error of `value`, which is then forgotten; None if nothing was sent to it."""
        for row in _rows(self._parts.pop(value, [])):
            self.add(value, self.joined(value, row))
        return self._whole.pop(value, None)

    def joined(self, value: str, row: Sequence[Part]) -> str:
        """The error of a whole value that has this one in parts of one axis, and 0 between."""
        axis, at, pieces = row[0].axis, 0, []
        for part in row:
            if at < part.start:
                pieces.append(self._zeros(value, axis, at, part.start))
            pieces.append(part.error)
            at = part.stop
        length = self._b.specs[value].shape[axis]
        if at < length:
            pieces.append(self._zeros(value, axis, at, length))
        if len(pieces) == 1:
            return pieces[0]
        return self._b.apply(Concat(axis, len(pieces)), *pieces)

    def _zeros(self, value: str, axis: int, start: int, stop: int) -> str:
        part = self._b.apply(Slice(axis, start, stop), value)
        return self._b.binary("sub", part, part)


def _rows(parts: Sequence[Part]) -> list[list[Part]]:
    """`parts` in rows: of one axis each, in order, without overlap."""
    rows: list[list[Part]] = []
    for part in sorted(parts):
        free = (r for r in rows if r[-1].axis == part.axis and r[-1].stop <= part.start)
        row = next(free, None)
        if row is None:
            rows.append([part])
        else:
            row.append(part)
    return rows
