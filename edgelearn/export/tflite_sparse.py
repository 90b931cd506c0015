"""How a TFLite file says which weights of a matrix it keeps."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema  # noqa: TID251  this file reads TFLite

from edgelearn.arrays import Array, Shape
from edgelearn.ir.structure import BLOCKS, Structure, fits, per_unit

VECTORS = {
    schema.SparseIndexVector.Int32Vector: schema.Int32Vector,
    schema.SparseIndexVector.Uint16Vector: schema.Uint16Vector,
    schema.SparseIndexVector.Uint8Vector: schema.Uint8Vector,
}


def structure_of(sparsity: Any, shape: Shape) -> Structure | None:
    """The structure of a matrix (units, fan_in); None if it is stored in another form.

    Raises
    ------
    ValueError
        If places lie outside the matrix.
    """
    dims = [sparsity.DimMetadata(i) for i in range(min(sparsity.DimMetadataLength(), 4))]
    formats = [d.Format() for d in dims]
    order = [sparsity.TraversalOrder(i) for i in range(min(sparsity.TraversalOrderLength(), 4))]
    blocks = [sparsity.BlockMap(i) for i in range(min(sparsity.BlockMapLength(), 2))]
    dense, compressed = schema.DimensionType.DENSE, schema.DimensionType.SPARSE_CSR
    block = dims[2].DenseSize() if len(dims) == 3 else 1
    known = {
        1: ([dense, compressed], [0, 1], []),
        4: ([dense, compressed, dense], [0, 1, 2], [1]),
    }
    known_form = block in BLOCKS and known[block] == (formats, order, blocks)
    if len(shape) != 2 or not known_form or not fits((shape[1], shape[0]), block):
        return None
    starts, index = _vector(dims[1], "Segments"), _vector(dims[1], "Indices")
    many = per_unit(shape[1], block)
    ordered = len(starts) == shape[0] + 1 and starts[0] == 0 and starts[-1] == len(index)
    if not ordered or (np.diff(starts) < 0).any() or not _within(index, many):
        raise ValueError(f"places of weights outside a matrix {list(shape)}")
    narrow = index.astype(np.uint8 if many <= 1 << 8 else np.uint16)
    return Structure((shape[1], shape[0]), block, starts.astype(np.int32), narrow)


def _within(index: Array, many: int) -> bool:
    return not index.size or (int(index.min()) >= 0 and int(index.max()) < many)


def _vector(dim: Any, kind: str) -> Array:
    table = getattr(dim, f"Array{kind}")()
    found = VECTORS[getattr(dim, f"Array{kind}Type")()]()
    found.Init(table.Bytes, table.Pos)
    return np.atleast_1d(np.asarray(found.ValuesAsNumpy())).astype(np.int64)
