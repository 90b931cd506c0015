"""What pooling layers share: windows that slide over images or sequences, and nothing to learn."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec

from edgelearn import kernels
from edgelearn.arrays import F32, Shape
from edgelearn.ir.builder import Builder
from edgelearn.ir.ops import Pool2d
from edgelearn.ir.ops_spatial import PoolKind
from edgelearn.layers._base import Names, Params, Trace
from edgelearn.layers._images import (
    IMAGES,
    Form,
    as_images,
    emit_images,
    emit_samples,
    padding,
    require_room,
)


class Pooling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Windows of `window` rows and columns, `stride` apart (as far as they are wide by default).

    `padding`: "valid" leaves out what no whole window covers; "same" gives
    ``ceil(size / stride)`` rows and columns.
    """

    kind: ClassVar[str]
    form: ClassVar[Form] = IMAGES
    takes: ClassVar[PoolKind]
    window: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 2
    stride: Annotated[int, msgspec.Meta(ge=1, le=1024)] | None = None
    padding: Literal["valid", "same"] = "valid"

    def op(self, in_shape: Shape) -> Pool2d:
        """The operation of the Graph that this is, on images of `in_shape`."""
        kernel = self.form.pair(self.window)
        strides = self.form.pair(self.window if self.stride is None else self.stride)
        _, image = self.form.frames(self.kind, in_shape)
        return Pool2d(self.takes, kernel, strides, padding(self.padding, image, kernel, strides))

    def out_shape(self, in_shape: Shape) -> Shape:
        op, (_, image) = self.op(in_shape), self.form.frames(self.kind, in_shape)
        rows, columns = (
            (size + before + after - window) // stride + 1
            for size, before, after, window, stride in zip(
                image[:2], op.pads[:2], op.pads[2:], op.kernel, op.strides, strict=True
            )
        )
        require_room(self.kind, (rows, columns), in_shape)
        return self.form.sample(in_shape, (rows, columns, image[2]))

    def init(self, in_shape: Shape, seed: int, index: int) -> Params:
        return {}

    def scratch_size(self, in_shape: Shape, batch: int) -> int:
        return 0

    def forward(self, params: Params, x: F32, out: F32, scratch: F32) -> Trace[F32]:
        op = self.op(x.shape[1:])
        images, pooled = as_images(self.form, self.kind, x), as_images(self.form, self.kind, out)
        pool = kernels.spatial.max_pool if self.takes == "max" else kernels.spatial.mean_pool
        pool(images, *op.kernel, *op.strides, op.pads[0], op.pads[1], pooled)
        return Trace(x, out)

    def emit(self, b: Builder, params: Names, x: str) -> Trace[str]:
        shape = b.specs[x].shape[1:]
        steps, _ = self.form.frames(self.kind, shape)
        pooled = b.apply(self.op(shape), emit_images(b, self.form, self.kind, x))
        return Trace(x, emit_samples(b, pooled, steps, self.out_shape(shape)))
