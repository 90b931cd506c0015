"""Arrays of which most elements are 0, as the others and a bit for each: pruned models are small.

An array `NAME` becomes ``packed-bits/NAME``, a bit for each element whether any of its bytes is not
0, and ``packed-values/NAME``, those elements in order. Nothing is lost: not the sign of a zero, not
what a NaN holds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from edgelearn.arrays import Array, Shape

BITS, VALUES = "packed-bits/", "packed-values/"
DENSEST = 0.5
"""Arrays with a larger share of other elements are left as they are."""
SMALLEST = 256
"""So are arrays of fewer bytes."""


def pack(tensors: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, Shape]]:
    """`tensors` with those packed for which it pays, and the shapes of these.

    >>> stored, shapes = pack({"w": np.eye(64, dtype=np.float32)})
    >>> sum(a.nbytes for a in stored.values()), shapes
    (768, {'w': (64, 64)})
    """
    found: dict[str, Array] = {}
    shapes: dict[str, Shape] = {}
    for name, value in tensors.items():
        there = _is_there(value)
        if value.nbytes < SMALLEST or np.count_nonzero(there) > DENSEST * value.size:
            found[name] = value
            continue
        shapes[name] = value.shape
        found[BITS + name] = np.packbits(there)
        found[VALUES + name] = value.ravel()[there]
    return found, shapes


def unpack(
    tensors: Mapping[str, Array], shapes: Mapping[str, Shape], limit_bytes: int
) -> dict[str, Array]:
    """What was packed.

    Raises
    ------
    ValueError, KeyError
        If the parts do not fit `shapes`, or would take more than `limit_bytes` in all.
    """
    found = {n: v for n, v in tensors.items() if not n.startswith((BITS, VALUES))}
    total = sum(value.nbytes for value in found.values())
    for name, shape in shapes.items():
        bits, values = tensors[BITS + name], tensors[VALUES + name]
        size = math.prod(shape)
        total += size * values.itemsize
        fits = bits.dtype == np.uint8 and bits.ndim == values.ndim == 1 and min(shape) >= 0
        if not fits or len(bits) != -(-size // 8) or total > limit_bytes:
            raise ValueError(f"{name!r} is not packed as it should be")
        there = np.unpackbits(bits, count=size).astype(np.bool_)
        if len(values) != np.count_nonzero(there):
            raise ValueError(f"{name!r} has {len(values)} elements for other places")
        value = np.zeros(size, values.dtype)
        value[there] = values
        found[name] = value.reshape(shape)
    return found


def _is_there(value: Array) -> Array:
    """Which elements have a byte that is not 0; flat."""
    octets = np.frombuffer(value.tobytes(), np.uint8).reshape(value.size, value.itemsize)
    return np.asarray(octets.any(axis=1))
