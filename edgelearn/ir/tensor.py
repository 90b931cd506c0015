"""What is known of a tensor before it exists."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from edgelearn.arrays import Array, Shape
from edgelearn.errors import GraphError

BATCH: Final = -1
"""A dimension that is chosen when the Graph is bound or run: the number of samples.

A matrix of all pairs of samples has two of them; both are the same number.
"""

DType: TypeAlias = Literal["float32", "int32", "int64", "int8", "uint8", "uint16"]
ITEMSIZE: Final[dict[str, int]] = {
    "float32": 4, "int32": 4, "int64": 8, "int8": 1, "uint8": 1, "uint16": 2,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Shape and dtype of a tensor.

    >>> TensorSpec((BATCH, 64)).bind(32).nbytes
    8192
    """

    shape: Shape
    dtype: DType = "float32"

    def __post_init__(self) -> None:
        fits = type(self.shape) is tuple and self.dtype in ITEMSIZE
        fits = fits and all(type(d) is int and (d >= 0 or d == BATCH) for d in self.shape)
        if not fits:
            raise GraphError(
                "tensor",
                expected=f"dimensions >= 0 or BATCH, a dtype of {tuple(ITEMSIZE)}",
                got=f"{self.shape} {self.dtype}",
                fix="mend the shape or the dtype",
            )

    @property
    def has_batch(self) -> bool:
        """Whether a dimension is still open."""
        return BATCH in self.shape

    @property
    def size(self) -> int:
        """Number of elements; the spec must be bound."""
        if self.has_batch:
            raise GraphError(
                "tensor", expected="a bound shape", got=f"{self.shape}", fix="call bind(batch)"
            )
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the elements; the spec must be bound."""
        return self.size * ITEMSIZE[self.dtype]

    def bind(self, batch: int) -> TensorSpec:
        """This spec with `BATCH` replaced by `batch` samples."""
        if not self.has_batch:
            return self
        return replace(self, shape=tuple(batch if d == BATCH else d for d in self.shape))

    def accepts(self, value: Array) -> bool:
        """Whether `value` has this dtype and shape, any length standing for `BATCH`."""
        return (
            value.dtype.name == self.dtype
            and value.ndim == len(self.shape)
            and all(d in (BATCH, n) for d, n in zip(self.shape, value.shape, strict=True))
        )

    def __str__(self) -> str:
        dims = ", ".join("batch" if d == BATCH else str(d) for d in self.shape)
        return f"{self.dtype}[{dims}]"
