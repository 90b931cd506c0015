"""The operations on matrices of which only the weights that are kept are stored.

`edgelearn.ir.structure` says how they are stored: `starts` and `index` are inputs of the op,
constants in every Graph that `edgelearn.passes.sparsify` makes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edgelearn.errors import GraphError
from edgelearn.ir._rules import refuse, require_float, require_positive
from edgelearn.ir.structure import BLOCKS, per_unit
from edgelearn.ir.tensor import TensorSpec


@dataclass(frozen=True, slots=True)
class SparseMatMul:
    """``x @ w``: x (n, fan_in), values, starts, index -> (n, units); only kept weights are read."""

    fan_in: int
    units: int
    block: int = 1
    arity: ClassVar[int] = 4
    overwrites: ClassVar[tuple[int, ...]] = ()

    def __post_init__(self) -> None:
        _require_sizes(self)

    def infer(
        self, x: TensorSpec, values: TensorSpec, starts: TensorSpec, index: TensorSpec
    ) -> TensorSpec:
        require_float(self, x)
        _require_stored(self, values, starts, index)
        if len(x.shape) != 2 or x.shape[1] != self.fan_in:
            refuse(self, f"x of {self.fan_in} columns", x)
        return TensorSpec((x.shape[0], self.units))

    def macs(self, x: TensorSpec, values: TensorSpec, starts: TensorSpec, index: TensorSpec) -> int:
        return x.shape[0] * values.size


@dataclass(frozen=True, slots=True)
class SparseAddOuter:
    """``w + x.T @ d`` where weights are kept: values, x (n, fan_in), d (n, units), starts, index.

    Like `AddOuter` it needs no buffer for the gradient; other places have none.
    """

    fan_in: int
    units: int
    block: int = 1
    arity: ClassVar[int] = 5
    overwrites: ClassVar[tuple[int, ...]] = (0,)

    def __post_init__(self) -> None:
        _require_sizes(self)

    def infer(
        self,
        values: TensorSpec,
        x: TensorSpec,
        d: TensorSpec,
        starts: TensorSpec,
        index: TensorSpec,
    ) -> TensorSpec:
        require_float(self, x, d)
        _require_stored(self, values, starts, index)
        wanted = ((self.fan_in,), (self.units,))
        if (x.shape[1:], d.shape[1:]) != wanted or x.shape[0] != d.shape[0]:
            refuse(self, f"x of {self.fan_in} and d of {self.units} columns, a row a sample", x, d)
        return values

    def macs(
        self,
        values: TensorSpec,
        x: TensorSpec,
        d: TensorSpec,
        starts: TensorSpec,
        index: TensorSpec,
    ) -> int:
        return x.shape[0] * values.size


def _require_sizes(op: SparseMatMul | SparseAddOuter) -> None:
    require_positive(op, op.fan_in, op.units)
    if op.block not in BLOCKS:
        raise GraphError(
            f"op {type(op).__name__}",
            expected=f"blocks of {BLOCKS}",
            got=f"{op.block}",
            fix="use one of these",
        )


def _require_stored(
    op: SparseMatMul | SparseAddOuter, values: TensorSpec, starts: TensorSpec, index: TensorSpec
) -> None:
    require_float(op, values)
    many = per_unit(op.fan_in, op.block)
    widths = ("uint8", "uint16") if many <= 1 << 8 else ("uint16",)
    if index.dtype not in widths or len(index.shape) != 1 or many > 1 << 16:
        refuse(op, f"an index of {' or '.join(widths)}, for {many} blocks a unit", index)
    if starts != TensorSpec((op.units + 1,), "int32"):
        refuse(op, f"int32[{op.units + 1}] to say where each unit starts", starts)
    if values.shape != (op.block * index.shape[0],):
        refuse(op, f"{op.block} values for each place of the index", values, index)
