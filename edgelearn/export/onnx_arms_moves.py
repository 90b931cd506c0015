"""What the ONNX ops that move elements are in the Graph; see `edgelearn.export.onnx_arms`."""

from __future__ import annotations

import math

import onnx  # noqa: TID251  this file knows the dtypes of ONNX

from edgelearn.arrays import Shape
from edgelearn.export.onnx_arms import Arm, constant
from edgelearn.export.onnx_fold import (
    has_open_length,
    refused,
    slices_of,
    squeezed,
    unsqueezed,
)
from edgelearn.export.onnx_functions import LOW
from edgelearn.export.onnx_load import OnnxNode
from edgelearn.export.onnx_values import OPEN_LENGTH, Values, reshaped
from edgelearn.ir.ops import BatchSize, Concat, Gather, Keep, OneHot, Reshape, Slice, ToInt
from edgelearn.ir.tensor import BATCH

ALIKE = (("int32", "int64"), ("uint8", "bool"))
"""Indices may be either; a mask is any number but 0."""
NO_END = 2**31 - 1
"""Exporters write this, or more, for a slice that goes to the end."""


def _reshape(v: Values, n: OnnxNode, _: int) -> None:
    target = constant(v, n, 1)
    if target is None:
        raise refused("a shape", "none")
    zero_copies = not n.attributes.get("allowzero", 0)
    before = v.shape(n.inputs[0])
    dims = reshaped(before, target.tolist(), zero_copies=zero_copies)
    if len(before) == 5 and before[2] == BATCH and dims == (before[0], BATCH, *before[3:]):
        v.merged[n.out] = n.inputs[0]
    else:
        _to_shape(v, n, dims)


def _to_shape(v: Values, n: OnnxNode, dims: Shape) -> None:
    """The elements of the first input, in ONNX order, in the shape `dims`."""
    v.define(n.out, Reshape(dims), [v.flat(n.inputs[0])])


def _flatten(v: Values, n: OnnxNode, _: int) -> None:
    dims = v.shape(n.inputs[0])
    axis = n.attributes.get("axis", 1) % (len(dims) + 1)
    head, tail = dims[:axis], dims[axis:]
    _to_shape(v, n, tuple(BATCH if BATCH in part else math.prod(part) for part in (head, tail)))


def _squeeze(v: Values, n: OnnxNode, _: int) -> None:
    _to_shape(v, n, squeezed(n, v.shape(n.inputs[0]), constant(v, n, 1)))


def _unsqueeze(v: Values, n: OnnxNode, _: int) -> None:
    _to_shape(v, n, unsqueezed(n, v.shape(n.inputs[0]), constant(v, n, 1)))


def _transpose(v: Values, n: OnnxNode, _: int) -> None:
    order = v.order(n.inputs[0])
    perm = n.attributes.get("perm", list(reversed(range(len(order)))))
    v.alias(n.out, n.inputs[0], tuple(perm.index(axis) for axis in order))


def _identity(v: Values, n: OnnxNode, _: int) -> None:
    v.alias(n.out, n.inputs[0])


def _dropout(v: Values, n: OnnxNode, _: int) -> None:
    training = constant(v, n, 2)
    if training is not None and training.any():
        raise refused("dropout that is switched off", "training_mode = true")
    v.alias(n.out, n.inputs[0])


def _concat(v: Values, n: OnnxNode, _: int) -> None:
    computed = [name for name in n.inputs if name not in v.constants]
    order = v.order((computed or list(n.inputs))[0])
    axis = order.index(n.attributes["axis"] % len(order))
    v.define(n.out, Concat(axis, len(n.inputs)), [v.read(x, order) for x in n.inputs], order)


def _slice(v: Values, n: OnnxNode, _: int) -> None:
    dims, order = v.shape(n.inputs[0]), v.order(n.inputs[0])
    slices = slices_of(n, len(dims), [constant(v, n, i) for i in range(1, len(n.inputs))])
    ops = []
    for axis, part in slices.items():
        if dims[axis] == BATCH and part.start == 0 and part.stop >= NO_END and part.step == 1:
            continue
        start, stop, step = part.indices(max(dims[axis], 0))
        if step != 1:
            raise refused("steps of 1", f"{step}")
        ops.append(Slice(order.index(axis), start, stop))
    if not ops:
        return v.alias(n.out, n.inputs[0])
    name = v.read(n.inputs[0], order)
    for op in ops[:-1]:
        name = v.step(n.out, op, name)
    v.define(n.out, ops[-1], [name], order)
    return None


def _gather(v: Values, n: OnnxNode, _: int) -> None:
    if n.attributes.get("axis", 0) != 0:
        raise refused("axis 0", f"axis {n.attributes['axis']}")
    v.define(n.out, Gather(), [v.read(name) for name in n.inputs])


def _one_hot(v: Values, n: OnnxNode, _: int) -> None:
    depth, values = constant(v, n, 1), constant(v, n, 2)
    if depth is None or values is None or values.tolist() != [0, 1]:
        raise refused("a constant depth and the values 0 and 1", "others")
    if n.attributes.get("axis", -1) != -1:
        raise refused("a new last axis", f"axis {n.attributes['axis']}")
    v.define(n.out, OneHot(int(depth.item())), [v.read(n.inputs[0])])


def _cast(v: Values, n: OnnxNode, _: int) -> None:
    name = n.inputs[0]
    to = onnx.helper.tensor_dtype_to_np_dtype(n.attributes["to"]).name
    if name in v.constants and has_open_length(v.constants[name]):
        if to in ("int64", "int32"):
            v.alias(n.out, name)
            return
        if to == "float32" and v.constants[name].tolist() == OPEN_LENGTH:
            source = next(s for s, spec in v.b.specs.items() if spec.shape[:1] == (BATCH,))
            v.define(n.out, BatchSize(), [source])
            return
    elif name not in v.constants:
        dtype = v.b.specs[v.held[name].name].dtype
        if dtype == to or (dtype, to) in ALIKE:
            v.alias(n.out, name)
            return
        if (dtype, to) == ("float32", "int64"):
            v.define(n.out, ToInt(), [v.read(name, v.order(name))], v.order(name))
            return
    raise refused("a cast that changes no value, or to indices", f"one to {to}")


def _expand(v: Values, n: OnnxNode, _: int) -> None:
    target = constant(v, n, 1)
    dims = v.shape(n.inputs[0])
    wanted = [] if target is None else [BATCH if d == OPEN_LENGTH else d for d in target.tolist()]
    own = len(wanted) <= len(dims) and all(
        d in (1, mine) for d, mine in zip(reversed(wanted), reversed(dims), strict=False)
    )
    if not own:
        raise refused("an expansion to the shape it has", f"{list(dims)} to {wanted}")
    v.alias(n.out, n.inputs[0])


def _keep(v: Values, n: OnnxNode, _: int) -> None:
    share, low, high = (int(n.attributes[name]) for name in ("share", "low", "high"))
    v.define(n.out, Keep(share, high * LOW + low), [v.read(name) for name in n.inputs])


MOVING_ARMS: dict[str, Arm] = {
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Identity": _identity,
    "Dropout": _dropout,
    "Concat": _concat,
    "Slice": _slice,
    "Gather": _gather,
    "OneHot": _one_hot,
    "Cast": _cast,
    "Expand": _expand,
    "Keep": _keep,
}
