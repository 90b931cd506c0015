"""What the TFLite operators that move or convert elements are in the Graph.

They leave integers as they are: see `edgelearn.export.tflite_arms` for the rest.
"""

from __future__ import annotations

import numpy as np

from edgelearn.export.tflite_arms import Arm, Made
from edgelearn.export.tflite_parts import TfliteNode, refused
from edgelearn.export.tflite_values import Values
from edgelearn.ir.ops import (
    Concat,
    Dequantize,
    Gather,
    OneHot,
    Op,
    Quantize,
    Reshape,
    Slice,
    ToInt,
    Transpose,
)
from edgelearn.ir.ops_quant import RANGES, QuantParams


def _moved(v: Values, n: TfliteNode, op: Op, *sources: int) -> Made:
    """`op` on integers as they are, if all of them stand for the same numbers."""
    if all(v.params(i) == v.params(n.out) for i in sources):
        v.keep(n.out, op, [v.raw(i) for i in sources])
        return None
    return op, [v.read(i) for i in sources]


def _reshape(v: Values, n: TfliteNode) -> Made:
    return _moved(v, n, Reshape(v.shape(n.out)), n.inputs[0])


def _transpose(v: Values, n: TfliteNode) -> Made:
    return _moved(v, n, Transpose(tuple(v.constant(n, 1).tolist())), n.inputs[0])


def _concat(v: Values, n: TfliteNode) -> Made:
    return _moved(v, n, Concat(n.option("Axis"), len(n.inputs)), *n.inputs)


def _gather(v: Values, n: TfliteNode) -> Made:
    if n.option("Axis") or n.option("BatchDims"):
        raise refused("rows: axis 0", f"axis {n.option('Axis')}")
    table, rows = n.inputs
    if v.params(table) != v.params(n.out):
        return Gather(), [v.read(table), v.raw(rows)]
    v.keep(n.out, Gather(), [v.raw(table), v.raw(rows)])
    return None


def _cut(v: Values, n: TfliteNode, parts: list[tuple[int, int]]) -> Made:
    """Positions `start` to `stop` of each axis, in the shape of the output."""
    ops: list[Op] = [
        Slice(axis, start, stop)
        for axis, (start, stop) in enumerate(parts)
        if (start, stop) != (0, v.shape(n.inputs[0])[axis])
    ]
    left = tuple(stop - start for start, stop in parts)
    if left != v.shape(n.out) or not ops:
        ops.append(Reshape(v.shape(n.out)))
    name = v.raw(n.inputs[0])
    for op in ops[:-1]:
        name = v.step(n.out, op, name)
    v.keep(n.out, ops[-1], [name])
    return None


def _slice(v: Values, n: TfliteNode) -> Made:
    begin, size = v.constant(n, 1).tolist(), v.constant(n, 2).tolist()
    dims = v.shape(n.inputs[0])
    stops = [d if s == -1 else b + s for b, s, d in zip(begin, size, dims, strict=True)]
    return _cut(v, n, list(zip(begin, stops, strict=True)))


def _strided_slice(v: Values, n: TfliteNode) -> Made:
    begin, end, steps = (v.constant(n, i).tolist() for i in (1, 2, 3))
    if n.option("EllipsisMask") or n.option("NewAxisMask") or set(steps) != {1}:
        raise refused("steps of 1, and neither an ellipsis nor new axes", f"steps {steps}")
    parts = []
    for axis, length in enumerate(v.shape(n.inputs[0])):
        bit = 1 << axis
        start = None if n.option("BeginMask") & bit else begin[axis]
        stop = None if n.option("EndMask") & bit else end[axis]
        if n.option("ShrinkAxisMask") & bit:
            start = begin[axis] % length
            stop = start + 1
        first, last, _ = slice(start, stop).indices(length)
        parts.append((first, last))
    return _cut(v, n, parts)


def _split(v: Values, n: TfliteNode) -> Made:
    """SPLIT has the axis before what it cuts, and parts alike."""
    axis = int(v.constant(n, 0)) % len(v.shape(n.inputs[1]))
    return _parts(v, n, n.inputs[1], axis)


def _split_v(v: Values, n: TfliteNode) -> Made:
    return _parts(v, n, n.inputs[0], int(v.constant(n, 2)) % len(v.shape(n.inputs[0])))


def _parts(v: Values, n: TfliteNode, source: int, axis: int) -> Made:
    start = 0
    for out in n.outputs:
        stop = start + v.shape(out)[axis]
        v.keep(out, Slice(axis, start, stop), [v.raw(source)])
        start = stop
    return None


def _one_hot(v: Values, n: TfliteNode) -> Made:
    depth, on, off = (v.constant(n, i).item() for i in (1, 2, 3))
    if (on, off) != (1, 0) or n.option("Axis") not in (-1, len(v.shape(n.out)) - 1):
        raise refused("the values 0 and 1 on a new last axis", "others")
    return OneHot(depth), [v.raw(n.inputs[0])]


def _cast(v: Values, n: TfliteNode) -> Made:
    source = n.inputs[0]
    pair = (v.tensors[source].dtype, v.tensors[n.out].dtype)
    if pair in (("uint8", "bool"), ("bool", "uint8")):
        v.alias(n.out, source)
        return None
    if pair == ("float32", "int64"):
        return ToInt(), [v.read(source)]
    if pair[0] in RANGES and pair[1] == "float32" and v.params(source) is None:
        return Dequantize(QuantParams((1.0,), (0,))), [v.raw(source)]
    raise refused("float32 to int64, integers to float32, or bytes to a mask", " to ".join(pair))


def _dequantize(v: Values, n: TfliteNode) -> Made:
    source = n.inputs[0]
    if v.tensors[source].dtype == "float16":
        v.constants[n.out] = v.constant(n, 0).astype(np.float32)
    else:
        v.held[n.out] = v.read(source)
    return None


def _quantize(v: Values, n: TfliteNode) -> Made:
    """Numbers, or integers of another scale, to integers."""
    params, dtype = v.params(n.out), v.tensors[n.out].dtype
    if params is None or dtype not in ("int8", "uint8"):
        raise refused("integers of int8 or uint8, with a scale", dtype)
    v.keep(n.out, Quantize(params, "int8" if dtype == "int8" else "uint8"), [v.read(n.inputs[0])])
    return None


MOVING_ARMS: dict[str, Arm] = {
    "RESHAPE": _reshape,
    "SQUEEZE": _reshape,
    "EXPAND_DIMS": _reshape,
    "TRANSPOSE": _transpose,
    "CONCATENATION": _concat,
    "GATHER": _gather,
    "SLICE": _slice,
    "STRIDED_SLICE": _strided_slice,
    "SPLIT": _split,
    "SPLIT_V": _split_v,
    "ONE_HOT": _one_hot,
    "CAST": _cast,
    "DEQUANTIZE": _dequantize,
    "QUANTIZE": _quantize,
}
