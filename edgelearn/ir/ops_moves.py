"""The operations that move or convert elements and compute nothing; see `edgelearn.ir.ops`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from edgelearn.arrays import Shape
from edgelearn.ir._rules import refuse, require_float, require_positive, resolve_axis
from edgelearn.ir.tensor import BATCH, TensorSpec


@dataclass(frozen=True, slots=True)
class Reshape:
    """The same elements in the same order in another `shape`; one -1 takes what is left."""

    shape: Shape
    arity: ClassVar[int] = 1
    overwrites: ClassVar[tuple[int, ...]] = (0,)

    def infer(self, a: TensorSpec) -> TensorSpec:
        rest = math.prod(d for d in self.shape if d != BATCH)
        if self.shape.count(BATCH) > 1 or (a.has_batch and BATCH not in self.shape):
            refuse(self, f"one open dimension in {self.shape}", a)
        if a.shape.count(BATCH) > 1:
            refuse(self, "one row a sample, not a matrix of pairs of samples", a)
        if a.has_batch:
            if math.prod(d for d in a.shape if d != BATCH) != rest:
                refuse(self, f"as many elements a sample as {self.shape}", a)
            return TensorSpec(self.shape, a.dtype)
        left = a.size // rest if BATCH in self.shape and rest else 1
        if rest * left != a.size:
            refuse(self, f"as many elements as {self.shape}", a)
        return TensorSpec(tuple(left if d == BATCH else d for d in self.shape), a.dtype)

    def macs(self, a: TensorSpec) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class ToInt:
    """The whole part of each element, rounded towards 0, as int64: indices from numbers."""

    arity: ClassVar[int] = 1
    overwrites: ClassVar[tuple[int, ...]] = ()

    def infer(self, a: TensorSpec) -> TensorSpec:
        require_float(self, a)
        return TensorSpec(a.shape, "int64")

    def macs(self, a: TensorSpec) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class Gather:
    """Rows of a matrix: ``table[indices]``."""

    arity: ClassVar[int] = 2
    overwrites: ClassVar[tuple[int, ...]] = ()

    def infer(self, table: TensorSpec, indices: TensorSpec) -> TensorSpec:
        if len(table.shape) != 2 or indices.dtype not in ("int32", "int64"):
            refuse(self, "a matrix and integer row indices", table, indices)
        return TensorSpec((*indices.shape, table.shape[1]), table.dtype)

    def macs(self, table: TensorSpec, indices: TensorSpec) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class Transpose:
    """The axes in another order: axis i of the output is axis ``perm[i]`` of the input."""

    perm: tuple[int, ...]
    arity: ClassVar[int] = 1
    overwrites: ClassVar[tuple[int, ...]] = ()

    def infer(self, a: TensorSpec) -> TensorSpec:
        if sorted(self.perm) != list(range(len(a.shape))):
            refuse(self, f"{len(self.perm)} axes, for the order {self.perm}", a)
        return TensorSpec(tuple(a.shape[i] for i in self.perm), a.dtype)

    def macs(self, a: TensorSpec) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class Concat:
    """`arity` tensors one after the other along `axis`; they differ in no other axis."""

    axis: int
    arity: int = 2
    overwrites: ClassVar[tuple[int, ...]] = ()

    def __post_init__(self) -> None:
        require_positive(self, self.arity)

    def infer(self, *parts: TensorSpec) -> TensorSpec:
        first = parts[0]
        axis = resolve_axis(self.axis, len(first.shape))
        if not 0 <= axis < len(first.shape) or first.shape[axis] == BATCH:
            refuse(self, f"an axis {self.axis} that is not the batch", *parts)
        rest = first.shape[:axis] + first.shape[axis + 1 :]
        for part in parts[1:]:
            same = part.dtype == first.dtype and len(part.shape) == len(first.shape)
            if not same or part.shape[:axis] + part.shape[axis + 1 :] != rest:
                refuse(self, f"tensors that differ in axis {self.axis} only", *parts)
        length = sum(part.shape[axis] for part in parts)
        return TensorSpec((*rest[:axis], length, *rest[axis:]), first.dtype)

    def macs(self, *parts: TensorSpec) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class Slice:
    """Positions `start` to `stop` - 1 of one axis, counted from 0."""

    axis: int
    start: int
    stop: int
    arity: ClassVar[int] = 1
    overwrites: ClassVar[tuple[int, ...]] = ()

    def infer(self, a: TensorSpec) -> TensorSpec:
        axis = resolve_axis(self.axis, len(a.shape))
        if not 0 <= axis < len(a.shape) or a.shape[axis] == BATCH:
            refuse(self, f"an axis {self.axis} that is not the batch", a)
        if not 0 <= self.start < self.stop <= a.shape[axis]:
            refuse(self, f"positions {self.start} to {self.stop} within axis {self.axis}", a)
        length = self.stop - self.start
        return TensorSpec((*a.shape[:axis], length, *a.shape[axis + 1 :]), a.dtype)

    def macs(self, a: TensorSpec) -> int:
        return 0
