"""What cells with recurrent weights share: their engine, a chunk of steps at a time."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from edgelearn import kernels
from edgelearn.arrays import F32, Shape
from edgelearn.ir.builder import Builder
from edgelearn.layers._base import Names, Params, Trace
from edgelearn.layers._carried import Tally, held, keep
from edgelearn.layers._cell_graph import CellStep, emit_forward, emit_step
from edgelearn.layers._chunks import cut
from edgelearn.layers._kept import places_of
from edgelearn.layers._sequence import Recurrent
from edgelearn.rng import Stream, uniform

if TYPE_CHECKING:
    from edgelearn.kernels.recurrent import Chunk

CHUNK = 32
"""Steps that are held at once, at most."""
ROWS = 64
"""Steps times samples that are held at once, unless the batch has more."""
NOTHING = np.empty(0, np.float32)
NO_STARTS, NO_INDEX = np.empty(0, np.uint32), np.empty(0, np.uint16)


class Cell(Recurrent, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings and forward pass of cells that read their own state through weights `u`.

    Parameters `w` (features, gates * units), `u` (fed_size, gates * units), `b`.
    """

    gates: ClassVar[int]
    """Blocks of `units` columns in the weights."""
    memories: ClassVar[int] = 1
    """Arrays of `units` that are carried from step to step, the state first."""
    gains: ClassVar[bool] = False
    """Whether a step leaves a gain: see `edgelearn.kernels.cells`."""

    @property
    @abstractmethod
    def code(self) -> int:
        """The number that kernels know the cell by."""

    @property
    def sees(self) -> int:
        """The number that kernels know `seen` by."""
        r = kernels.recurrent
        return {"last": r.LAST, "mean": r.MEAN, "last_mean": r.LAST_MEAN}[self.seen]

    @abstractmethod
    def emit_cell(
        self, b: Builder, params: Names, a: str, u: str | None, states: list[str]
    ) -> CellStep:
        """One step as nodes, without mask; at the first step there is no `u` and states are 0.

        a, u: products of the input and of what is fed back with the weights.
        """

    def fed_size(self) -> int:
        """Elements that the recurrent weights see."""
        return self.units

    def feedback(self, params: Params) -> F32:
        """The matrix by which the state is fed back; of no rows: as it is."""
        return NOTHING.reshape(0, 0)

    def rates(self, params: Params) -> F32:
        """How fast each unit leaks; empty: it does not."""
        return NOTHING

    def emit_feed(self, b: Builder, params: Names, h: str) -> str:
        """What the recurrent weights see of states `h`, as nodes."""
        return h

    def emit_ready(self, b: Builder, params: Names) -> Names:
        """What all steps need of `params`, as nodes before the first one."""
        return params

    def init(self, in_shape: Shape, seed: int, index: int) -> Params:
        features, wide = self.features(in_shape), self.gates * self.units
        limit = math.sqrt(1 / self.units)
        return {
            "w": uniform(seed, Stream.INIT, index, (features, wide), math.sqrt(1 / features)),
            "u": uniform(seed, Stream.RECURRENT, index, (self.fed_size(), wide), limit),
            "b": np.zeros(wide, np.float32),
        }

    def shapes(self, features: int, batch: int, kept: Collection[str] = ()) -> dict[str, Shape]:
        """Arrays of work space; those of a chunk have a row for each step of each sample.

        Of the weights `kept` only those are there that are left.
        """
        rows, wide = chunk_rows(batch), self.gates * self.units
        return {
            "x": (rows, features),
            "a": (rows, wide),
            "fed": (rows, self.fed_size()),
            "gain": (rows, self.units if self.gains else 0),
            "seen": (rows, self.seen_size),
            "mask": (rows,),
            "counts": (rows,),
            "z": (batch, wide),
            "states": (self.memories, batch, self.units),
            "total": (batch, self.units),
            "sofar": (batch,),
        }

    def scratch_size(self, in_shape: Shape, batch: int, kept: Collection[str] = ()) -> int:
        shapes = self.shapes(self.features(in_shape), batch, kept)
        return sum(math.prod(shape) for shape in shapes.values())

    def forward(self, params: Params, x: F32, out: F32, scratch: F32) -> Trace[F32]:
        for _ in Pass(self, params, x, out, scratch).chunks():
            pass
        return Trace(x, out)

    def emit_state(self, b: Builder, params: Names, x: tuple[str, str | None], name: str) -> str:
        places = [f"{name}.{key}" for key in ("h", "cell")[: self.memories]]
        old = [held(b, place, self.units) for place in places]
        step = emit_step(self, b, self.emit_ready(b, params), x, old, Tally(b))
        new = [keep(b, *pair) for pair in zip(places, step.states, strict=True)]
        return new[0]

    def emit(self, b: Builder, params: Names, x: str) -> Trace[str]:
        return emit_forward(self, b, self.emit_ready(b, params), x)


