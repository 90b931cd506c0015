"""Collects the tensors, buffers and operators of a TFLite model.

The schema comes with the runtime, so that no TensorFlow is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema  # noqa: TID251  this file makes TFLite

from edgelearn.arrays import Array, Shape
from edgelearn.export.tflite_forms import Forms
from edgelearn.export.tflite_scales import scales_of
from edgelearn.ir.graph import Graph
from edgelearn.ir.ops_quant import QuantParams

TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "int32": schema.TensorType.INT32,
    "int64": schema.TensorType.INT64,
    "int8": schema.TensorType.INT8,
    "uint8": schema.TensorType.UINT8,
    "bool": schema.TensorType.BOOL,
}
LAST_OLD_CODE = 127
"""Codes above it do not fit the byte that the first file version had for them."""


def new_tensor(name: str, shape: Shape, dtype: str, buffer: int) -> Any:
    """A tensor that is in no subgraph yet; buffer 0 stands for one that is computed or fed."""
    made = schema.TensorT()
    made.name, made.shape, made.buffer = name, np.array(shape, np.int32), buffer
    made.type, made.hasRank = TYPES[dtype], True
    return made


class Emitter:
    """The parts of one model, as they are made; a tensor is known by its index.

    Parameters
    ----------
    graph : Graph
        Bound: shapes in a TFLite file are fixed.
    forms : Forms
        Which of its nodes become one operator.
    """

    def __init__(self, graph: Graph, forms: Forms) -> None:
        self.specs = graph.specs
        self.forms = forms
        self.constants = graph.constants
        self.tensors: list[Any] = []
        self.operators: list[Any] = []
        self.codes: list[Any] = []
        self.buffers: list[Any] = [schema.BufferT()]  # by rule the first one is empty
        self._known_codes: dict[tuple[int, int], int] = {}
        self._known_buffers: dict[bytes, int] = {}
        self._known_constants: dict[tuple[str, Shape, int, QuantParams | None], int] = {}
        self._known_scales: dict[int, QuantParams] = {}
        self._values: dict[str, int] = {}
        self._scales = scales_of(graph)
        self._once: dict[str, int] = {}
        self._scope = ""

    def source(self, name: str) -> int:
        """The tensor of a value that the caller feeds."""
        spec = self.specs[name]
        self._keep(name, self.tensor(name, spec.shape, spec.dtype))
        return self._values[name]

    def read(self, name: str) -> int:
        """The tensor of a value of the Graph; a constant is stored when it is first read."""
        if name not in self._values:
            value = self.constants[name]
            self._values[name] = self.constant(value, name, self._scales.get(name))
        return self._values[name]

    def begin(self, name: str) -> None:
        """From here on tensors are made for the value `name`."""
        self._scope = name

    def end(self, index: int) -> None:
        """The value that was begun is the tensor `index`."""
        made = any(index in operator.outputs for operator in self.operators[-1:])
        if made:
            self.tensors[index].name = self._scope
        self._keep(self._scope, index)

    def _keep(self, name: str, index: int) -> None:
        self._values[name] = index
        if name in self._scales:
            self.scaled(index, self._scales[name])

    def tensor(self, name: str, shape: Shape, dtype: str, buffer: int = 0) -> int:
        """A new tensor."""
        self.tensors.append(new_tensor(name, shape, dtype, buffer))
        return len(self.tensors) - 1

    def constant(self, value: Array, stem: str = "", params: QuantParams | None = None) -> int:
        """A tensor that holds `value`, integers with what they stand for; equal ones once."""
        buffer = self.buffer(np.ascontiguousarray(value).tobytes())
        key = (value.dtype.name, value.shape, buffer, params)
        if key not in self._known_constants:
            name = stem or f"{self._scope}/constant"
            made = self.tensor(name, value.shape, value.dtype.name, buffer)
            self._known_constants[key] = made
            if params is not None:
                self.scaled(made, params)
        return self._known_constants[key]

    def scaled(self, index: int, params: QuantParams) -> bool:
        """Say what the integers of a tensor stand for; False if it says something else already."""
        tensor = self.tensors[index]
        if self._known_scales.setdefault(index, params) != params:
            return False
        made = schema.QuantizationParametersT()
        made.scale = np.array(params.scale, np.float32)
        made.zeroPoint = np.array(params.zero_point, np.int64)
        made.quantizedDimension = params.axis or 0
        tensor.quantization = made
        return True

    def alike(self, index: int, source: int) -> None:
        """The integers of a tensor stand for what those of another do, if that is known."""
        if source in self._known_scales:
            self.scaled(index, self._known_scales[source])

    def said(self, name: str, params: QuantParams) -> int:
        """The integers of a value, as a tensor that says what they stand for."""
        if name in self.constants:
            return self.constant(self.constants[name], f"{name}/integers", params)
        index = self.read(name)
        if not self.scaled(index, params):
            index = self.copied(index, self.shape(index))
            self.scaled(index, params)
        return index

    def buffer(self, content: bytes) -> int:
        """A buffer that holds `content`; equal ones are stored once."""
        if content not in self._known_buffers:
            made = schema.BufferT()
            made.data = np.frombuffer(content, np.uint8)
            self.buffers.append(made)
            self._known_buffers[content] = len(self.buffers) - 1
        return self._known_buffers[content]

    def ints(self, *values: int) -> int:
        """`constant` for a vector of int32, such as a shape or axes."""
        return self.constant(np.array(values, np.int32))

    def once(self, key: str, make: Callable[[], int]) -> int:
        """What `make` makes, the first time that it is asked for under `key`."""
        if key not in self._once:
            self._once[key] = make()
        return self._once[key]

    def shape(self, index: int) -> Shape:
        """The shape of a tensor."""
        return tuple(int(d) for d in self.tensors[index].shape)

    def dtype(self, index: int) -> str:
        """The dtype of a tensor."""
        kind = self.tensors[index].type
        return next(name for name, number in TYPES.items() if number == kind)

    def make(
        self,
        code: str,
        inputs: Sequence[int],
        shape: Shape,
        options: Any = None,
        *,
        dtype: str = "float32",
        version: int = 1,
    ) -> int:
        """An operator, and the tensor that it makes.

        Parameters
        ----------
        code : str
            The name of a builtin operator.
        inputs : sequence of int
        shape : tuple of int
            Of the output.
        options : object, optional
            One of the schema's option classes.
        dtype : str
            Of the output.
        version : int
            The operator's version that these inputs and options need. Runtimes take other code
            for another version, so one is never rounded up to another operator's.
        """
        output = self.tensor(f"{self._scope}/{code.lower()}", shape, dtype)
        made = schema.OperatorT()
        made.opcodeIndex = self._code(getattr(schema.BuiltinOperator, code), version)
        made.inputs, made.outputs = list(inputs), [output]
        if options is not None:
            made.builtinOptions = options
            kind = type(options).__name__.removesuffix("T")
            made.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
        self.operators.append(made)
        return output

    def reshaped(self, index: int, shape: Shape) -> int:
        """The same elements in another shape."""
        if self.shape(index) == shape:
            return index
        return self.copied(index, shape)

    def copied(self, index: int, shape: Shape) -> int:
        """`reshaped`, and a tensor of its own in any case: there is no other operator to copy."""
        options = schema.ReshapeOptionsT()
        options.newShape = np.array(shape, np.int32)
        inputs = [index, self.ints(*shape)]
        return self.make("RESHAPE", inputs, shape, options, dtype=self.dtype(index))

    def transposed(self, index: int, perm: tuple[int, ...], dtype: str = "float32") -> int:
        """The axes of a tensor in another order."""
        shape = tuple(self.shape(index)[axis] for axis in perm)
        version = 4 if len(perm) > 4 else 1
        inputs = [index, self.ints(*perm)]
        options = schema.TransposeOptionsT()
        return self.make("TRANSPOSE", inputs, shape, options, dtype=dtype, version=version)

    def _code(self, builtin: int, version: int) -> int:
        key = (builtin, version)
        if key not in self._known_codes:
            made = schema.OperatorCodeT()
            made.builtinCode, made.version = key
            made.deprecatedBuiltinCode = min(builtin, LAST_OLD_CODE)
            self.codes.append(made)
            self._known_codes[key] = len(self.codes) - 1
        return self._known_codes[key]
