"""Work space of recurrent layers: a chunk of time, so that it does not grow with the length."""

from __future__ import annotations

import math
from collections.abc import Iterator

from edgelearn.arrays import F32, Shape


def chunks(steps: int, most: int) -> Iterator[slice]:
    """Slices of at most so many steps that cover all."""
    for first in range(0, steps, most):
        yield slice(first, min(first + most, steps))


def cut(scratch: F32, *shapes: Shape) -> list[F32]:
    """Arrays of these shapes, one after the other in `scratch`."""
    found, start = [], 0
    for shape in shapes:
        size = math.prod(shape)
        found.append(scratch[start : start + size].reshape(shape))
        start += size
    return found
