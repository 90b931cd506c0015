"""What recurrent layers share: shapes, masks, direction, what is returned and seen.

A sequence has shape (steps, features), or (steps, features + 1) if its last channel is a mask: 1
for a step that counts, 0 for padding.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, Literal, TypeAlias

import msgspec
import numpy as np

from edgelearn import kernels
from edgelearn.arrays import F32, Shape, as_f32
from edgelearn.errors import ConfigError
from edgelearn.ir.builder import Builder
from edgelearn.ir.ops import Concat, Reduce, Reshape, Slice
from edgelearn.ir.tensor import BATCH
from edgelearn.layers._base import Names
from edgelearn.layers._carried import Tally, held, keep
from edgelearn.rng import Stream, uniform
from edgelearn.views import Whole

Returns: TypeAlias = Literal["sequence", "last", "mean", "last_mean"]


class Recurrent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of every recurrent layer.

    Parameters
    ----------
    units : int
    returns : {"last_mean", "last", "mean", "sequence"}
        The last state, the mean of all, both one after the other, or every state (for another
        recurrent layer on top).
    masked : bool
        Whether the last channel of the input says which steps count; a returned sequence has it
        as its last channel too.
    reverse : bool
        Read the sequence from its end. A returned sequence is in the order of the input; the last
        state is that at its first step. Beside a layer that does not, and both read by the next
        one, the network is bidirectional.
    """

    kind: ClassVar[str]
    exact: ClassVar[bool] = False
    """Whether the local gradient reaches through all steps."""
    units: Annotated[int, msgspec.Meta(ge=1, le=1 << 16)]
    returns: Returns = "last_mean"
    masked: bool = False
    reverse: bool = False

    @property
    def constants(self) -> frozenset[str]:
        """Parameters that never change."""
        return frozenset()

    def steps(self, in_shape: Shape) -> int:
        """Length of a sequence, or `ConfigError`."""
        if len(in_shape) != 2 or in_shape[1] <= self.masked:
            raise ConfigError(
                f"layer of kind {self.kind!r}",
                expected="sequences of shape [steps, features], with a mask after the features"
                if self.masked
                else "sequences of shape [steps, features]",
                got=f"an input of shape {list(in_shape)}",
                fix='put it first, or after a layer with returns = "sequence"',
            )
        return in_shape[0]

    def features(self, in_shape: Shape) -> int:
        """Features of one step, without a mask."""
        self.steps(in_shape)
        return in_shape[1] - self.masked

    def out_shape(self, in_shape: Shape) -> Shape:
        """(steps, units), with a mask after the units if there is one, or (units,), (2 units,)."""
        steps = self.steps(in_shape)
        if self.returns == "sequence":
            return steps, self.units + self.masked
        return (self.seen_size,)

    @property
    def seen(self) -> Literal["last", "mean", "last_mean"]:
        """What the layer's readout sees: what it returns, of a sequence the last state and mean."""
        return "last_mean" if self.returns == "sequence" else self.returns

    @property
    def seen_size(self) -> int:
        """Features of the readout."""
        return self.units * (2 if self.seen == "last_mean" else 1)

    def view(self, in_shape: Shape) -> Whole:
        """What the readout sees: `seen`, whole."""
        return Whole((self.seen_size,))

    def in_order(self, sequences: F32) -> F32:
        """A view of `sequences` (batch, steps, ...) in the order in which they are read."""
        return sequences[:, ::-1] if self.reverse else sequences

    def summary(self, h: F32, mean: F32, out: F32) -> None:
        """Write what is seen of last states `h` and `mean` to `out`, its last axis `seen_size`."""
        if self.seen != "mean":
            out[..., : self.units] = h
        if self.seen != "last":
            out[..., -self.units :] = mean

    def judged(self, a: F32) -> F32:
        """What the readout sees of final activations (batch, *out_shape): (batch, seen_size)."""
        if self.returns != "sequence":
            return a
        mean = np.empty((len(a), self.units), np.float32)
        kernels.lookup.mean_of_steps(a, mean)
        seen = np.empty((len(a), self.seen_size), np.float32)
        self.summary(self.in_order(a[:, :, : self.units])[:, -1], mean, seen)
        return seen

    def emit_steps(
        self, b: Builder, x: str, *, back: bool = False
    ) -> Iterator[tuple[str, str | None]]:
        """The steps of sequences, in the order in which they are read: inputs, and the mask.

        Each has shape (batch, features) and (batch, 1), and is made when it is asked for; `back`:
        the last one first.
        """
        steps, features = self.steps(b.specs[x].shape[1:]), b.specs[x].shape[2]
        for t in range(steps) if self.reverse == back else reversed(range(steps)):
            step = b.apply(Reshape((BATCH, features)), b.apply(Slice(1, t, t + 1), x))
            yield self.emit_apart(b, step)

    def emit_apart(self, b: Builder, step: str) -> tuple[str, str | None]:
        """One step as inputs and mask."""
        if not self.masked:
            return step, None
        features = b.specs[step].shape[1] - 1
        inputs = b.apply(Slice(1, 0, features), step)
        return inputs, b.apply(Slice(1, features, features + 1), step)

    def emit_sequence(self, b: Builder, states: Sequence[str], masks: Sequence[str | None]) -> str:
        """States (batch, units) in the order of reading as the sequence that is returned."""
        apart = []
        for h, mask in zip(states, masks, strict=True):
            step = self.emit_together(b, h, mask)
            apart.append(b.apply(Reshape((BATCH, 1, b.specs[step].shape[1])), step))
        if self.reverse:
            apart.reverse()
        return apart[0] if len(apart) == 1 else b.apply(Concat(1, arity=len(apart)), *apart)

    def emit_together(self, b: Builder, h: str, mask: str | None) -> str:
        """One step of the sequence that is returned."""
        return h if mask is None else b.apply(Concat(1), h, mask)

    @abstractmethod
    def emit_state(self, b: Builder, params: Names, x: tuple[str, str | None], name: str) -> str:
        """Move the states of a stream by one step `x`, inputs and mask; the new state."""

    def emit_step(self, b: Builder, params: Names, x: str, name: str) -> str:
        if self.reverse:
            raise ConfigError(
                f"layer {name!r}",
                expected="layers that read a sequence from its beginning, to stream it",
                got="reverse = true, which begins at its end",
                fix="export the whole sequence, or train without reverse",
            )
        inputs, mask = self.emit_apart(b, x)
        h = self.emit_state(b, params, (inputs, mask), name)
        if self.returns == "sequence":
            return self.emit_together(b, h, mask)
        if self.seen == "last":
            return h
        total, count = f"{name}.total", f"{name}.count"
        tally = Tally(b, held(b, total, self.units), held(b, count, 1))
        tally.add(h, mask)
        tally.total, tally.sofar = keep(b, total, tally.total), keep(b, count, tally.sofar)
        return self.emit_summary(b, h, tally.mean())

    def emit_judged(self, b: Builder, a: str) -> str:
        """`judged` as nodes."""
        if self.returns != "sequence":
            return a
        steps = b.specs[a].shape[1]
        states = b.apply(Slice(2, 0, self.units), a)
        if self.masked:
            mask = b.apply(Slice(2, self.units, self.units + 1), a)
            total = b.apply(Reduce("sum", (1,)), b.binary("mul", states, mask))
            count = b.binary("max", b.apply(Reduce("sum", (1,)), mask), b.scalar(1))
            mean = b.binary("div", total, count)
        else:
            mean = b.apply(Reduce("mean", (1,)), states)
        place = 0 if self.reverse else steps - 1
        final = b.apply(Slice(1, place, place + 1), states)
        return self.emit_summary(b, b.apply(Reshape((BATCH, self.units)), final), mean)

    def split(self, e: F32) -> tuple[F32, F32]:
        """The error of the last state and of the mean, from that of what is seen."""
        zero = np.zeros_like(e[..., : self.units])
        last = zero if self.seen == "mean" else e[..., : self.units]
        mean = zero if self.seen == "last" else e[..., -self.units :]
        return last, mean

    def emit_summary(self, b: Builder, h: str, mean: str) -> str:
        """`summary` as nodes."""
        match self.seen:
            case "last":
                return h
            case "mean":
                return mean
            case "last_mean":
                return b.apply(Concat(1), h, mean)

    def emit_split(self, b: Builder, e: str) -> tuple[str | None, str | None]:
        """`split` as nodes; None for what is not seen."""
        match self.seen:
            case "last":
                return e, None
            case "mean":
                return None, e
            case "last_mean":
                last = b.apply(Slice(1, 0, self.units), e)
                return last, b.apply(Slice(1, self.units, 2 * self.units), e)


def chrono(longest: float, units: int, seed: int, index: int) -> F32:
    """Biases ``log(t)`` with times t drawn uniformly from 1 to ``longest - 1`` steps.

    Of a gate that forgets ``sigmoid(-bias)`` a step, so that it remembers about t steps (chrono
    initialisation, Tallec & Ollivier 2018).
    """
    part = uniform(seed, Stream.BIAS, index, (units,), 0.5) + np.float32(0.5)
    return as_f32(np.log(1 + part * np.float32(max(longest - 2, 0))))