def chunk_steps(batch: int) -> int:
    """Steps that are held at once for so many samples."""
    return min(CHUNK, max(1, ROWS // batch))


def chunk_rows(batch: int) -> int:
    """Rows of a chunk of up to so many samples: fewer of them may have more rows."""
    return min(CHUNK * batch, max(ROWS, batch))


class Pass:
    """One pass over a batch of sequences; `space` is the work space by name."""

    def __init__(self, cell: Cell, params: Params, x: F32, out: F32, scratch: F32) -> None:
        self.cell, self.params, self.x, self.out = cell, params, x, out
        self.features = cell.features(x.shape[1:])
        shapes = cell.shapes(self.features, len(x), places_of(params))
        self.space = dict(zip(shapes, cut(scratch, *shapes.values()), strict=True))
        for key in ("states", "total", "sofar"):
            self.space[key][:] = 0

    def chunks(self) -> Iterator[Chunk]:
        """Run chunk after chunk; after the last one `out` is written."""
        r, cell, space, params = kernels.recurrent, self.cell, self.space, self.params
        feedback, rates = cell.feedback(params), cell.rates(params)
        weights = r.Weights(*_recurrent(params), params["b"], feedback, rates)
        carried = r.Carried(space["states"], space["total"], space["sofar"])
        x = cell.in_order(self.x)
        for first in range(0, x.shape[1], chunk_steps(len(x))):
            chunk = self._load(x[:, first : first + chunk_steps(len(x))])
            r.steps(cell.code, cell.sees, weights, chunk, carried)
            self._put(chunk, first)
            yield chunk

    def _load(self, x: F32) -> Chunk:
        """Inputs, mask and products of a chunk of steps; the other arrays as they are."""
        features = self.features
        *timed, z = (self.space[key] for key in kernels.recurrent.Chunk._fields)
        chunk = kernels.recurrent.Chunk._make([*(_steps(array, x) for array in timed), z])
        chunk.x[:] = x[:, :, :features].transpose(1, 0, 2)
        chunk.mask[:] = x[:, :, features].T if self.cell.masked else 1
        rows = chunk.counts.size
        inputs, products = chunk.x.reshape(rows, -1), chunk.a.reshape(rows, -1)
        kept = places_of(self.params).get("w")
        if kept is None:
            np.matmul(inputs, self.params["w"], out=products)
        else:
            kept.product(self.params["w"], inputs, products)
        return chunk

    def _put(self, chunk: Chunk, first: int) -> None:
        """Write what the layer returns, as far as it is known after steps from `first` on."""
        cell, seen = self.cell, chunk.seen
        if cell.returns != "sequence":
            self.out[:] = seen[-1]
            return
        out = cell.in_order(self.out)[:, first : first + len(seen)]
        out[:, :, : cell.units] = seen[:, :, : cell.units].transpose(1, 0, 2)
        if cell.masked:
            out[:, :, cell.units] = chunk.mask.T


def _recurrent(params: Params) -> tuple[F32, NDArray[np.uint32], NDArray[np.uint16], int]:
    """The recurrent weights, and where they are if they are what is left of a pruned matrix."""
    u, kept = params["u"], places_of(params).get("u")
    if kept is None:
        return u, NO_STARTS, NO_INDEX, 0
    return u.reshape(1, -1), kept.starts, kept.index, kept.structure.block


def _steps(rows: F32, x: F32) -> F32:
    """The first of `rows` as (steps, batch, ...), for every step of `x` (batch, steps, ...)."""
    samples, steps = x.shape[:2]
    return rows[: steps * samples].reshape(steps, samples, *rows.shape[1:])
