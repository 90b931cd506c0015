"""The operations between real numbers and integers; `edgelearn.ir.ops` says what each class has.

A quantised model is an ordinary Graph in which these two stand around what integers carry: a
`Dequantize` says what integers mean, a `Quantize` which integer is nearest to a number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from edgelearn.errors import GraphError
from edgelearn.ir._rules import refuse, require_float, require_kind
from edgelearn.ir.tensor import TensorSpec

QuantDType: TypeAlias = Literal["int8", "uint8"]
"""What numbers are quantised to; int32, of biases, is read only."""
RANGES: dict[str, tuple[int, int]] = {
    "int8": (-(2**7), 2**7 - 1),
    "uint8": (0, 2**8 - 1),
    "int32": (-(2**31), 2**31 - 1),
}


@dataclass(frozen=True, slots=True)
class QuantParams:
    """The integer q stands for ``(q - zero_point) * scale``.

    Attributes
    ----------
    scale : tuple of float
        In float32; one, or one for each position of `axis`.
    zero_point : tuple of int
        As many: the integer that stands for 0.
    axis : int or None
        None if one scale serves the whole tensor.

    Raises
    ------
    GraphError
        If a scale is not positive and finite, or the two are not of one length.

    >>> QuantParams((0.5,), (0,)).scale
    (0.5,)
    """

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int | None = None

    def __post_init__(self) -> None:
        positive = all(0 < s < math.inf for s in self.scale)
        counts = {len(self.scale), len(self.zero_point)}
        many = self.axis is not None and self.axis >= 0
        if not positive or len(counts) > 1 or not (counts == {1} or (many and counts != {0})):
            raise GraphError(
                "quantisation",
                expected="positive scales, as many zero points, and an axis >= 0 if several",
                got=f"{len(self.scale)} scales, {len(self.zero_point)} zero points, "
                f"axis {self.axis}",
                fix="give one of each, or one for every position of the axis",
            )


def _check(op: Quantize | Dequantize, a: TensorSpec, dtype: str) -> None:
    """Raise unless the parameters of `op` fit the axes of `a`, and `dtype`."""
    params, (low, high) = op.params, RANGES[dtype]
    if params.axis is not None and a.shape[params.axis : params.axis + 1] != (len(params.scale),):
        refuse(op, f"{len(params.scale)} positions on axis {params.axis}", a)
    if any(not low <= z <= high for z in params.zero_point) or (dtype == "int32" and _shifted(op)):
        refuse(op, "zero points within the dtype, and of int32 only 0", a)


def _shifted(op: Quantize | Dequantize) -> bool:
    return any(op.params.zero_point)


@dataclass(frozen=True, slots=True)
class Quantize:
    """The nearest integer of ``a / scale``, a half to the even one, plus the zero point.

    What lies beyond `dtype` becomes its lowest or highest integer. NaN has no integer.
    """

    params: QuantParams
    dtype: QuantDType = "int8"
    arity: ClassVar[int] = 1
    overwrites: ClassVar[tuple[int, ...]] = ()

    def __post_init__(self) -> None:
        require_kind(self, self.dtype, QuantDType)

    def infer(self, a: TensorSpec) -> TensorSpec:
        require_float(self, a)
        _check(self, a, self.dtype)
        return TensorSpec(a.shape, self.dtype)

    def macs(self, a: TensorSpec) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class Dequantize:
    """``(a - zero_point) * scale`` of int8, uint8 or int32, as float32."""

    params: QuantParams
    arity: ClassVar[int] = 1
    overwrites: ClassVar[tuple[int, ...]] = ()

    def infer(self, a: TensorSpec) -> TensorSpec:
        if a.dtype not in RANGES:
            refuse(self, "int8, uint8 or int32", a)
        _check(self, a, a.dtype)
        return TensorSpec(a.shape)

    def macs(self, a: TensorSpec) -> int:
        return 0
