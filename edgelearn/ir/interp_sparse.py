"""The NumPy meaning of operations on sparse matrices; see `edgelearn.ir.interp`."""

from __future__ import annotations

from edgelearn.arrays import Array
from edgelearn.ir.ops_sparse import SparseAddOuter, SparseMatMul
from edgelearn.ir.structure import Structure, spread


def sparse(op: SparseMatMul | SparseAddOuter, *inputs: Array) -> Array:
    """The value of one op: of the whole matrix, zeros filled in, or of its whole gradient."""
    shape, (*given, starts, index) = (op.fan_in, op.units), inputs
    places = Structure(shape, op.block, starts, index)
    value: Array
    if isinstance(op, SparseMatMul):
        x, values = given
        value = x @ spread(places.rows, values, shape, op.block).T
    else:
        values, x, d = given
        value = values + places.take((d.T @ x).T)
    return value
