"""Shapes of images, as the layers that slide over them need them."""

from __future__ import annotations

from edgelearn.arrays import F32, Shape
from edgelearn.errors import ConfigError
from edgelearn.ir.builder import Builder
from edgelearn.ir.ops import Reshape
from edgelearn.ir.tensor import BATCH


def image_shape(kind: str, in_shape: Shape) -> Shape:
    """`in_shape` as (height, width, channels); a plane has one channel.

    Raises
    ------
    ConfigError
        If it is no image.
    """
    if len(in_shape) not in (2, 3):
        raise ConfigError(
            f"layer of kind {kind!r}",
            expected="images of shape [height, width] or [height, width, channels]",
            got=f"an input of shape {list(in_shape)}",
            fix="put it before layers that flatten, on data of images",
        )
    return in_shape if len(in_shape) == 3 else (*in_shape, 1)


def as_images(kind: str, x: F32) -> F32:
    """Batch `x` with an axis for channels."""
    return x.reshape(len(x), *image_shape(kind, x.shape[1:]))


def emit_images(b: Builder, kind: str, x: str) -> str:
    """`as_images` as a node, where one is needed."""
    shape = b.specs[x].shape[1:]
    wanted = image_shape(kind, shape)
    return x if shape == wanted else b.apply(Reshape((BATCH, *wanted)), x)


def same_pads(
    image: Shape, kernel: tuple[int, int], strides: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Top, left, bottom, right, so that ``ceil(size / stride)`` windows fit; odd ones go last."""
    lacks = []
    for size, window, stride in zip(image[:2], kernel, strides, strict=True):
        count = -(-size // stride)
        lacks.append(max(0, (count - 1) * stride + window - size))
    (rows, columns) = lacks
    return rows // 2, columns // 2, rows - rows // 2, columns - columns // 2


def require_room(kind: str, out: Shape, in_shape: Shape) -> None:
    """Raise `ConfigError` if no window fits into the image."""
    if min(out) < 1:
        raise ConfigError(
            f"layer of kind {kind!r}",
            expected="images at least as large as its window",
            got=f"an input of shape {list(in_shape)}",
            fix='write a smaller kernel, or padding = "same"',
        )
