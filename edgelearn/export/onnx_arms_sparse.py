"""How sparse matrices are read back: weights that `ScatterND` puts in their places among zeros.

The matrix that comes of it is never computed here: it is followed, through what only changes its
shape, to the product that reads it. `edgelearn.export.onnx_emit_sparse` says how it is written.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgelearn.arrays import Array
from edgelearn.export.onnx_fold import slices_of
from edgelearn.export.onnx_load import OnnxNode
from edgelearn.export.onnx_values import Placed, Values
from edgelearn.ir.ops import MatMul, Reshape, SparseMatMul
from edgelearn.ir.structure import BLOCKS, Structure, fits


def follow(v: Values, n: OnnxNode) -> bool:
    """Whether `n` makes a matrix of placed weights of which nothing but its places is known.

    Where weights are constants the matrix may still be computed, for others that read it.
    """
    if n.op == "ScatterND":
        placed = _scattered(v, n)
    elif n.op in ("Reshape", "Slice") and n.inputs[0] in v.placed:
        arm = _reshaped if n.op == "Reshape" else _sliced
        placed = arm(v, n, v.placed[n.inputs[0]])
    else:
        return False
    if placed is None:
        return False
    v.placed[n.out] = placed
    return placed.values not in v.constants


def _scattered(v: Values, n: OnnxNode) -> Placed | None:
    zeros, places = v.constants.get(n.inputs[0]), v.constants.get(n.inputs[1])
    if zeros is None or places is None or zeros.ndim != 2 or zeros.any():
        return None
    ascending = places.ndim == 2 and places.shape[1] == 1 and (np.diff(places[:, 0]) > 0).all()
    inside = ascending and (not places.size or 0 <= places[0, 0] <= places[-1, 0] < len(zeros))
    fitting = zeros.dtype == np.float32 and zeros.shape[1] in BLOCKS
    if not inside or not fitting or v.shape(n.inputs[2]) != (len(places), zeros.shape[1]):
        return None
    return Placed(n.inputs[2], places[:, 0], zeros.shape[1], zeros.shape)


def _reshaped(v: Values, n: OnnxNode, placed: Placed) -> Placed | None:
    shape = v.constants.get(n.inputs[1])
    whole = len(placed.rows) and placed.dims[1] == placed.block
    if shape is None or shape.size != 2 or not whole or shape.min() < 1:
        return None
    units, columns = shape.tolist()
    if columns % placed.block or units * columns != placed.dims[0] * placed.dims[1]:
        return None
    return replace(placed, dims=(units, columns))


def _sliced(v: Values, n: OnnxNode, placed: Placed) -> Placed | None:
    bounds = [v.constants.get(name) for name in n.inputs[1:]]
    if any(b is None for b in bounds):
        return None
    parts = slices_of(n, 2, bounds)
    units, columns = placed.dims
    if list(parts) != [1]:
        return None
    start, fan_in, step = parts[1].indices(columns)
    if (start, step) != (0, 1) or columns - fan_in >= placed.block or columns == placed.dims[0]:
        return None
    return replace(placed, dims=(units, fan_in))


def read_product(v: Values, n: OnnxNode, product: MatMul) -> bool:
    """Whether `n` multiplies by a matrix of placed weights; the product is then defined."""
    placed = v.placed.get(n.inputs[1])
    if placed is None or product != MatMul(transpose_b=True):
        return False
    units, fan_in = placed.dims
    if not fits((fan_in, units), placed.block):
        return False
    if n.inputs[1] not in v.sparse:
        s = Structure.of_rows(placed.rows, (fan_in, units), placed.block)
        arrays = [v.array(f"{n.inputs[1]}/{k}", a) for k, a in _named(s).items()]
        v.sparse[n.inputs[1]] = (_flat_values(v, placed), *arrays)
    op = SparseMatMul(fan_in, units, placed.block)
    v.define(n.out, op, [v.read(n.inputs[0]), *v.sparse[n.inputs[1]]])
    return True


def _named(s: Structure) -> dict[str, Array]:
    return {"starts": s.starts, "index": s.index}


def _flat_values(v: Values, placed: Placed) -> str:
    """The weights as a vector: what they were before they were cut into blocks, if that is one."""
    name = placed.values
    if name in v.constants:
        value, before = v.constants[name].reshape(-1), name.removesuffix("/blocks")
        same = before in v.constants and np.array_equal(v.constants[before], value)
        return v.read(before) if same else v.array(before, value)
    blocks = v.read(name)
    maker = next(node for node in reversed(v.b.nodes) if node.output == blocks)
    if isinstance(maker.op, Reshape) and len(v.b.specs[maker.inputs[0]].shape) == 1:
        return maker.inputs[0]
    return v.step(name, Reshape((len(placed.rows) * placed.block,)), blocks)
