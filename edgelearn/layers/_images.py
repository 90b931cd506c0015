"""Samples as images, for layers that slide over them.

Two forms of samples are known. Of `IMAGES`, a sample is an image (rows, columns, channels), a
plane (rows, columns) of one channel, or a sequence of images (steps, rows, columns, channels). Of
`SEQUENCES`, a sample is a sequence (steps, channels): an image that is one column wide.

In the Graph, the steps of a sequence of images become groups of channels: the batch may stay open,
and the number of nodes does not grow with the steps.
"""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias

from edgelearn.arrays import F32, Shape
from edgelearn.errors import ConfigError
from edgelearn.ir.builder import Builder
from edgelearn.ir.ops import Reshape, Transpose
from edgelearn.ir.ops_spatial import Pads, Pair
from edgelearn.ir.tensor import BATCH
from edgelearn.views import IMAGE_CELLS, SEQUENCE_CELLS

Padding: TypeAlias = Literal["same", "valid", "causal"]


class Form(Protocol):
    """How samples are seen as images."""

    cells: Pair
    """Rows and columns of cells that a readout sees, at most."""

    def pair(self, size: int) -> Pair:
        """Rows and columns of what a setting calls `size`."""

    def frames(self, kind: str, in_shape: Shape) -> tuple[int, Shape]:
        """How many images a sample is, and the shape of each: rows, columns, channels.

        Raises
        ------
        ConfigError
            If it is none.
        """

    def sample(self, in_shape: Shape, image: Shape) -> Shape:
        """The shape of a sample like one of `in_shape`, of images of shape `image`."""


class _Images:
    cells = IMAGE_CELLS

    def pair(self, size: int) -> Pair:
        return size, size

    def frames(self, kind: str, in_shape: Shape) -> tuple[int, Shape]:
        if len(in_shape) not in (2, 3, 4):
            raise ConfigError(
                f"layer of kind {kind!r}",
                expected="images of shape [height, width] or [height, width, channels], "
                "or sequences of them, [steps, height, width, channels]",
                got=f"an input of shape {list(in_shape)}",
                fix="put it before layers that flatten, on data of images",
            )
        image = in_shape[-3:] if len(in_shape) > 2 else (*in_shape, 1)
        return (in_shape[0] if len(in_shape) == 4 else 1), image

    def sample(self, in_shape: Shape, image: Shape) -> Shape:
        return (*in_shape[:-3], *image)


class _Sequences:
    cells = SEQUENCE_CELLS

    def pair(self, size: int) -> Pair:
        return size, 1

    def frames(self, kind: str, in_shape: Shape) -> tuple[int, Shape]:
        if len(in_shape) != 2:
            raise ConfigError(
                f"layer of kind {kind!r}",
                expected="sequences of shape [steps, channels]",
                got=f"an input of shape {list(in_shape)}",
                fix="put it on data of sequences, or use the kind for images",
            )
        return 1, (in_shape[0], 1, in_shape[1])

    def sample(self, in_shape: Shape, image: Shape) -> Shape:
        return image[0], image[2]


IMAGES: Form = _Images()
SEQUENCES: Form = _Sequences()


def as_images(form: Form, kind: str, x: F32) -> F32:
    """Batch `x` as images, those of one sample one after the other."""
    _, image = form.frames(kind, x.shape[1:])
    return x.reshape(-1, *image)


def emit_images(b: Builder, form: Form, kind: str, x: str) -> str:
    """`as_images` as nodes: (batch, rows, columns, steps * channels)."""
    shape = b.specs[x].shape[1:]
    steps, image = form.frames(kind, shape)
    if steps == 1:
        return x if shape == image else b.apply(Reshape((BATCH, *image)), x)
    turned = b.apply(Transpose((0, 2, 3, 1, 4)), x)
    return b.apply(Reshape((BATCH, *image[:2], steps * image[2])), turned)


def emit_samples(b: Builder, images: str, steps: int, out_shape: Shape) -> str:
    """The way back from `emit_images` to samples of `out_shape`."""
    _, rows, columns, channels = b.specs[images].shape
    if steps > 1:
        apart = b.apply(Reshape((BATCH, rows, columns, steps, channels // steps)), images)
        return b.apply(Transpose((0, 3, 1, 2, 4)), apart)
    if out_shape == (rows, columns, channels):
        return images
    return b.apply(Reshape((BATCH, *out_shape)), images)


def padding(kind: Padding, image: Shape, span: Pair, strides: Pair) -> Pads:
    """Rows and columns of zeros around an image: top, left, bottom, right.

    Parameters
    ----------
    kind : {"same", "valid", "causal"}
        same: ``ceil(size / stride)`` windows fit, odd ones go last; valid: none; causal: as many,
        all of them before the first row, so that no window sees a later one.
    image : tuple of int
    span, strides : pair of int
        Rows and columns of a window; how far it slides.
    """
    if kind == "valid":
        return 0, 0, 0, 0
    if kind == "causal":
        return span[0] - 1, 0, 0, 0
    lacks = []
    for size, window, stride in zip(image[:2], span, strides, strict=True):
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
            fix='write a smaller kernel or window, or padding = "same"',
        )


def require_reach(kind: str, image: Shape, pads: Pads, kernel: int, dilation: int) -> None:
    """Raise `ConfigError` if a weight meets padding only.

    A filter may be larger than the image, as in Keras and PyTorch: each of its weights meets a
    pixel somewhere, as long as it reaches no further than the other edge.
    """
    ends = zip(image[:2], pads[:2], pads[2:], strict=True)
    sides = [size for size, *around in ends if max(around) >= size]
    if sides:
        raise ConfigError(
            f"layer of kind {kind!r}",
            expected=f"a kernel whose every weight meets some of {image[0]} x {image[1]} places",
            got=f"kernel = {kernel}, dilation = {dilation}: some see padding only",
            fix=f"write kernel = {2 * (min(sides) - 1) // dilation + 1} or less",
        )
