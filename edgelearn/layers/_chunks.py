"""Work space of recurrent layers: a chunk of time, so that it does not grow with the length."""

from __future__ import annotations

import math
from collections.abc import Iterator

from edgelearn.arrays import F32, Shape

CHUNK = 32
"""Steps that are held at once, at most."""


def chunks(steps: int) -> Iterator[slice]:
    """Slices of at most `CHUNK` steps that cover all."""
    for first in range(0, steps, CHUNK):
        yield slice(first, min(first + CHUNK, steps))


def cut(scratch: F32, *shapes: Shape) -> list[F32]:
    """Arrays of these shapes, one after the other in `scratch`."""
    found, start = [], 0
    for shape in shapes:
        size = math.prod(shape)
        found.append(scratch[start : start + size].reshape(shape))
        start += size
    return found
