"""The operations of images; `edgelearn.ir.ops` says what each class has."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from edgelearn.ir._rules import refuse, require_float, require_kind, require_positive
from edgelearn.ir.tensor import BATCH, TensorSpec

PoolKind: TypeAlias = Literal["max", "avg"]
Pair: TypeAlias = tuple[int, int]
Pads: TypeAlias = tuple[int, int, int, int]
"""Rows or columns of padding: top, left, bottom, right."""


def _out_length(size: int, kernel: int, stride: int, pad: int) -> int:
    return (size + pad - kernel) // stride + 1


def _out_image(
    op: Conv2d | ConvTranspose2d | Pool2d | AddConvOuter, x: TensorSpec, kernel: Pair
) -> Pair:
    """Height and width after sliding `kernel` over the padded `x`."""
    if len(x.shape) != 4 or BATCH in x.shape[1:]:
        refuse(op, "an image (batch, height, width, channels)", x)
    (top, left, bottom, right), (rows, columns) = op.pads, op.strides
    height = _out_length(x.shape[1], kernel[0], rows, top + bottom)
    width = _out_length(x.shape[2], kernel[1], columns, left + right)
    if height < 1 or width < 1:
        refuse(op, f"an image of at least {kernel[0]} x {kernel[1]} with its padding", x)
    return height, width


def _convolved(
    op: Conv2d | ConvTranspose2d | AddConvOuter, x: TensorSpec, w: TensorSpec
) -> TensorSpec:
    """What the convolution of `x` with filters `w` makes."""
    if len(w.shape) != 4 or w.has_batch:
        refuse(op, "filters (height, width, channels / groups, outputs)", x, w)
    down, across = ((k - 1) * d + 1 for k, d in zip(w.shape[:2], op.dilations, strict=True))
    height, width = _out_image(op, x, (down, across))
    if x.shape[3] != w.shape[2] * op.groups or w.shape[3] % op.groups:
        refuse(op, f"channels and outputs that split into {op.groups} groups", x, w)
    return TensorSpec((x.shape[0], height, width, w.shape[3]))


@dataclass(frozen=True, slots=True)
class Conv2d:
    """The correlation of images (n, h, w, c) with filters (kh, kw, c / groups, m): (n, h', w', m).

    The filters lie as dense weights do, inputs before outputs: as a matrix
    (kh * kw * c, m) they meet patches in a `MatMul`; `AddConvOuter` trains them where they lie.
    """

    strides: Pair = (1, 1)
    pads: Pads = (0, 0, 0, 0)
    dilations: Pair = (1, 1)
    groups: int = 1
    arity: ClassVar[int] = 2
    overwrites: ClassVar[tuple[int, ...]] = ()

    def __post_init__(self) -> None:
        require_positive(self, *self.strides, *self.dilations, self.groups)
        require_positive(self, *(pad + 1 for pad in self.pads))

    def infer(self, x: TensorSpec, w: TensorSpec) -> TensorSpec:
        require_float(self, x, w)
        return _convolved(self, x, w)

    def macs(self, x: TensorSpec, w: TensorSpec) -> int:
        return self.infer(x, w).size * math.prod(w.shape[:3])


@dataclass(frozen=True, slots=True)
class ConvTranspose2d:
    """Errors (n, h', w', m) through filters (kh, kw, c / groups, m) back to images (n, h, w, c).

    The transpose of the `Conv2d` with these settings on images of `size`, height and width: each
    error times the filters is added where that convolution looked. One op because the filters
    are read where they lie, and no buffer of patches is needed.
    """

    size: Pair
    strides: Pair = (1, 1)
    pads: Pads = (0, 0, 0, 0)
    dilations: Pair = (1, 1)
    groups: int = 1
    arity: ClassVar[int] = 2
    overwrites: ClassVar[tuple[int, ...]] = ()

    def __post_init__(self) -> None:
        require_positive(self, *self.size, *self.strides, *self.dilations, self.groups)
        require_positive(self, *(pad + 1 for pad in self.pads))

    def infer(self, d: TensorSpec, w: TensorSpec) -> TensorSpec:
        require_float(self, d, w)
        if len(d.shape) != 4 or len(w.shape) != 4:
            refuse(self, "errors (n, h', w', m) and filters (height, width, channels, m)", d, w)
        x = TensorSpec((d.shape[0], *self.size, w.shape[2] * self.groups))
        if d != _convolved(self, x, w):
            refuse(self, f"what a convolution of {x} makes", d, w)
        return x

    def macs(self, d: TensorSpec, w: TensorSpec) -> int:
        return d.size * math.prod(w.shape[:3])


@dataclass(frozen=True, slots=True)
class AddConvOuter:
    """`w` plus the correlation of `x` with `d`: how the filters of a `Conv2d` are trained.

    ``w[a, b, c, m] + sum(x[n, i * sy + a * dy, j * sx + b * dx, c] * d[n, i, j, m])``, over padded
    images `x` (n, h, w, c) and errors `d` (n, h', w', m) of the convolution with these settings;
    with groups, c counts the channels of the group of m. One op because, like `AddOuter`, it needs
    no buffer for patches or gradient.
    """

    strides: Pair = (1, 1)
    pads: Pads = (0, 0, 0, 0)
    dilations: Pair = (1, 1)
    groups: int = 1
    arity: ClassVar[int] = 3
    overwrites: ClassVar[tuple[int, ...]] = (0,)

    def __post_init__(self) -> None:
        require_positive(self, *self.strides, *self.dilations, self.groups)
        require_positive(self, *(pad + 1 for pad in self.pads))

    def infer(self, w: TensorSpec, x: TensorSpec, d: TensorSpec) -> TensorSpec:
        require_float(self, w, x, d)
        if d != _convolved(self, x, w):
            refuse(self, "x and d as input and output of the convolution with w", w, x, d)
        return w

    def macs(self, w: TensorSpec, x: TensorSpec, d: TensorSpec) -> int:
        return d.size * math.prod(w.shape[:3])


@dataclass(frozen=True, slots=True)
class Pool2d:
    """The maximum or mean of each window of an image (n, h, w, c); padding is left out of both.

    A maximum may be that of quantised elements, which lie in the same order as what they mean.
    """

    kind: PoolKind
    kernel: Pair
    strides: Pair = (1, 1)
    pads: Pads = (0, 0, 0, 0)
    arity: ClassVar[int] = 1
    overwrites: ClassVar[tuple[int, ...]] = ()

    def __post_init__(self) -> None:
        require_kind(self, self.kind, PoolKind)
        require_positive(self, *self.kernel, *self.strides)
        require_positive(self, *(pad + 1 for pad in self.pads))
        room = (*self.kernel, *self.kernel)
        # A window must hold one real element at least.
        require_positive(self, *(k - pad for k, pad in zip(room, self.pads, strict=True)))

    def infer(self, x: TensorSpec) -> TensorSpec:
        if self.kind == "avg" or x.dtype not in ("int8", "uint8"):
            require_float(self, x)
        height, width = _out_image(self, x, self.kernel)
        return TensorSpec((x.shape[0], height, width, x.shape[3]), x.dtype)

    def macs(self, x: TensorSpec) -> int:
        return 0
