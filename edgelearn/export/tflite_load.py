"""From bytes on disk to the parts of a TFLite model; a damaged file is one clear error.

A flatbuffer is read where it lies, and may say of itself what it likes: every count is held
against a limit before anything is made of it, and every buffer lies within the file.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from ai_edge_litert import schema_py_generated as schema  # noqa: TID251  this file reads TFLite

from edgelearn.arrays import Array, Shape
from edgelearn.export.tflite_parts import (
    Quantization,
    TfliteModel,
    TfliteNode,
    TfliteSubgraph,
    TfliteTensor,
    bad_file,
    unsupported,
)
from edgelearn.export.tflite_sparse import structure_of
from edgelearn.files import require_file

MAX_BYTES = 1 << 30
"""Files larger than this are refused before they are read."""
MAX_PARTS = 100_000
"""Tensors, operators, buffers and the like of a model, each."""
MAX_LINKS = 1_000
"""Inputs of an operator, axes of a tensor."""
OLDEST_BYTES = 8
IDENTIFIER = b"TFL3"
NAMES_OF_OPS = {v: k for k, v in vars(schema.BuiltinOperator).items() if not k.startswith("_")}
NAMES_OF_TYPES = {v: k.lower() for k, v in vars(schema.TensorType).items() if not k.startswith("_")}
BROKEN = (struct.error, LookupError, TypeError, ValueError, OverflowError, AttributeError)
"""What reading a damaged flatbuffer raises."""
T = TypeVar("T")


def load_model(path: Path) -> TfliteModel:
    """The model in the file at `path`.

    Raises
    ------
    MissingFile
        If there is no such file.
    ModelFileError
        If it is too large, damaged, or no TFLite.
    UnsupportedOp
        If it keeps data in a form that is not read, such as sparse tensors.
    """
    require_file(path, "model", "check the name; TFLite files end in .tflite")
    size_bytes = path.stat().st_size
    if size_bytes > MAX_BYTES:
        raise bad_file(path, f"at most {MAX_BYTES} bytes", f"{size_bytes} bytes")
    content = path.read_bytes()
    if size_bytes < OLDEST_BYTES or content[4:8] != IDENTIFIER:
        raise bad_file(path, "a TFLite file", "one without its mark, 'TFL3'")
    try:
        return _Loader(path, content).model()
    except BROKEN as error:
        got = f"one that cannot be parsed ({type(error).__name__}: {error})"
        raise bad_file(path, "a whole TFLite file", got) from None


class _Loader:
    def __init__(self, path: Path, content: bytes) -> None:
        self.path, self.content = path, content
        self.root = schema.Model.GetRootAs(content)
        self.parts = 0
        self.codes = self.each(self.root.OperatorCodesLength(), self.root.OperatorCodes)
        self.buffers = self.each(self.root.BuffersLength(), self.root.Buffers)

    def each(self, count: int, get: Callable[[int], T], limit: int = MAX_PARTS) -> list[T]:
        """All parts of one kind, if all that were read so far are not too many."""
        self.parts += count
        if count > limit or self.parts > 10 * MAX_PARTS:
            raise bad_file(self.path, f"at most {limit} parts of a kind", f"{count}")
        return [get(i) for i in range(count)]

    def model(self) -> TfliteModel:
        root = self.root
        subgraphs = tuple(
            self.subgraph(g) for g in self.each(root.SubgraphsLength(), root.Subgraphs, MAX_LINKS)
        )
        if not subgraphs or not subgraphs[0].nodes:
            raise bad_file(self.path, "a TFLite model with operators", "none")
        metadata = {
            _text(entry.Name()): bytes(self.bytes_of(entry.Buffer()))
            for entry in self.each(root.MetadataLength(), root.Metadata, MAX_LINKS)
        }
        signatures = {}
        for s in self.each(root.SignatureDefsLength(), root.SignatureDefs, MAX_LINKS):
            ends = [
                {_text(m.Name()): m.TensorIndex() for m in self.each(count, get)}
                for count, get in ((s.InputsLength(), s.Inputs), (s.OutputsLength(), s.Outputs))
            ]
            signatures[_text(s.SignatureKey())] = (s.SubgraphIndex(), ends[0], ends[1])
        return TfliteModel(subgraphs, metadata, signatures)

    def subgraph(self, g: Any) -> TfliteSubgraph:
        tensors = tuple(self.tensor(t) for t in self.each(g.TensorsLength(), g.Tensors))
        nodes = tuple(
            self.node(o, tensors, i)
            for i, o in enumerate(self.each(g.OperatorsLength(), g.Operators))
        )
        inputs = tuple(self.each(g.InputsLength(), g.Inputs))
        outputs = tuple(self.each(g.OutputsLength(), g.Outputs))
        self.require_links((*inputs, *outputs), len(tensors), 0)
        return TfliteSubgraph(_text(g.Name()), tensors, nodes, inputs, outputs)

    def node(self, o: Any, tensors: tuple[TfliteTensor, ...], position: int) -> TfliteNode:
        code = self.codes[o.OpcodeIndex()]
        # Files from before there were more than 127 builtin operators have the older field only.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        op = NAMES_OF_OPS.get(number, f"number {number}")
        if op == "CUSTOM":
            op = f"custom {_text(code.CustomCode())}"
        inputs = tuple(self.each(o.InputsLength(), o.Inputs, MAX_LINKS))
        outputs = tuple(self.each(o.OutputsLength(), o.Outputs, MAX_LINKS))
        self.require_links(inputs, len(tensors), -1)
        self.require_links(outputs, len(tensors), 0)
        name = tensors[outputs[0]].name if outputs else f"operator {position}"
        return TfliteNode(op, name, inputs, outputs, _options(o))

    def require_links(self, indices: tuple[int, ...], count: int, lowest: int) -> None:
        if any(not lowest <= i < count for i in indices):
            raise bad_file(self.path, f"tensors {lowest} to {count - 1}", f"{list(indices)[:8]}")

    def tensor(self, t: Any) -> TfliteTensor:
        name, dtype = _text(t.Name()), NAMES_OF_TYPES.get(t.Type(), f"type {t.Type()}")
        shape = tuple(self.each(t.ShapeLength(), t.Shape, MAX_LINKS))
        data = self.bytes_of(t.Buffer())
        value, structure = None, None
        if len(data):
            sparsity = t.Sparsity()
            if sparsity is not None:
                structure = structure_of(sparsity, shape)
                if structure is None or dtype != "float32":
                    expected = "matrices of float32 as CSR, or in blocks of four inputs"
                    raise unsupported(self.path, "sparse tensor", name, expected, dtype)
            held = shape if structure is None else (structure.size,)
            value = self.value(name, dtype, held, data)
        scales = self.quantization(t, name, len(shape))
        return TfliteTensor(name, shape, dtype, value, scales, structure)

    def value(self, name: str, dtype: str, shape: Shape, data: Array) -> Array | None:
        """The array in a buffer; None if its dtype is none of NumPy's, and so of no op we read."""
        try:
            kind = np.dtype(dtype)
        except TypeError:
            return None
        if len(data) != math.prod(shape) * kind.itemsize or min(shape, default=1) < 0:
            got = f"{len(data)} bytes for {dtype} {list(shape)} of {name!r}"
            raise bad_file(self.path, "buffers as large as their tensors", got)
        return np.frombuffer(data.tobytes(), kind).reshape(shape)

    def quantization(self, t: Any, name: str, rank: int) -> Quantization | None:
        q = t.Quantization()
        if q is None or not q.ScaleLength():
            return None
        scale = self.each(q.ScaleLength(), q.Scale)
        zero = self.each(q.ZeroPointLength(), q.ZeroPoint) or [0] * len(scale)
        axis = q.QuantizedDimension() if rank > 1 else 0  # old converters number those of filters
        if len(zero) != len(scale) or (len(scale) > 1 and not 0 <= axis < rank):
            got = f"axis {axis}, {len(scale)} scales and {len(zero)} zero points of {name!r}"
            raise bad_file(self.path, f"scales along one of {rank} axes", got)
        return Quantization(tuple(scale), tuple(int(z) for z in zero), axis)

    def bytes_of(self, index: int) -> Array:
        """The content of a buffer, uint8."""
        buffer = self.buffers[index]
        if buffer.Offset() > 1:
            got, fix = "a buffer behind it", "convert the model to a file below 2 GB"
            raise bad_file(self.path, "all data within the flatbuffer", got, fix)
        if buffer.DataIsNone():
            return np.empty(0, np.uint8)
        return np.asarray(buffer.DataAsNumpy(), np.uint8)


def _options(o: Any) -> Any:
    table = o.BuiltinOptions()
    names = [k for k, v in vars(schema.BuiltinOptions).items() if v == o.BuiltinOptionsType()]
    if table is None or names in ([], ["NONE"]):
        return None
    found = getattr(schema, names[0])()
    found.Init(table.Bytes, table.Pos)
    return found


def _text(value: bytes | None) -> str:
    return (value or b"").decode()
