"""The operation that acts by chance; the union of all is in `edgelearn.ir.ops`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edgelearn.errors import GraphError
from edgelearn.ir._rules import refuse, require_float
from edgelearn.ir.tensor import TensorSpec

ALL = 1 << 24


@dataclass(frozen=True, slots=True)
class Keep:
    """Each element of ``x`` divided by the share that is kept, or 0, by chance; ``x`` in step 0.

    Element number n, in C order, is kept if number n of `edgelearn.rng.drawn` is below `share`. The
    step is an int64 scalar: the same step of the same Graph always keeps the same.

    Attributes
    ----------
    share : int
        How many of 2**24 are kept.
    key : int
        62 bits: which numbers are drawn.
    """

    share: int
    key: int
    arity: ClassVar[int] = 2
    overwrites: ClassVar[tuple[int, ...]] = (0,)

    def __post_init__(self) -> None:
        if not (1 <= self.share <= ALL and 0 <= self.key < 1 << 62):
            raise GraphError(
                "op Keep",
                expected="a share of 1 to 2**24 and a key of 62 bits",
                got=f"{self.share} and {self.key}",
                fix="mend them",
            )

    def infer(self, x: TensorSpec, step: TensorSpec) -> TensorSpec:
        require_float(self, x)
        if step != TensorSpec((), "int64"):
            refuse(self, "a step that is an int64 scalar", x, step)
        return x

    def macs(self, x: TensorSpec, step: TensorSpec) -> int:
        return 0
