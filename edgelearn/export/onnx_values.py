"""The values of an ONNX model while it is read: constants, and axis orders of the others.

ONNX has channels first, the Graph has them last. Each value is held in whatever order the op
that makes it gives; an ONNX Transpose only notes another order, and elements are moved when an
op asks for an order that they do not have.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from edgelearn.arrays import Array, Shape
from edgelearn.errors import GraphError
from edgelearn.export.onnx_load import MAX_BYTES
from edgelearn.ir.builder import Builder
from edgelearn.ir.ops import Op, Reshape, Transpose
from edgelearn.ir.tensor import BATCH

Order: TypeAlias = tuple[int, ...]
OPEN_LENGTH = np.iinfo(np.int64).min
"""Stands for the open batch in constants that hold shapes."""


@dataclass(frozen=True, slots=True)
class Held:
    """Axis j of the value `name` of the Graph is axis ``order[j]`` of the ONNX value."""

    name: str
    order: Order


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A matrix of `dims` with blocks of the ONNX value `values` in `rows`, and 0 elsewhere."""

    values: str
    rows: Array
    block: int
    dims: tuple[int, int]


@dataclass(slots=True)
class Values:
    """What is known of each value of the model by its name there.

    Parameters
    ----------
    b : Builder
    reserved : set of str
        Every name in the file, so that no made-up name takes one of them.
    merged : dict of str to str
        Values whose batch is one dimension with another, and what they were before: no value of
        the Graph, but how the update of grouped filters is written.
    placed : dict of str to Placed
        Matrices that are sparse; of weights that are fed they are no values of the Graph either.
    sparse : dict of str to tuple of str
        What the Graph calls the values, starts and index of those that a product has read.
    """

    b: Builder
    reserved: set[str]
    constants: dict[str, Array] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)
    merged: dict[str, str] = field(default_factory=dict)
    placed: dict[str, Placed] = field(default_factory=dict)
    sparse: dict[str, tuple[str, ...]] = field(default_factory=dict)
    zeros_bytes: int = 0
    _scalars: dict[float, str] = field(default_factory=dict)
    _moved: dict[tuple[str, Order], str] = field(default_factory=dict)

    def shape(self, name: str) -> Shape:
        """The dimensions in ONNX order; an open batch is `BATCH`."""
        if name in self.constants:
            return self.constants[name].shape
        held = self._holder(name)
        dims, order = self.b.specs[held.name].shape, held.order
        return tuple(dims[order.index(axis)] for axis in range(len(dims)))

    def order(self, name: str) -> Order:
        """In which order the axes are held; that of ONNX for a constant."""
        return (
            tuple(range(len(self.shape(name))))
            if name in self.constants
            else self._holder(name).order
        )

    def _holder(self, name: str) -> Held:
        if name in self.merged:
            raise GraphError(
                "node",
                expected="a batch that is a dimension of its own",
                got=f"{name!r}, which has merged it with another",
                fix="export the model without it",
            )
        if name in self.placed:
            raise GraphError(
                "node",
                expected="a sparse matrix as the second factor of Gemm with transB",
                got=f"{name!r} elsewhere",
                fix="export the model with dense weights",
            )
        return self.held[name]

    def define(self, name: str, op: Op, inputs: Sequence[str], order: Order | None = None) -> str:
        """Hold the result of `op` as the ONNX value `name`, its axes in `order`."""
        plain = order is None or order == tuple(range(len(order)))
        made = self.b.apply(op, *inputs, name=name if plain else self.fresh(f"{name}/held"))
        rank = len(self.b.specs[made].shape)
        self.held[name] = Held(made, order or tuple(range(rank)))
        return made

    def step(self, stem: str, op: Op, *inputs: str) -> str:
        """A value in between, on the way to the ONNX value `stem`."""
        return self.b.apply(op, *inputs, name=self.fresh(f"{stem}/{type(op).__name__.lower()}"))

    def alias(self, name: str, source: str, order: Order | None = None) -> None:
        """Let `name` be `source` itself, its axes perhaps in another `order`."""
        if source in self.constants:
            self.constants[name] = self.constants[source]
        else:
            held = self.held[source]
            self.held[name] = Held(held.name, order or held.order)

    def read(self, name: str, order: Iterable[int] | None = None) -> str:
        """The value of the Graph that holds `name` with its axes in `order`: as in ONNX if None."""
        wanted = tuple(range(len(self.shape(name)))) if order is None else tuple(order)
        if name not in self.constants and wanted == self.held[name].order:
            return self.held[name].name
        key = (name, wanted)
        if key not in self._moved:
            self._moved[key] = self._move(name, wanted)
        return self._moved[key]

    def flat(self, name: str) -> str:
        """A value of the Graph with the elements of `name` in ONNX order, whatever its shape."""
        if name in self.constants or not self._keeps_order(name, self._plain(name)):
            return self.read(name)
        return self.held[name].name

    def zeros(self, stem: str, shape: Shape) -> str:
        """A new float32 constant of zeros; those of one file together stay within `MAX_BYTES`."""
        self.zeros_bytes += 4 * math.prod(shape)
        if min(shape) < 1 or self.zeros_bytes > MAX_BYTES:
            raise GraphError(
                "node",
                expected=f"filters of at most {MAX_BYTES} bytes in all",
                got=f"shape {list(shape)}",
                fix="export the model without it",
            )
        return self.array(stem, np.zeros(shape, np.float32))

    def array(self, stem: str, value: Array) -> str:
        """A new constant of the Graph."""
        return self.b.constant(self.fresh(stem), np.array(value, order="C"))

    def scalar(self, value: float) -> str:
        """A float32 constant of shape (), shared by all its uses."""
        if value not in self._scalars:
            self._scalars[value] = self.array(f"c{value:g}", np.array(value, np.float32))
        return self._scalars[value]

    def fresh(self, stem: str) -> str:
        """A name that neither the Graph nor the file has yet."""
        name, number = stem, 2
        while name in self.b.specs or name in self.reserved:
            name, number = f"{stem}_{number}", number + 1
        return name

    def result(self, name: str) -> str:
        """The value of the Graph called `name` that the caller gets back, in ONNX order."""
        if name in self.constants or self.held[name] == Held(name, self._plain(name)):
            return self.read(name)
        return self.b.apply(self._mover(name, self._plain(name)), self.held[name].name, name=name)

    def _plain(self, name: str) -> Order:
        return tuple(range(len(self.shape(name))))

    def _move(self, name: str, wanted: Order) -> str:
        if name in self.constants:
            value = self.constants[name].transpose(wanted)
            if wanted == self._plain(name):
                return self.b.constant(name, np.array(value, order="C"))
            return self.array(f"{name}/moved", value)
        return self.step(name, self._mover(name, wanted), self.held[name].name)

    def _mover(self, name: str, wanted: Order) -> Op:
        """The op that brings `name` into the order `wanted`; a Reshape where nothing moves."""
        if self._keeps_order(name, wanted):
            dims = self.shape(name)
            return Reshape(tuple(dims[axis] for axis in wanted))
        held = self.held[name].order
        return Transpose(tuple(held.index(axis) for axis in wanted))

    def _keeps_order(self, name: str, wanted: Order) -> bool:
        dims = self.shape(name)
        moving = [axis for axis in self.held[name].order if dims[axis] != 1]
        return moving == [axis for axis in wanted if dims[axis] != 1]


def reshaped(dims: Shape, target: Sequence[int], *, zero_copies: bool = True) -> Shape:
    """The shape that ONNX Reshape gives a value of shape `dims`.

    In `target`, 0 copies the dimension at that place, -1 takes what is left, and
    `OPEN_LENGTH` is the batch. The result may hold one -1: the batch, or for a value without
    open batch what is left.

    >>> reshaped((BATCH, 4, 6), [0, -1])
    (-1, 24)
    """
    out = [dims[i] if d == 0 and zero_copies else int(d) for i, d in enumerate(target)]
    copied = {i for i, d in enumerate(target) if d == 0 and zero_copies and dims[i] == BATCH}
    batch = copied | {i for i, d in enumerate(target) if d == OPEN_LENGTH}
    rest = [i for i, d in enumerate(target) if d == -1]
    if batch and rest:
        a_sample = math.prod(d for d in dims if d != BATCH)
        known = math.prod(d for i, d in enumerate(out) if i not in batch and i not in rest)
        out[rest[0]] = a_sample // known if known else 0
    return tuple(BATCH if i in batch else d for i, d in enumerate(out))
