"""What operations on sparse matrices are in TFLite.

Constant weights are stored as the runtime's own kernels compute on them: as CSR, or in blocks of
four inputs, FULLY_CONNECTED at version 8, which is the first that knows them and the last that old
runtimes have. Weights under training are put in their places at each run.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema  # noqa: TID251  this file makes TFLite

from edgelearn.arrays import Array, Shape
from edgelearn.errors import UnsupportedOp
from edgelearn.export.tflite_emitter import Emitter
from edgelearn.ir.ops_sparse import SparseAddOuter, SparseMatMul
from edgelearn.ir.structure import Structure, per_unit

VERSION = 8
VECTORS = {
    "uint8": (schema.SparseIndexVector.Uint8Vector, schema.Uint8VectorT),
    "uint16": (schema.SparseIndexVector.Uint16Vector, schema.Uint16VectorT),
    "int32": (schema.SparseIndexVector.Int32Vector, schema.Int32VectorT),
}


def sparse_matmul(e: Emitter, op: SparseMatMul, names: tuple[str, ...], shape: Shape) -> int:
    """`SparseMatMul`, on the kept weights alone if they are constants."""
    x, values, starts, index = e.read(names[0]), *names[1:]
    structure = _structure(e, op, starts, index)
    columns = per_unit(op.fan_in, op.block) * op.block
    if columns > op.fan_in:
        x = _widened(e, x, columns)
    key = f"{values} {starts} {index} {op}"
    if values in e.constants:
        w = e.once(key, lambda: _stored(e, values, structure, columns))
        options = schema.FullyConnectedOptionsT()
        return e.make("FULLY_CONNECTED", [x, w], shape, options, version=VERSION)
    w = e.once(key, lambda: _placed(e, e.read(values), structure, columns))
    options = schema.BatchMatMulOptionsT()
    options.adjX, options.adjY = False, True
    return e.make("BATCH_MATMUL", [x, w], shape, options)


def sparse_add_outer(e: Emitter, op: SparseAddOuter, names: tuple[str, ...], shape: Shape) -> int:
    """`SparseAddOuter`: the whole outer product, and what of it is kept."""
    values, x, d = (e.read(name) for name in names[:3])
    structure = _structure(e, op, *names[3:])
    options = schema.BatchMatMulOptionsT()
    options.adjX, options.adjY = True, False
    made = e.make("BATCH_MATMUL", [d, x], (op.units, op.fan_in), options)
    many = per_unit(op.fan_in, op.block)
    if many * op.block > op.fan_in:
        made = _widened(e, made, many * op.block)
    made = e.reshaped(made, (op.units * many, op.block))
    inputs = [made, e.constant(structure.rows.astype(np.int32))]
    kept = (structure.index.size, op.block)
    made = e.reshaped(e.make("GATHER", inputs, kept, schema.GatherOptionsT()), shape)
    return e.make("ADD", [values, made], shape, schema.AddOptionsT())


def _structure(e: Emitter, op: SparseMatMul | SparseAddOuter, starts: str, index: str) -> Structure:
    if starts not in e.constants or index not in e.constants:
        raise UnsupportedOp(
            f"op {type(op).__name__}, index {index!r}",
            expected="places of weights that are constants",
            got="places that are computed or fed",
            fix="write the structure of the matrix into the Graph",
        )
    size = (op.fan_in, op.units)
    return Structure(size, op.block, e.constants[starts], e.constants[index])


def _widened(e: Emitter, a: int, columns: int) -> int:
    """A matrix with columns of 0 after its own."""
    rows, own = e.shape(a)
    pads = e.constant(np.array([[0, 0], [0, columns - own]], np.int32))
    return e.make("PAD", [a, pads], (rows, columns), schema.PadOptionsT())


def _stored(e: Emitter, values: str, structure: Structure, columns: int) -> int:
    """The matrix (units, columns) as a tensor of which only the kept weights are stored."""
    units, block = structure.shape[1], structure.block
    buffer = e.buffer(e.constants[values].tobytes())
    index = e.tensor(f"{values}/kept", (units, columns), "float32", buffer)
    found = schema.SparsityParametersT()
    found.traversalOrder = [0, 1] if block == 1 else [0, 1, 2]
    found.blockMap = [] if block == 1 else [1]
    found.dimMetadata = [_dense(units), _compressed(structure)]
    if block > 1:
        found.dimMetadata.append(_dense(block))
    e.tensors[index].sparsity = found
    return index


def _dense(size: int) -> Any:
    made = schema.DimensionMetadataT()
    made.format, made.denseSize = schema.DimensionType.DENSE, size
    return made


def _compressed(structure: Structure) -> Any:
    made = schema.DimensionMetadataT()
    made.format = schema.DimensionType.SPARSE_CSR
    made.arraySegmentsType, made.arraySegments = _vector(structure.starts)
    made.arrayIndicesType, made.arrayIndices = _vector(structure.index)
    return made


def _vector(values: Array) -> tuple[int, Any]:
    kind, cls = VECTORS[values.dtype.name]
    made = cls()
    made.values = np.ascontiguousarray(values)
    return kind, made


def _placed(e: Emitter, values: int, structure: Structure, columns: int) -> int:
    """The matrix (units, columns) of weights that are computed or fed."""
    units, block = structure.shape[1], structure.block
    blocks = e.reshaped(values, (structure.index.size, block))
    rows = (units * columns // block, block)
    places = e.constant(structure.rows.astype(np.int32).reshape(-1, 1))
    options = schema.ScatterNdOptionsT()
    made = e.make("SCATTER_ND", [places, blocks, e.ints(*rows)], rows, options)
    return e.reshaped(made, (units, columns))
