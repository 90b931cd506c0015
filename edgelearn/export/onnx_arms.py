"""What each ONNX op is in the Graph: products, element-wise functions, reductions and moves.

An arm gets the values known so far and one node, and defines the node's output. It raises
`GraphError` for a form that it cannot read; the reader names the node and the file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import onnx  # noqa: TID251  this file knows the dtypes of ONNX

from edgelearn.arrays import Array
from edgelearn.export.onnx_fold import (
    axes_of,
    has_open_length,
    refused,
    slices_of,
    squeezed,
    unsqueezed,
)
from edgelearn.export.onnx_load import OnnxNode
from edgelearn.export.onnx_values import OPEN_LENGTH, Order, Values, reshaped
from edgelearn.ir.ops import (
    AddOuter,
    BatchSize,
    Binary,
    BinaryKind,
    Concat,
    Gather,
    MatMul,
    OneHot,
    Reduce,
    ReduceKind,
    Reshape,
    Slice,
    Softmax,
    Unary,
    UnaryKind,
)
from edgelearn.ir.tensor import BATCH

Arm: TypeAlias = Callable[[Values, OnnxNode, int], None]
"""Arguments: the values so far, the node, the opset."""

PER_ELEMENT_SOFTMAX_OPSET = 13
"""Before it, Softmax flattened all axes from the given one on into one."""


def constant(v: Values, n: OnnxNode, position: int) -> Array | None:
    """An input that must be a constant, or None if the node leaves it out."""
    name = n.input(position)
    if not name:
        return None
    if name not in v.constants:
        raise refused(f"a constant as input {position}", f"{name!r}, which is computed")
    return v.constants[name]


def binary(v: Values, out: str, kind: BinaryKind, a: str, b: str) -> None:
    """An element-wise function of two ONNX values, in the axis order of the larger."""
    rank = max(len(v.shape(a)), len(v.shape(b)))
    computed = [x for x in (a, b) if x not in v.constants and len(v.shape(x)) == rank]
    order = v.order(computed[0]) if computed else tuple(range(rank))
    v.define(out, Binary(kind), [_aligned(v, a, order), _aligned(v, b, order)], order)


def _aligned(v: Values, name: str, order: Order) -> str:
    """`name` so that it broadcasts against a value held in `order`."""
    dims = v.shape(name)
    if len(dims) == len(order) and name not in v.constants:
        return v.read(name, order)
    if order == tuple(range(len(order))):
        return v.read(name)
    full = (1,) * (len(order) - len(dims)) + dims
    moved = tuple(full[axis] for axis in order)
    if name not in v.constants:
        if sum(d != 1 for d in full) > 1:
            raise refused("factors of equal rank, or of one axis", f"{name!r} of shape {dims}")
        return v.step(name, Reshape(moved), v.flat(name))
    value = v.constants[name].reshape(full).transpose(order)
    keep = next((i for i, d in enumerate(moved) if d != 1), len(moved))
    return v.array(f"{name}/aligned", value.reshape(moved[keep:]))


def _binary(kind: BinaryKind) -> Arm:
    def arm(v: Values, n: OnnxNode, _: int) -> None:
        last = n.inputs[0]
        if len(n.inputs) == 1:
            return v.alias(n.out, last)
        for position, name in enumerate(n.inputs[1:], start=2):
            out = n.out if position == len(n.inputs) else v.fresh(f"{n.out}/{position}")
            binary(v, out, kind, last, name)
            last = out
        return None

    return arm


def _unary(kind: UnaryKind) -> Arm:
    def arm(v: Values, n: OnnxNode, _: int) -> None:
        order = v.order(n.inputs[0])
        v.define(n.out, Unary(kind), [v.read(n.inputs[0], order)], order)

    return arm


def _reduce(kind: ReduceKind) -> Arm:
    def arm(v: Values, n: OnnxNode, _: int) -> None:
        rank = len(v.shape(n.inputs[0]))
        axes = axes_of(n, rank, constant(v, n, 1))
        if not axes and n.attributes.get("noop_with_empty_axes", 0):
            return v.alias(n.out, n.inputs[0])
        keep = bool(n.attributes.get("keepdims", 1))
        return reduce(v, n, kind, axes or tuple(range(rank)), keepdims=keep)

    return arm


def reduce(
    v: Values, n: OnnxNode, kind: ReduceKind, axes: tuple[int, ...], *, keepdims: bool
) -> None:
    """A reduction over `axes`, counted in ONNX order, in the order the input is held in."""
    order = v.order(n.inputs[0])
    op = Reduce(kind, tuple(sorted(order.index(axis) for axis in axes)), keepdims)
    left = [axis for axis in order if axis not in axes]
    after = order if keepdims else tuple(sorted(left).index(axis) for axis in left)
    v.define(n.out, op, [v.read(n.inputs[0], order)], after)


def _matmul(v: Values, n: OnnxNode, _: int) -> None:
    v.define(n.out, MatMul(), [v.read(name) for name in n.inputs])


def _gemm(v: Values, n: OnnxNode, _: int) -> None:
    found = n.attributes
    flip_a, flip_b = bool(found.get("transA", 0)), bool(found.get("transB", 0))
    alpha, beta = found.get("alpha", 1.0), found.get("beta", 1.0)
    a, b, c = v.read(n.inputs[0]), v.read(n.inputs[1]), n.input(2)
    columns = v.shape(n.inputs[1])[0 if flip_b else 1]
    rows = v.shape(n.inputs[0])[1 if flip_a else 0]
    is_update = flip_a and not flip_b and c and v.shape(c) == (rows, columns)
    if is_update and alpha == beta == 1:
        v.define(n.out, AddOuter(), [v.read(c), a, b])
        return
    product = v.step(n.out, MatMul(flip_a, flip_b), a, b)
    if alpha != 1 or not c:
        product = v.step(n.out, Binary("mul"), product, v.b.scalar(alpha))
    if not c:
        v.define(n.out, Reshape(v.b.specs[product].shape), [product])
        return
    offset = v.read(c)
    if beta != 1:
        offset = v.step(n.out, Binary("mul"), offset, v.b.scalar(beta))
    v.define(n.out, Binary("add"), [product, offset])


def _softmax(v: Values, n: OnnxNode, opset: int) -> None:
    name = n.inputs[0]
    dims = v.shape(name)
    per_element = opset >= PER_ELEMENT_SOFTMAX_OPSET
    axis = n.attributes.get("axis", -1 if per_element else 1) % len(dims)
    if per_element or axis == len(dims) - 1:
        order = v.order(name)
        if order[-1] != axis:
            order = (*(i for i in order if i != axis), axis)
        v.define(n.out, Softmax(), [v.read(name, order)], order)
        return
    head = dims[:axis]
    rows = BATCH if BATCH in head else int(np.prod(head))
    columns = int(np.prod(dims[axis:]))
    matrix = v.step(n.out, Reshape((rows, columns)), v.flat(name))
    v.define(n.out, Reshape(dims), [v.step(n.out, Softmax(), matrix)])


def _reshape(v: Values, n: OnnxNode, _: int) -> None:
    target = constant(v, n, 1)
    if target is None:
        raise refused("a shape", "none")
    zero_copies = not n.attributes.get("allowzero", 0)
    to_shape(v, n, reshaped(v.shape(n.inputs[0]), target.tolist(), zero_copies=zero_copies))


def to_shape(v: Values, n: OnnxNode, dims: tuple[int, ...]) -> None:
    """The elements of the first input, in ONNX order, in the shape `dims`."""
    v.define(n.out, Reshape(dims), [v.flat(n.inputs[0])])


def _flatten(v: Values, n: OnnxNode, _: int) -> None:
    dims = v.shape(n.inputs[0])
    axis = n.attributes.get("axis", 1) % (len(dims) + 1)
    head, tail = dims[:axis], dims[axis:]
    to_shape(v, n, tuple(BATCH if BATCH in part else int(np.prod(part)) for part in (head, tail)))


def _squeeze(v: Values, n: OnnxNode, _: int) -> None:
    to_shape(v, n, squeezed(n, v.shape(n.inputs[0]), constant(v, n, 1)))


def _unsqueeze(v: Values, n: OnnxNode, _: int) -> None:
    to_shape(v, n, unsqueezed(n, v.shape(n.inputs[0]), constant(v, n, 1)))


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
    name = v.read(n.inputs[0], order)
    for count, (axis, part) in enumerate(slices.items(), start=1):
        start, stop, step = part.indices(dims[axis] if dims[axis] != BATCH else 0)
        if step != 1:
            raise refused("steps of 1", f"{step}")
        op = Slice(order.index(axis), start, stop)
        if count == len(slices):
            v.define(n.out, op, [name], order)
        else:
            name = v.step(n.out, op, name)


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
    elif name not in v.constants and v.b.specs[v.held[name].name].dtype == to:
        v.alias(n.out, name)
        return
    raise refused("a cast that changes nothing", f"one to {to}")


def _expand(v: Values, n: OnnxNode, _: int) -> None:
    target = constant(v, n, 1)
    dims = v.shape(n.inputs[0])
    wanted = [] if target is None else [BATCH if d == OPEN_LENGTH else d for d in target.tolist()]
    own = len(wanted) <= len(dims) and all(
        d in (1, mine)
        for d, mine in zip(reversed(wanted), reversed(dims), strict=False)
    )
    if not own:
        raise refused("an expansion to the shape it has", f"{list(dims)} to {wanted}")
    v.alias(n.out, n.inputs[0])


ARMS: dict[str, Arm] = {
    "Add": _binary("add"),
    "Sub": _binary("sub"),
    "Mul": _binary("mul"),
    "Div": _binary("div"),
    "Max": _binary("max"),
    "Min": _binary("min"),
    "Sum": _binary("add"),
    "Tanh": _unary("tanh"),
    "Relu": _unary("relu"),
    "Sigmoid": _unary("sigmoid"),
    "Exp": _unary("exp"),
    "Log": _unary("log"),
    "Sqrt": _unary("sqrt"),
    "Abs": _unary("abs"),
    "Sign": _unary("sign"),
    "Neg": _unary("neg"),
    "ReduceSum": _reduce("sum"),
    "ReduceMean": _reduce("mean"),
    "ReduceMax": _reduce("max"),
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Softmax": _softmax,
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
}
