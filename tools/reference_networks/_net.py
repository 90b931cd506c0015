"""Layers for networks of which only the shapes matter: weights are zeros that take no room."""

from __future__ import annotations

import math

import numpy as np

from edgelearn.arrays import Array
from edgelearn.ir import Builder, Graph
from edgelearn.ir.ops import Concat, Conv2d, Pool2d, Reduce, Reshape, Slice, Transpose
from edgelearn.ir.ops_spatial import Pads, PoolKind


def divisible(channels: float, by: int = 8) -> int:
    """`channels` rounded to a multiple of `by`, but not down by more than a tenth.

    Source: Sandler et al., "MobileNetV2", 2018, arXiv:1801.04381, as its authors released it.
    """
    rounded = max(by, int(channels + by / 2) // by * by)
    return rounded if rounded >= 0.9 * channels else rounded + by


def _same(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Padding before and after, so that ceil(size / stride) positions come out."""
    pad = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return pad // 2, pad - pad // 2


class Net:
    """A network under construction; every method takes and returns names of values."""

    def __init__(self, name: str, *shape: int) -> None:
        self.b = Builder(name)
        self.input = self.b.input("x", (1, *shape))

    def shape(self, x: str) -> tuple[int, ...]:
        return self.b.specs[x].shape

    def channels(self, x: str) -> int:
        return self.shape(x)[-1]

    def constant(self, *shape: int) -> str:
        zeros: Array = np.broadcast_to(np.float32(0), shape)
        return self.b.constant(self.b.fresh("w"), zeros)

    def act(self, x: str, kind: str | None) -> str:
        """Activation `kind`; a bounded relu and the hard ones are composed."""
        b = self.b
        if kind is None:
            return x
        if kind in ("relu", "sigmoid", "tanh"):
            return b.unary(kind, x)  # type: ignore[arg-type]
        if kind == "relu6":
            return b.binary("min", b.unary("relu", x), b.scalar(6))
        if kind == "leaky":
            return b.binary("max", x, b.binary("mul", x, b.scalar(0.1)))
        if kind == "swish":
            return b.binary("mul", x, b.unary("sigmoid", x))
        gate = b.binary("min", b.unary("relu", b.binary("add", x, b.scalar(3))), b.scalar(6))
        gate = b.binary("mul", gate, b.scalar(1 / 6))
        return gate if kind == "hsigmoid" else b.binary("mul", x, gate)

    def _pads(self, x: str, kernel: tuple[int, int], stride: int, padding: str) -> Pads:
        """`same`, `valid`, or `ceil`: none before, and after only what a last window lacks."""
        _, height, width, _ = self.shape(x)
        if padding == "valid":
            return 0, 0, 0, 0
        if padding == "ceil":
            bottom, right = (
                (math.ceil((size - k) / stride)) * stride + k - size
                for size, k in ((height, kernel[0]), (width, kernel[1]))
            )
            return 0, 0, max(bottom, 0), max(right, 0)
        (top, bottom), (left, right) = (
            _same(height, kernel[0], stride),
            _same(width, kernel[1], stride),
        )
        return top, left, bottom, right

    def conv(
        self,
        x: str,
        filters: int,
        kernel: int | tuple[int, int] = 1,
        stride: int = 1,
        act: str | None = "relu",
        *,
        groups: int = 1,
        padding: str = "same",
    ) -> str:
        """Convolution, bias, activation; a normalisation is folded into the first two."""
        size = (kernel, kernel) if isinstance(kernel, int) else kernel
        w = self.constant(*size, self.channels(x) // groups, filters)
        op = Conv2d((stride, stride), self._pads(x, size, stride, padding), groups=groups)
        y = self.b.apply(op, x, w, name=self.b.fresh("conv"))
        return self.act(self.b.binary("add", y, self.constant(filters)), act)

    def depthwise(self, x: str, kernel: int = 3, stride: int = 1, act: str | None = "relu") -> str:
        return self.conv(x, self.channels(x), kernel, stride, act, groups=self.channels(x))

    def dense(self, x: str, units: int, act: str | None = None) -> str:
        """Flattened inputs to `units` outputs."""
        size = math.prod(self.shape(x))
        if self.shape(x) != (1, size):
            x = self.b.apply(Reshape((1, size)), x)
        y = self.b.matmul(x, self.constant(size, units), name=self.b.fresh("dense"))
        return self.act(self.b.binary("add", y, self.constant(units)), act)

    def pool(
        self, x: str, kind: PoolKind, kernel: int = 2, stride: int = 2, padding: str = "same"
    ) -> str:
        size = (kernel, kernel)
        op = Pool2d(kind, size, (stride, stride), self._pads(x, size, stride, padding))
        return self.b.apply(op, x)

    def global_pool(self, x: str) -> str:
        return self.b.apply(Reduce("mean", (1, 2), keepdims=True), x)

    def add(self, x: str, y: str, act: str | None = None) -> str:
        return self.act(self.b.binary("add", x, y), act)

    def concat(self, *parts: str, axis: int = 3) -> str:
        return self.b.apply(Concat(axis, len(parts)), *parts)

    def channel_slice(self, x: str, start: int, stop: int) -> str:
        return self.b.apply(Slice(3, start, stop), x)

    def shuffle(self, x: str, groups: int) -> str:
        """Channels of `groups` groups, taken in turn."""
        _, height, width, channels = self.shape(x)
        split = self.b.apply(Reshape((1, height, width, groups, channels // groups)), x)
        turned = self.b.apply(Transpose((0, 1, 2, 4, 3)), split)
        return self.b.apply(Reshape((1, height, width, channels)), turned)

    def rows(self, x: str, width: int) -> str:
        """All values as a matrix of `width` columns."""
        return self.b.apply(Reshape((math.prod(self.shape(x)) // width, width)), x)

    def upsample(self, x: str) -> str:
        """Every pixel four times."""
        _, height, width, channels = self.shape(x)
        wide = self.b.apply(Reshape((1, height, 2 * width * channels)), self.concat(x, x))
        tall = self.concat(wide, wide, axis=2)
        return self.b.apply(Reshape((1, 2 * height, 2 * width, channels)), tall)

    def squeeze_excite(self, x: str, units: int, act: str = "relu", gate: str = "sigmoid") -> str:
        """Channels scaled by what a small network makes of their means.

        Source: Hu et al., "Squeeze-and-Excitation Networks", 2018, arXiv:1709.01507, section 3.
        """
        s = self.conv(self.global_pool(x), units, act=act)
        return self.b.binary("mul", x, self.conv(s, self.channels(x), act=gate))

    def graph(self, *outputs: str) -> Graph:
        return self.b.graph(outputs)
