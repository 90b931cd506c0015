"""The closed union of operations: shape rules, MACs and in-place rules.

Every class has

``infer(*specs)``
    the spec of the output, or `GraphError` if the inputs do not fit;
``macs(*specs)``
    multiply-accumulates on bound specs (element-wise work counts 0: it is bound by bytes);
``arity``
    the number of inputs;
``overwrites``
    the inputs whose storage the output may take over, best first.

To add an operation, add its class, its name in `Op`, and one arm in each consumer:
mypy names every place that lacks it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias, get_args

from edgelearn.ir._rules import broadcast, refuse, require_float, require_kind, resolve_axis
from edgelearn.ir.ops_chance import Keep
from edgelearn.ir.ops_moves import Concat, Gather, Reshape, Slice, ToInt, Transpose
from edgelearn.ir.ops_quant import Dequantize, Quantize
from edgelearn.ir.ops_sparse import SparseAddOuter, SparseMatMul
from edgelearn.ir.ops_spatial import AddConvOuter, Conv2d, ConvTranspose2d, Pool2d
from edgelearn.ir.tensor import TensorSpec

__all__ = [
    "OPS",
    "AddConvOuter",
    "AddOuter",
    "ApplyMask",
    "BatchSize",
    "Binary",
    "BinaryKind",
    "Concat",
    "Conv2d",
    "ConvTranspose2d",
    "Dequantize",
    "Gather",
    "Keep",
    "MatMul",
    "OneHot",
    "Op",
    "Pool2d",
    "Quantize",
    "Reduce",
    "ReduceKind",
    "Reshape",
    "Slice",
    "Softmax",
    "SparseAddOuter",
    "SparseMatMul",
    "ToInt",
    "Transpose",
    "Unary",
    "UnaryKind",
]

BinaryKind: TypeAlias = Literal["add", "sub", "mul", "div", "max", "min"]
UnaryKind: TypeAlias = Literal[
    "tanh", "relu", "sigmoid", "exp", "log", "sqrt", "abs", "sign", "neg"
]
ReduceKind: TypeAlias = Literal["sum", "mean", "max"]


@dataclass(frozen=True, slots=True)
class MatMul:
    """Matrix product ``a @ b`` of two matrices, each taken transposed if its flag is set."""

    transpose_a: bool = False
    transpose_b: bool = False
    arity: ClassVar[int] = 2
    overwrites: ClassVar[tuple[int, ...]] = ()

    def _dims(self, a: TensorSpec, b: TensorSpec) -> tuple[int, int, int]:
        if len(a.shape) != 2 or len(b.shape) != 2:
            refuse(self, "two matrices", a, b)
        rows, inner = a.shape[::-1] if self.transpose_a else a.shape
        inner_b, columns = b.shape[::-1] if self.transpose_b else b.shape
        if inner != inner_b:
            refuse(self, "equal inner dimensions", a, b)
        return rows, inner, columns

    def infer(self, a: TensorSpec, b: TensorSpec) -> TensorSpec:
        require_float(self, a, b)
        rows, _, columns = self._dims(a, b)
        return TensorSpec((rows, columns))

    def macs(self, a: TensorSpec, b: TensorSpec) -> int:
        return math.prod(self._dims(a, b))


@dataclass(frozen=True, slots=True)
class AddOuter:
    """``w + x.T @ d``: (k, m) + (n, k).T @ (n, m), the sum of one outer product per sample.

    One op, not three, because it needs no buffer for the gradient: it writes onto ``w``.
    """

    arity: ClassVar[int] = 3
    overwrites: ClassVar[tuple[int, ...]] = (0,)

    def infer(self, w: TensorSpec, x: TensorSpec, d: TensorSpec) -> TensorSpec:
        require_float(self, w, x, d)
        if len(x.shape) != 2 or len(d.shape) != 2 or x.shape[0] != d.shape[0]:
            refuse(self, "x and d with one row per sample", w, x, d)
        if w.shape != (x.shape[1], d.shape[1]):
            refuse(self, "w of shape (columns of x, columns of d)", w, x, d)
        return w

    def macs(self, w: TensorSpec, x: TensorSpec, d: TensorSpec) -> int:
        return w.size * x.shape[0]


@dataclass(frozen=True, slots=True)
class Binary:
    """An element-wise function of two tensors, with NumPy's broadcasting."""

    kind: BinaryKind
    arity: ClassVar[int] = 2
    overwrites: ClassVar[tuple[int, ...]] = (0, 1)

    def __post_init__(self) -> None:
        require_kind(self, self.kind, BinaryKind)

    def infer(self, a: TensorSpec, b: TensorSpec) -> TensorSpec:
        require_float(self, a, b)
        return TensorSpec(broadcast(self, a, b))

    def macs(self, a: TensorSpec, b: TensorSpec) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class Unary:
    """An element-wise function of one tensor."""

    kind: UnaryKind
    arity: ClassVar[int] = 1
    overwrites: ClassVar[tuple[int, ...]] = (0,)

    def __post_init__(self) -> None:
        require_kind(self, self.kind, UnaryKind)

    def infer(self, a: TensorSpec) -> TensorSpec:
        require_float(self, a)
        return a

    def macs(self, a: TensorSpec) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class ApplyMask:
    """The first tensor where the second, uint8 of the same shape, is not 0; 0 elsewhere.

    One op, not a product, because a mask of bytes is a quarter of one of numbers to multiply by.
    """

    arity: ClassVar[int] = 2
    overwrites: ClassVar[tuple[int, ...]] = (0,)

    def infer(self, a: TensorSpec, mask: TensorSpec) -> TensorSpec:
        require_float(self, a)
        if mask.dtype != "uint8" or mask.shape != a.shape:
            refuse(self, "a mask of uint8, of the shape of what it masks", a, mask)
        return a

    def macs(self, a: TensorSpec, mask: TensorSpec) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class Softmax:
    """``exp(a) / sum(exp(a))`` over the last axis, with the maximum subtracted first."""

    arity: ClassVar[int] = 1
    overwrites: ClassVar[tuple[int, ...]] = (0,)

    def infer(self, a: TensorSpec) -> TensorSpec:
        require_float(self, a)
        if not a.shape:
            refuse(self, "at least one axis", a)
        return a

    def macs(self, a: TensorSpec) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class Reduce:
    """Sum, mean or maximum over `axes`; the axes stay with length 1 if `keepdims`."""

    kind: ReduceKind
    axes: tuple[int, ...]
    keepdims: bool = False
    arity: ClassVar[int] = 1
    overwrites: ClassVar[tuple[int, ...]] = ()

    def __post_init__(self) -> None:
        require_kind(self, self.kind, ReduceKind)

    def infer(self, a: TensorSpec) -> TensorSpec:
        require_float(self, a)
        rank = len(a.shape)
        axes = {resolve_axis(axis, rank) for axis in self.axes}
        if not axes or len(axes) != len(self.axes) or not axes <= set(range(rank)):
            refuse(self, f"distinct axes among {rank}, got {self.axes}", a)
        if self.keepdims:
            return TensorSpec(tuple(1 if i in axes else d for i, d in enumerate(a.shape)))
        return TensorSpec(tuple(d for i, d in enumerate(a.shape) if i not in axes))

    def macs(self, a: TensorSpec) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class OneHot:
    """Class indices to rows of `depth` floats with a single 1."""

    depth: int
    arity: ClassVar[int] = 1
    overwrites: ClassVar[tuple[int, ...]] = ()

    def infer(self, labels: TensorSpec) -> TensorSpec:
        if labels.dtype not in ("int32", "int64"):
            refuse(self, "integer class indices", labels)
        return TensorSpec((*labels.shape, self.depth))

    def macs(self, labels: TensorSpec) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class BatchSize:
    """The length of the first axis as a float32 scalar: what a mean over samples divides by."""

    arity: ClassVar[int] = 1
    overwrites: ClassVar[tuple[int, ...]] = ()

    def infer(self, a: TensorSpec) -> TensorSpec:
        if not a.shape:
            refuse(self, "at least one axis", a)
        return TensorSpec(())

    def macs(self, a: TensorSpec) -> int:
        return 0


Op: TypeAlias = (
    MatMul
    | AddOuter
    | AddConvOuter
    | Binary
    | Unary
    | ApplyMask
    | Keep
    | Softmax
    | Reduce
    | Reshape
    | OneHot
    | ToInt
    | Gather
    | BatchSize
    | Conv2d
    | ConvTranspose2d
    | Pool2d
    | Transpose
    | Concat
    | Slice
    | SparseMatMul
    | SparseAddOuter
    | Quantize
    | Dequantize
)

OPS: dict[str, type[Op]] = {kind.__name__: kind for kind in get_args(Op)}
"""Every operation by name, for the store and for tests."""
