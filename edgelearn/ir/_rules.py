"""What the shape rules of the operations share."""

from __future__ import annotations

from typing import NoReturn, get_args

from edgelearn.arrays import Shape
from edgelearn.errors import GraphError
from edgelearn.ir.tensor import TensorSpec


def refuse(op: object, expected: str, *specs: TensorSpec) -> NoReturn:
    raise GraphError(
        f"op {type(op).__name__}",
        expected=expected,
        got=" and ".join(map(str, specs)),
        fix="connect tensors that fit",
    )


def require_float(op: object, *specs: TensorSpec) -> None:
    if any(s.dtype != "float32" for s in specs):
        refuse(op, "float32", *specs)


def require_kind(op: object, kind: str, known: object) -> None:
    names = get_args(known)
    if kind not in names:
        raise GraphError(
            f"op {type(op).__name__}", expected=f"a kind of {names}", got=repr(kind), fix="use one"
        )


def resolve_axis(axis: int, rank: int) -> int:
    return axis + rank if axis < 0 else axis


def broadcast(op: object, a: TensorSpec, b: TensorSpec) -> Shape:
    """The common shape by NumPy's rule; `BATCH` meets only itself, 1, or a missing axis."""
    rank = max(len(a.shape), len(b.shape))
    dims = []
    for m, n in zip(
        (1,) * (rank - len(a.shape)) + a.shape, (1,) * (rank - len(b.shape)) + b.shape, strict=True
    ):
        if m != n and 1 not in (m, n):
            refuse(op, "shapes that broadcast", a, b)
        dims.append(n if m == 1 else m)
    return tuple(dims)


def require_positive(op: object, *values: int) -> None:
    if min(values) < 1:
        raise GraphError(
            f"op {type(op).__name__}", expected="sizes >= 1", got=str(values), fix="mend them"
        )
