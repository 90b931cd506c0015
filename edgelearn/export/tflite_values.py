"""The values of a TFLite model while it is read."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from edgelearn.arrays import Array, Shape, as_f32
from edgelearn.errors import GraphError
from edgelearn.export.tflite_parts import Quantization, TfliteNode, TfliteTensor, refused
from edgelearn.ir.builder import Builder
from edgelearn.ir.ops import Concat, Dequantize, Op, Quantize
from edgelearn.ir.ops_quant import RANGES, QuantParams

MADE_UP_BYTES = 1 << 24
"""Zeros that padding may need in all."""


@dataclass(frozen=True, slots=True)
class Padding:
    """A tensor that is another with rows and columns of one number around it."""

    source: int
    pads: tuple[int, int, int, int]
    value: float


@dataclass(slots=True)
class Values:
    """What is known of each tensor of a subgraph by its index.

    Parameters
    ----------
    b : Builder
    tensors : tuple of TfliteTensor
    reserved : set of str
        Names of inputs and outputs, which no constant may take.
    constants : dict of int to array
        Tensors whose values are known: those in the file, and what is made of them alone.
    held : dict of int to str
        The value of the Graph that a tensor is, integers as integers.
    padded : dict of int to Padding
        Tensors that become values only if a node reads them that cannot pad by itself.
    """

    b: Builder
    tensors: tuple[TfliteTensor, ...]
    reserved: set[str] = field(default_factory=set)
    constants: dict[int, Array] = field(default_factory=dict)
    held: dict[int, str] = field(default_factory=dict)
    padded: dict[int, Padding] = field(default_factory=dict)
    _numbers: dict[int, str] = field(default_factory=dict)
    _stored: dict[tuple[int, str], str] = field(default_factory=dict)
    _made_up_bytes: int = 0

    def shape(self, index: int) -> Shape:
        """The dimensions that the file declares."""
        return self.tensors[index].shape

    def constant(self, n: TfliteNode, position: int) -> Array:
        """An input that must be a constant."""
        index = n.inputs[position]
        if index not in self.constants:
            raise refused(f"a constant as input {position}", "a computed value")
        return self.constants[index]

    def has(self, n: TfliteNode, position: int) -> bool:
        """Whether an input is not left out."""
        return position < len(n.inputs) and n.inputs[position] >= 0

    def raw(self, index: int) -> str:
        """The value of a tensor, integers as integers."""
        if index in self.padded:
            self._pad(index)
        if index not in self.held:
            if index not in self.constants:
                raise refused("inputs that a node before it makes", repr(self.tensors[index].name))
            self.held[index] = self.array(self.tensors[index].name, self.constants[index])
        return self.held[index]

    def read(self, index: int) -> str:
        """The value of a tensor, integers as the numbers that they stand for."""
        params = self.params(index)
        if params is None:
            return self.raw(index)
        if index not in self._numbers:
            self._numbers[index] = self.step(index, Dequantize(params), self.raw(index))
        return self._numbers[index]

    def weights(
        self, index: int, perm: tuple[int, ...] | None = None, shape: Shape | None = None
    ) -> str | None:
        """A constant with its axes in another order, or another shape with the last axis kept.

        None if the tensor is computed. Integers stay integers, read through a `Dequantize`.
        """
        if index not in self.constants:
            return None
        value, params = self.constants[index], self.params(index)
        perm = perm or tuple(range(value.ndim))
        moved = value.transpose(perm)
        if shape is not None:
            moved = moved.reshape(shape)
        key = (index, f"{perm}{shape}")
        if key not in self._stored:
            stored = self.array(self.tensors[index].name, np.ascontiguousarray(moved))
            if params is not None:
                if params.axis is not None:
                    last = shape is not None and params.axis == value.ndim - 1
                    axis = moved.ndim - 1 if last else perm.index(params.axis)
                    params = QuantParams(params.scale, params.zero_point, axis)
                stored = self.step(index, Dequantize(params), stored)
            self._stored[key] = stored
        return self._stored[key]

    def params(self, index: int) -> QuantParams | None:
        """How the integers of a tensor are to be read; None if they are no quantised numbers."""
        tensor = self.tensors[index]
        if tensor.quantization is None or tensor.dtype == "float32":
            return None
        if tensor.dtype not in RANGES:
            raise refused(f"integers of {', '.join(RANGES)}", f"{tensor.name!r}, {tensor.dtype}")
        return params_of(tensor.quantization)

    def array(self, stem: str, value: Array) -> str:
        """A constant of the Graph."""
        if value.dtype == np.bool_:
            value = value.astype(np.uint8)
        if not stem or stem in self.reserved:
            stem += "/constant"
        return self.b.constant(self.b.fresh(stem), value)

    def once(self, index: int, key: str, value: Array) -> str:
        """A constant that belongs to a tensor, made when it is first asked for."""
        if (index, key) not in self._stored:
            self._stored[index, key] = self.array(f"{self.tensors[index].name}/{key}", value)
        return self._stored[index, key]

    def scalar(self, value: float) -> str:
        """A float32 scalar; equal ones are stored once."""
        name = f"c{as_f32(value)}"
        is_other = name in self.b.specs and name not in self.b.constants
        return self.array(name, as_f32(value)) if is_other else self.b.scalar(value)

    def step(self, index: int, op: Op, *inputs: str) -> str:
        """A node on the way to, or from, the tensor `index`."""
        stem = self.tensors[index].name or "value"
        return self.b.apply(op, *inputs, name=self.b.fresh(f"{stem}/{type(op).__name__.lower()}"))

    def define(self, index: int, op: Op, inputs: list[str]) -> None:
        """`op` makes the numbers of the tensor; they are quantised if the file says so."""
        params, dtype = self.params(index), self.tensors[index].dtype
        if params is not None:
            if dtype not in ("int8", "uint8"):
                raise refused("results of int8 or uint8", dtype)
            inputs = [self.step(index, op, *inputs)]
            op = Quantize(params, "int8" if dtype == "int8" else "uint8")
        self.keep(index, op, inputs)

    def keep(self, index: int, op: Op, inputs: list[str]) -> None:
        """`op` makes the tensor as it is in the file, integers as integers."""
        tensor = self.tensors[index]
        name = self.b.apply(op, *inputs, name=self.b.fresh(tensor.name or "value"))
        spec = self.b.specs[name]
        if (spec.shape, spec.dtype) != (tensor.shape, tensor.dtype):
            raise refused(f"{tensor.dtype}{list(tensor.shape)}, as the file says", str(spec))
        self.held[index] = name

    def alias(self, index: int, source: int) -> None:
        """The tensor is another one under a new name."""
        if source in self.constants:
            self.constants[index] = self.constants[source]
        else:
            self.held[index] = self.raw(source)

    def extended(
        self, index: int, name: str, axis: int, around: tuple[int, int], fill: float
    ) -> str:
        """The value `name` with positions of `fill` before and after it on an axis."""
        spec = self.b.specs[name]
        parts = []
        for count in around:
            shape = (*spec.shape[:axis], count, *spec.shape[axis + 1 :])
            self._made_up_bytes += int(np.prod(shape, dtype=np.int64)) * 8
            if self._made_up_bytes > MADE_UP_BYTES:
                raise refused(f"at most {MADE_UP_BYTES} bytes of padding", "more")
            parts.append(np.full(shape, fill, spec.dtype) if count else None)
        named = [None if part is None else self.array(f"{name}/padding", part) for part in parts]
        inputs = [n for n in (named[0], name, named[1]) if n is not None]
        return self.step(index, Concat(axis, len(inputs)), *inputs)

    def _pad(self, index: int) -> None:
        made = self.padded.pop(index)
        params = self.params(index)
        fill = made.value if params is None else params.zero_point[0]
        top, left, bottom, right = made.pads
        name = self.raw(made.source)
        for axis, around in ((1, (top, bottom)), (2, (left, right))):
            if any(around):
                name = self.extended(index, name, axis, around, fill)
        self.held[index] = name


def params_of(q: Quantization) -> QuantParams:
    """As the Graph says it.

    >>> params_of(Quantization((0.5,), (3,), 0))
    QuantParams(scale=(0.5,), zero_point=(3,), axis=None)
    """
    axis = q.axis if len(q.scale) > 1 else None
    try:
        return QuantParams(q.scale, q.zero_point, axis)
    except GraphError as error:
        raise refused(error.expected, error.got) from None
