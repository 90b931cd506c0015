"""The fully connected layer: ``a = act(x @ w + b)``."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Annotated, ClassVar, Final

import msgspec
import numpy as np

from edgelearn import kernels
from edgelearn.arrays import F32, Shape
from edgelearn.ir.builder import Builder
from edgelearn.ir.ops import AddOuter, Reduce, Reshape
from edgelearn.ir.tensor import BATCH
from edgelearn.layers import _activations
from edgelearn.layers._activations import GAINS, Activation
from edgelearn.layers._base import Names, Params, Trace
from edgelearn.layers._kept import places_of
from edgelearn.rng import Stream, uniform
from edgelearn.sparsity.matrix import Places
from edgelearn.views import Whole

LOOP_BATCH: Final = 8
"""Up to so many samples our loops are as fast as BLAS (784x256 on x86-64, one thread)."""
BLOCK_ELEMENTS: Final = 16_384
"""Of `w`, that one BLAS product updates: the work space instead of a whole gradient (64 KiB)."""


class Dense(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``a = act(x @ w + b)`` with `w` of shape (fan_in, units); inputs are flattened.

    Parameters
    ----------
    units : int
    activation : {"tanh", "relu", "leaky_relu", "linear", "softmax"}
        softmax makes the layer a head: the last one, trained by cross-entropy on the labels.

    Notes
    -----
    Source: tpSGD for fully connected layers (Lomnitz et al. 2022, arXiv:2208.08503):
    ``w -= rate * x.T @ d`` and ``b -= rate * sum(d)`` with ``d = e * act'(z)``.
    """

    kind: ClassVar[str] = "dense"
    units: Annotated[int, msgspec.Meta(ge=1, le=1 << 20)]
    activation: Activation = "tanh"

    @property
    def code(self) -> int:
        """The number that kernels know the activation by."""
        return _activations.code(self.activation)

    def out_shape(self, in_shape: Shape) -> Shape:
        return (self.units,)

    def init(self, in_shape: Shape, seed: int, index: int) -> Params:
        fan_in = math.prod(in_shape)
        limit = math.sqrt(3 * GAINS.get(self.activation, 1.0) / fan_in)
        return {
            "w": uniform(seed, Stream.INIT, index, (fan_in, self.units), limit),
            "b": np.zeros(self.units, np.float32),
        }

    def view(self, in_shape: Shape) -> Whole:
        return Whole((self.units,))

    def scratch_size(self, in_shape: Shape, batch: int, kept: Collection[str] = ()) -> int:
        if batch <= LOOP_BATCH or kept:
            return 0
        return block_size(math.prod(in_shape), self.units)

    @property
    def sparse(self) -> tuple[str, ...]:
        return ("w",)

    def forward(self, params: Params, x: F32, out: F32, scratch: F32) -> Trace[F32]:
        x, code, kept = x.reshape(len(x), -1), self.code, places_of(params).get("w")
        if kept is None and len(x) <= LOOP_BATCH:
            kernels.dense.forward(x, params["w"], params["b"], code, out)
            return Trace(x, out)
        if kept is not None:
            kept.product(params["w"], x, out)
        else:
            np.matmul(x, params["w"], out=out)
        kernels.dense.activate(params["b"], code, out)
        return Trace(x, out)

    def update(
        self, params: Params, trace: Trace[F32], e: F32, rate: float, into: Params, scratch: F32
    ) -> None:
        self.local_error(trace, e)
        descend(into, trace.x, e, rate, scratch, places_of(params).get("w"))

    def local_error(self, trace: Trace[F32], e: F32) -> None:
        """Onto `e`: the derivative of the loss by the pre-activation, ``e * act'(z)``."""
        kernels.dense.local_error(trace.a, self.code, e)

    def emit(self, b: Builder, params: Names, x: str) -> Trace[str]:
        shape = b.specs[x].shape
        if len(shape) != 2:
            x = b.apply(Reshape((BATCH, math.prod(shape[1:]))), x, name=b.fresh("flat"))
        z = b.binary("add", b.matmul(x, params["w"]), params["b"])
        return Trace(x, _activations.emit(b, self.activation, z))

    def emit_update(
        self, b: Builder, params: Names, trace: Trace[str], e: str, rate: str, into: Names
    ) -> Names:
        d = _activations.emit_error(b, self.activation, trace.a, e)
        step = b.binary("mul", d, b.unary("neg", rate), name=b.fresh("d"))
        total = b.apply(Reduce("sum", (0,)), step)
        return {
            "w": b.apply(AddOuter(), into["w"], trace.x, step, name=b.fresh("w")),
            "b": b.binary("add", into["b"], total),
        }


def descend(
    into: Params, x: F32, d: F32, rate: float, scratch: F32, kept: Places | None = None
) -> None:
    """``w -= rate * x.T @ d`` and ``b -= rate * sum(d)`` in place; `d` is used up."""
    if kept is None and len(d) <= LOOP_BATCH:
        kernels.dense.descend(x, d, rate, into["w"], into["b"])
        return
    d *= np.float32(-rate)
    if kept is not None:
        kept.add_outer(into["w"], x, d)
    else:
        add_product(x, d, into["w"], scratch)
    kernels.dense.add_rows(d, into["b"])


def block_size(rows: int, columns: int) -> int:
    """Elements of work space to update a matrix of so many rows and columns."""
    return columns * min(rows, max(1, BLOCK_ELEMENTS // columns))


def add_product(x: F32, d: F32, w: F32, scratch: F32) -> None:
    """``w += x.T @ d``, a block of rows at a time."""
    rows = len(scratch) // w.shape[1]
    for start in range(0, len(w), rows):
        block = w[start : start + rows]
        space = scratch[: block.size].reshape(block.shape)
        block += np.matmul(x[:, start : start + rows].T, d, out=space)


LAYER = Dense
EXAMPLES = (
    (Dense(units=16), (8,)),
    (Dense(units=12, activation="relu"), (3, 4)),
    (Dense(units=9, activation="leaky_relu"), (7,)),
    (Dense(units=10, activation="linear"), (300,)),
    (Dense(units=10, activation="softmax"), (16,)),
)
