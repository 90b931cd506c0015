"""Which weights of a sparse matrix are stored, and where.

A matrix (fan_in, units) is stored unit by unit. Unit j has the blocks ``starts[j]`` to
``starts[j + 1] - 1`` of `index` and of the values: one weight and the input it meets, or four
weights side by side and which four inputs. A last block that reaches beyond `fan_in` holds zeros
there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edgelearn.arrays import Array, Mask, Shape

BLOCKS = (1, 4)
"""How many inputs in a row may be stored together: what the patterns unstructured and 1x4 keep."""
START_BYTES = 4


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """The places of the stored weights of one matrix.

    Attributes
    ----------
    shape : tuple of int
        ``(fan_in, units)`` of the whole matrix.
    block : int
        One of `BLOCKS`.
    starts : int32 array, shape (units + 1,)
    index : uint8 or uint16 array, shape (stored blocks,)

    Examples
    --------
    >>> w = np.array([[1, 0], [0, 2], [3, 0]], np.float32)
    >>> s = Structure.of((w != 0).astype(np.uint8))
    >>> s.starts.tolist(), s.index.tolist(), s.take(w).tolist()
    ([0, 2, 3], [0, 2, 1], [1.0, 3.0, 2.0])
    """

    shape: tuple[int, int]
    block: int
    starts: Array
    index: Array

    @classmethod
    def of(cls, mask: Mask, block: int = 1) -> Structure:
        """Every block of which `mask`, shape (fan_in, units), keeps anything."""
        fan_in, units = mask.shape
        whole = np.zeros((units, per_unit(fan_in, block) * block), np.bool_)
        whole[:, :fan_in] = mask.T != 0
        rows = np.flatnonzero(whole.reshape(-1, block).any(axis=1))
        return cls.of_rows(rows, (fan_in, units), block)

    @classmethod
    def of_rows(cls, rows: Array, shape: tuple[int, int], block: int) -> Structure:
        """The blocks with these ascending numbers, counted over all units."""
        many = per_unit(shape[0], block)
        counts = np.bincount(rows // many, minlength=shape[1])
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        index = (rows % many).astype(np.uint8 if many <= 1 << 8 else np.uint16)
        return cls(shape, block, starts, index)

    @property
    def rows(self) -> Array:
        """The number of every stored block, counted over all units; int64."""
        units = np.repeat(np.arange(self.shape[1]), np.diff(self.starts))
        rows: Array = units * per_unit(self.shape[0], self.block) + self.index
        return rows

    @property
    def size(self) -> int:
        """How many weights are stored."""
        return self.block * self.index.size

    @property
    def index_dtype(self) -> Literal["uint8", "uint16"]:
        """Bytes where a unit has up to 256 blocks."""
        return "uint8" if self.index.itemsize == 1 else "uint16"

    def take(self, w: Array) -> Array:
        """The stored weights of `w`, shape (size,)."""
        fan_in, units = self.shape
        whole = np.zeros((units, per_unit(fan_in, self.block) * self.block), w.dtype)
        whole[:, :fan_in] = w.T
        return np.ascontiguousarray(whole.reshape(-1, self.block)[self.rows]).reshape(-1)

    def spread(self, values: Array) -> Array:
        """The whole matrix (fan_in, units) of stored `values`, 0 elsewhere."""
        return np.ascontiguousarray(spread(self.rows, values, self.shape, self.block).T)

    def mask(self) -> Mask:
        """1 where a weight is stored, shape (fan_in, units)."""
        return self.spread(np.ones(self.size, np.uint8))


def spread(rows: Array, values: Array, shape: tuple[int, int], block: int) -> Array:
    """The transposed matrix (units, fan_in) of `values` in blocks `rows`, 0 elsewhere."""
    fan_in, units = shape
    many = per_unit(fan_in, block)
    whole = np.zeros((units * many, block), values.dtype)
    whole[rows] = values.reshape(-1, block)
    dense: Array = whole.reshape(units, many * block)[:, :fan_in]
    return dense


def per_unit(fan_in: int, block: int) -> int:
    """Blocks that a unit would have if all were stored."""
    return math.ceil(fan_in / block)


def fits(shape: Shape, block: int) -> bool:
    """Whether a matrix of `shape` can be indexed by 16 bits."""
    return len(shape) == 2 and per_unit(shape[0], block) <= 1 << 16


def stored_bytes(blocks: int, shape: tuple[int, int], block: int) -> int:
    """Bytes of so many blocks of float32 weights with their structure."""
    width = 1 if per_unit(shape[0], block) <= 1 << 8 else 2
    return blocks * (4 * block + width) + START_BYTES * (shape[1] + 1)
