"""What operations on sparse matrices are in ONNX: the weights that are kept, put in their places.

No runtime of ONNX computes on sparse weights, so what can be small is the file. The place of every
block is 16 bits, counted over the whole matrix in pieces of 65,536 blocks; ops that every runtime
has put weights there (`ScatterND`), or take the gradient from there (`Gather`). Where the weights
are constants, a runtime does that once, when it loads the file. `sparse_initializer` would say the
same in one word, but most runtimes and the checker itself refuse it.
"""

from __future__ import annotations

import numpy as np
import onnx  # noqa: TID251  this file makes ONNX nodes

from edgelearn.arrays import Array
from edgelearn.errors import UnsupportedOp
from edgelearn.export.onnx_emitter import Emitter
from edgelearn.ir.ops_sparse import SparseAddOuter, SparseMatMul
from edgelearn.ir.structure import Structure, per_unit

PIECE = 1 << 16


def emit_sparse(
    e: Emitter, op: SparseMatMul | SparseAddOuter, inputs: tuple[str, ...], out: str
) -> None:
    """Add the ONNX nodes of `op`."""
    if isinstance(op, SparseMatMul):
        x, values, starts, index = inputs
        key = f"{values}/dense {starts} {index} {op}"
        e.node("Gemm", [e.read(x), e.once(key, lambda: _dense(e, op, inputs))], out, transB=1)
    else:
        _add_outer(e, op, inputs, out)


def _dense(e: Emitter, op: SparseMatMul, inputs: tuple[str, ...]) -> str:
    """The whole matrix, transposed: (units, fan_in)."""
    _, values, starts, index = inputs
    many = per_unit(op.fan_in, op.block)
    places = _places(e, op, starts, index)
    blocks = e.node(
        "Reshape",
        [e.read(values), e.ints("shape", -1, op.block)],
        e.fresh(f"{values}/blocks"),
    )
    shape = e.ints("shape", op.units * many, op.block)
    zeros = e.node("ConstantOfShape", [shape], e.fresh(f"{values}/zeros"))
    made = e.node("ScatterND", [zeros, places, blocks], e.fresh(f"{values}/placed"))
    whole = e.ints("shape", op.units, many * op.block)
    made = e.node("Reshape", [made, whole], e.fresh(f"{values}/dense"))
    if many * op.block == op.fan_in:
        return made
    bounds = [e.ints("start", 0), e.ints("stop", op.fan_in), e.ints("axis", 1)]
    return e.node("Slice", [made, *bounds], e.fresh(f"{values}/dense"))


def _add_outer(e: Emitter, op: SparseAddOuter, inputs: tuple[str, ...], out: str) -> None:
    values, x, d, starts, index = inputs
    many = per_unit(op.fan_in, op.block)
    made = e.node("Gemm", [e.read(d), e.read(x)], e.fresh(f"{out}/outer"), transA=1)
    beyond = many * op.block - op.fan_in
    if beyond:
        zeros = e.shared("zeros", np.zeros((op.units, beyond), np.float32))
        made = e.node("Concat", [made, zeros], e.fresh(f"{out}/outer"), axis=1)
    rows = e.ints("shape", op.units * many, op.block)
    made = e.node("Reshape", [made, rows], e.fresh(f"{out}/rows"))
    places = _places(e, op, starts, index)
    made = e.node("Gather", [made, places], e.fresh(f"{out}/kept"), axis=0)
    made = e.node("Reshape", [made, e.ints("shape", -1)], e.fresh(f"{out}/step"))
    e.node("Add", [e.read(values), made], out)


def _places(e: Emitter, op: SparseMatMul | SparseAddOuter, starts: str, index: str) -> str:
    """The number of each block that is stored, counted over the matrix: int64 (blocks, 1)."""
    arrays = [e.constants.get(starts), e.constants.get(index)]
    if arrays[0] is None or arrays[1] is None:
        raise UnsupportedOp(
            f"op {type(op).__name__}, index {index!r}",
            expected="places of weights that are constants",
            got="places that are computed or fed",
            fix="write the structure of the matrix into the Graph",
        )
    rows = Structure((op.fan_in, op.units), op.block, arrays[0], arrays[1]).rows
    return e.once(
        f"{starts} {index} {op.fan_in} {op.units} {op.block}", lambda: _numbers(e, rows, index)
    )


def _numbers(e: Emitter, rows: Array, stem: str) -> str:
    pieces = []
    for number in range(int(rows.max(initial=0)) // PIECE + 1):
        own = rows[(rows >= number * PIECE) & (rows < (number + 1) * PIECE)] - number * PIECE
        if not own.size and rows.size:
            continue
        small = e.shared(f"{stem}/u16", own.astype(np.uint16).reshape(-1, 1))
        wide = e.node("Cast", [small], e.fresh(f"{stem}/piece"), to=onnx.TensorProto.INT64)
        if number:
            wide = e.node("Add", [wide, e.ints("offset", number * PIECE)], e.fresh(f"{stem}/piece"))
        pieces.append(wide)
    if len(pieces) == 1:
        return pieces[0]
    return e.node("Concat", pieces, e.fresh(f"{stem}/places"), axis=0)
