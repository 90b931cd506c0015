"""What pooling layers share: windows that slide over images, and nothing to learn."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec

from edgelearn.arrays import F32, Shape
from edgelearn.ir.builder import Builder
from edgelearn.ir.ops import Pool2d
from edgelearn.layers._base import Names, Params, Trace
from edgelearn.layers._images import as_images, emit_images, image_shape, require_room, same_pads


class Pooling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Windows of `window` rows and columns, `stride` apart (as far as they are wide by default).

    `padding`: "valid" leaves out what no whole window covers; "same" gives
    ``ceil(size / stride)`` rows and columns.
    """

    kind: ClassVar[str]
    window: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 2
    stride: Annotated[int, msgspec.Meta(ge=1, le=1024)] | None = None
    padding: Literal["valid", "same"] = "valid"

    def op(self, in_shape: Shape) -> Pool2d:
        """The operation of the Graph that this is, on images of `in_shape`."""
        kernel = (self.window, self.window)
        stride = self.window if self.stride is None else self.stride
        strides = (stride, stride)
        image = image_shape(self.kind, in_shape)
        pads = same_pads(image, kernel, strides) if self.padding == "same" else (0, 0, 0, 0)
        return Pool2d("max" if self.kind == "max_pool" else "avg", kernel, strides, pads)

    def out_shape(self, in_shape: Shape) -> Shape:
        op, image = self.op(in_shape), image_shape(self.kind, in_shape)
        rows, columns = (
            (size + before + after - window) // stride + 1
            for size, before, after, window, stride in zip(
                image[:2], op.pads[:2], op.pads[2:], op.kernel, op.strides, strict=True
            )
        )
        require_room(self.kind, (rows, columns), in_shape)
        return rows, columns, image[2]

    def init(self, in_shape: Shape, seed: int, index: int) -> Params:
        return {}

    def scratch_size(self, in_shape: Shape, batch: int) -> int:
        return 0

    def slides(self, x: F32) -> tuple[F32, tuple[int, int, int, int, int, int]]:
        """Images `x`, and window, stride and first pads for a kernel."""
        op = self.op(x.shape[1:])
        return as_images(self.kind, x), (*op.kernel, *op.strides, op.pads[0], op.pads[1])

    def emit(self, b: Builder, params: Names, x: str) -> Trace[str]:
        op = self.op(b.specs[x].shape[1:])
        x = emit_images(b, self.kind, x)
        return Trace(x, b.apply(op, x))
