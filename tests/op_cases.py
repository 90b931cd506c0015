"""What every op of the Graph is tried on: at least one case an op, one for each of its kinds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgelearn.arrays import Array, Shape
from edgelearn.ir import BATCH, Builder, Graph
from edgelearn.ir.ops import (
    AddConvOuter,
    AddOuter,
    ApplyMask,
    BatchSize,
    Binary,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Dequantize,
    Gather,
    Keep,
    MatMul,
    OneHot,
    Op,
    Pool2d,
    Quantize,
    Reduce,
    Reshape,
    Slice,
    Softmax,
    SparseAddOuter,
    SparseMatMul,
    ToInt,
    Transpose,
    Unary,
)
from edgelearn.ir.ops_quant import QuantParams
from edgelearn.ir.structure import Structure


@dataclass(frozen=True)
class Arg:
    """One input of an op: fed, or a constant of the Graph."""

    shape: Shape
    values: str = "normal"
    constant: bool = False
    high: int = 0
    given: Array | None = None
    low: int = 0

    @property
    def dtype(self) -> str:
        return self.values if self.values.startswith(("int", "uint")) else "float32"

    def array(self, batch: int, rng: np.random.Generator) -> Array:
        if self.given is not None:
            return self.given
        shape = tuple(batch if d == BATCH else d for d in self.shape)
        match self.values:
            case "normal":
                return np.asarray(rng.normal(size=shape), np.float32)
            case "positive":
                return np.asarray(rng.uniform(0.1, 2, shape), np.float32)
            case "extreme":
                return np.asarray(
                    rng.choice([-1e3, -80, -1, -0.0, 0, 1, 80, 1e3], shape), np.float32
                )
            case "halves":  # of a scale of 0.5: every second one lies between two integers
                return np.asarray(rng.integers(-400, 400, shape) / 4, np.float32)
            case _:
                return np.asarray(rng.integers(self.low, self.high, shape), self.values)


@dataclass(frozen=True)
class Case:
    op: Op
    args: tuple[Arg, ...]

    def graph_and_feeds(self, batch: int) -> tuple[Graph, dict[str, Array]]:
        """A Graph of this op alone, output ``out``, and what to feed it."""
        b, feeds = self.built(batch)
        return b.graph(["out"]), feeds

    def built(self, batch: int) -> tuple[Builder, dict[str, Array]]:
        """As above, before the Graph is finished."""
        b, rng, feeds, names = Builder("alone"), np.random.default_rng(7), {}, []
        for i, arg in enumerate(self.args):
            value = arg.array(batch, rng)
            if arg.constant:
                names.append(b.constant(f"k{i}", value))
            else:
                names.append(b.input(f"x{i}", arg.shape, arg.dtype))
                feeds[names[-1]] = value
        b.apply(self.op, *names, name="out")
        return b, feeds

    def __str__(self) -> str:
        dims = "-".join("x".join(map(str, arg.shape)) or "scalar" for arg in self.args)
        return f"{self.op}-{dims}".replace(" ", "")


def case(op: Op, *args: Arg | Shape) -> Case:
    return Case(op, tuple(a if isinstance(a, Arg) else Arg(a) for a in args))


def weight(*shape: int) -> Arg:
    return Arg(shape, constant=True)


def sparse(op: type[SparseMatMul | SparseAddOuter], *sizes: int, constant: bool = False) -> Case:
    """A product with, or an update of, a matrix (fan_in, units) in blocks, a third of them kept."""
    fan_in, units, block = sizes
    rng = np.random.default_rng(11)
    kept = rng.random((-(-fan_in // block), units)) < 1 / 3
    s = Structure.of(np.repeat(kept, block, axis=0)[:fan_in].astype(np.uint8), block)
    values = s.take(np.asarray(rng.normal(size=(fan_in, units)), np.float32))
    w = Arg(values.shape, constant=constant, given=values)
    x, d = Arg((BATCH, fan_in)), Arg((BATCH, units))
    first = (x, w) if op is SparseMatMul else (w, x, d)
    last = [Arg(a.shape, a.dtype.name, constant=True, given=a) for a in (s.starts, s.index)]
    return case(op(fan_in, units, block), *first, *last)


IMAGE = (BATCH, 7, 6, 4)
HALF = QuantParams((0.5,), (3,))
FOURTHS = QuantParams((0.25, 0.003, 2.0, 0.5), (0, -5, 4, 127), 3)
ROWS = QuantParams((0.5, 0.25, 0.1), (0, 7, 255), 1)
BINARY = ("add", "sub", "mul", "max", "min")
UNARY = ("tanh", "relu", "sigmoid", "abs", "sign", "neg")

KEEPS = ((1, 0), (1 << 22, (1 << 62) - 1), (13421773, 1 << 40), (1 << 24, 5))

DENSE = [
    case(MatMul(), (BATCH, 4), weight(4, 3)),
    case(MatMul(transpose_b=True), (BATCH, 4), weight(3, 4)),
    case(MatMul(transpose_a=True), (BATCH, 4), (BATCH, 3)),
    case(MatMul(transpose_a=True, transpose_b=True), (4, BATCH), weight(3, 4)),
    case(AddOuter(), weight(4, 3), (BATCH, 4), (BATCH, 3)),
    case(AddOuter(), (4, 3), (BATCH, 4), (BATCH, 3)),
    *(case(Binary(kind), (BATCH, 3), (BATCH, 3)) for kind in BINARY),
    *(case(Binary(kind), (BATCH, 3), weight(3)) for kind in BINARY),
    case(Binary("add"), (), (BATCH, 3)),
    case(Binary("mul"), (BATCH, 1), weight(1, 3)),
    case(Binary("sub"), weight(6, 1), IMAGE),
    case(Binary("div"), (BATCH, 3), Arg((3,), "positive")),
    *(case(Unary(kind), Arg((BATCH, 9), "extreme")) for kind in UNARY),
    *(case(Unary(kind), (BATCH, 9)) for kind in (*UNARY, "exp")),
    *(case(Unary(kind), Arg((BATCH, 9), "positive")) for kind in ("log", "sqrt")),
    case(ApplyMask(), (4, 3), Arg((4, 3), "uint8", constant=True, high=2)),
    case(ApplyMask(), (BATCH, 3), Arg((BATCH, 3), "uint8", high=3)),
    case(ApplyMask(), (3, 3, 4, 5), Arg((3, 3, 4, 5), "uint8", constant=True, high=2)),
    case(Keep(1 << 23, 1), (BATCH, 9), Arg((), "int64", constant=True, high=1)),
    *(case(Keep(s, k), (BATCH, 3, 40), Arg((), "int64", high=1 << 24)) for s, k in KEEPS),
    case(Softmax(), (BATCH, 9)),
    case(Softmax(), Arg((BATCH, 9), "extreme")),
    case(Softmax(), (BATCH, 3, 4)),
    *(case(Reduce(kind, (0,)), (BATCH, 3)) for kind in ("sum", "mean", "max")),
    *(case(Reduce(kind, (-1,), keepdims=True), (BATCH, 3)) for kind in ("sum", "mean", "max")),
    case(Reduce("mean", (1, 2)), IMAGE),
    case(Reduce("sum", (0, 1)), (BATCH, 3)),
    case(Reshape((BATCH, 6)), (BATCH, 2, 3)),
    case(Reshape((2, BATCH)), (2, BATCH)),
    case(Reshape((3, 2)), (2, 3)),
    case(Reshape((BATCH, 1)), Arg((BATCH,), "int64", high=5)),
    case(OneHot(4), Arg((BATCH,), "int64", high=4)),
    case(OneHot(4), Arg((BATCH,), "int32", high=4)),
    case(OneHot(2), Arg((BATCH, 3), "int64", high=4)),
    case(ToInt(), Arg((BATCH, 9), "extreme")),
    case(ToInt(), (BATCH, 3, 2)),
    case(Gather(), weight(5, 3), Arg((BATCH,), "int64", high=5)),
    case(Gather(), (5, 3), Arg((BATCH, 2), "int32", high=5)),
    case(BatchSize(), (BATCH, 3)),
    case(BatchSize(), (4, 3)),
    case(Conv2d(), IMAGE, weight(3, 3, 4, 5)),
    case(Conv2d(), IMAGE, (1, 1, 4, 5)),
    case(Conv2d((2, 1), (1, 0, 2, 1)), IMAGE, weight(3, 2, 4, 5)),
    case(Conv2d(dilations=(2, 1), pads=(2, 1, 2, 1)), IMAGE, weight(3, 3, 4, 5)),
    case(Conv2d(groups=2), IMAGE, weight(3, 3, 2, 6)),
    case(Conv2d(groups=4, strides=(2, 2), pads=(1, 1, 1, 1)), IMAGE, weight(3, 3, 1, 4)),
    case(ConvTranspose2d((7, 6)), (BATCH, 5, 4, 5), weight(3, 3, 4, 5)),
    case(ConvTranspose2d((7, 6), pads=(1, 1, 1, 1)), (BATCH, 7, 6, 5), (3, 3, 4, 5)),
    case(ConvTranspose2d((7, 6), (2, 1), (1, 0, 2, 1)), (BATCH, 4, 6, 5), weight(3, 2, 4, 5)),
    case(ConvTranspose2d((7, 6), (3, 2)), (BATCH, 2, 2, 5), weight(2, 3, 4, 5)),
    case(ConvTranspose2d((7, 6), (3, 2), (0, 1, 2, 3)), (BATCH, 3, 4, 5), weight(2, 3, 4, 5)),
    case(ConvTranspose2d((7, 6), groups=2, dilations=(2, 1)), (BATCH, 3, 4, 6), weight(3, 3, 2, 6)),
    case(ConvTranspose2d((7, 6), (2, 2), groups=4), (BATCH, 3, 3, 4), weight(3, 2, 1, 4)),
    case(AddConvOuter(), weight(3, 3, 4, 5), IMAGE, (BATCH, 5, 4, 5)),
    case(AddConvOuter(pads=(1, 1, 1, 1)), (3, 3, 4, 5), IMAGE, (BATCH, 7, 6, 5)),
    case(AddConvOuter((2, 1), (1, 0, 2, 1)), (3, 2, 4, 5), IMAGE, (BATCH, 4, 6, 5)),
    case(AddConvOuter((2, 2)), weight(1, 1, 4, 5), IMAGE, (BATCH, 4, 3, 5)),
    case(AddConvOuter((3, 2), (2, 2, 2, 2)), (5, 5, 4, 1), IMAGE, (BATCH, 3, 3, 1)),
    case(AddConvOuter(dilations=(2, 1), pads=(2, 1, 2, 1)), (3, 3, 4, 5), IMAGE, (BATCH, 7, 6, 5)),
    case(AddConvOuter((2, 1), (1, 0, 2, 1), (3, 2)), (2, 3, 4, 5), IMAGE, (BATCH, 4, 3, 5)),
    case(AddConvOuter(groups=2), weight(3, 3, 2, 6), IMAGE, (BATCH, 5, 4, 6)),
    case(AddConvOuter(groups=4), (3, 3, 1, 4), IMAGE, (BATCH, 5, 4, 4)),
    case(AddConvOuter((2, 2), (1, 1, 1, 1), (2, 1), 2), (2, 3, 2, 2), IMAGE, (BATCH, 4, 3, 2)),
    *(case(Pool2d(kind, (2, 3)), IMAGE) for kind in ("max", "avg")),
    *(case(Pool2d(kind, (3, 3), (2, 2), (1, 0, 2, 1)), IMAGE) for kind in ("max", "avg")),
    *(
        case(Pool2d("max", (3, 3), (2, 2), (1, 0, 2, 1)), Arg(IMAGE, dtype, low=low, high=low + 90))
        for dtype, low in (("int8", -128), ("uint8", 0))
    ),
    case(Transpose((1, 0)), (BATCH, 3)),
    case(Transpose((0, 3, 1, 2)), IMAGE),
    case(Transpose((2, 0, 1)), Arg((2, BATCH, 3), "int64", high=5)),
    case(Concat(-1), (BATCH, 3), (BATCH, 2)),
    case(Concat(1, 3), IMAGE, (BATCH, 2, 6, 4), IMAGE),
    case(Concat(0, 1), (4, 3)),
    case(Slice(1, 1, 3), (BATCH, 4)),
    case(Slice(-1, 0, 2), IMAGE),
    case(Quantize(HALF), Arg((BATCH, 40), "halves")),
    case(Quantize(HALF, "uint8"), Arg((BATCH, 40), "halves")),
    case(Quantize(HALF), Arg((BATCH, 9), "extreme")),
    case(Quantize(FOURTHS), IMAGE),
    case(Quantize(ROWS, "uint8"), (BATCH, 3, 2)),
    case(Dequantize(HALF), Arg((BATCH, 9), "int8", low=-128, high=128)),
    case(Dequantize(HALF), Arg((BATCH, 9), "uint8", high=256)),
    case(Dequantize(FOURTHS), Arg(IMAGE, "int8", low=-128, high=128)),
    case(Dequantize(FOURTHS), Arg((3, 3, 2, 4), "int8", True, low=-128, high=128)),
    case(Dequantize(ROWS), Arg((4, 3), "uint8", True, high=256)),
    case(Dequantize(QuantParams((0.1,), (0,))), Arg((4,), "int32", True, low=-999, high=10**6)),
    case(
        Dequantize(QuantParams((0.1, 1e-4, 7.0), (0, 0, 0), 1)),
        Arg((BATCH, 3), "int32", low=-999, high=10**6),
    ),
]
SPARSE = [
    *(sparse(SparseMatMul, 12, 7, block, constant=fixed) for block in (1, 4) for fixed in (0, 1)),
    *(sparse(SparseMatMul, 10, 6, 4, constant=fixed) for fixed in (0, 1)),
    *(sparse(SparseMatMul, 300, 280, 1, constant=fixed) for fixed in (0, 1)),
    sparse(SparseMatMul, 1100, 5, 4),
    *(sparse(SparseAddOuter, 12, 7, block) for block in (1, 4)),
    sparse(SparseAddOuter, 10, 6, 4),
    sparse(SparseAddOuter, 300, 280, 1, constant=True),
]
CASES = [*DENSE, *SPARSE]
