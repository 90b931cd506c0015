"""What layers are: frozen settings; their parameters are passed in and out.

Every layer fulfils `Layer`. What more it can do, it says by the methods it has: `Learner`
descends a local loss, `Follower` keeps up with its inputs, `Starter` takes its first parameters
from the data without labels, `Streamer` reads sequences step by step, `Dropper` acts by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeAlias, TypeVar, runtime_checkable

from edgelearn.arrays import F32, Array, Shape
from edgelearn.ir.builder import Builder
from edgelearn.readout import Readout, Workspace
from edgelearn.views import View

Params: TypeAlias = dict[str, F32]
Names: TypeAlias = dict[str, str]
"""The names that the values of parameters have in a Graph."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Trace(Generic[T]):
    """What one forward pass leaves for the local update, and nothing more.

    `T` is an array in the engine and the name of a value in the Graph.

    Attributes
    ----------
    x : T
        Input, shape (batch, *in_shape).
    a : T
        Activation, shape (batch, *out_shape).
    """

    x: T
    a: T


class Layer(Protocol):
    """A kind of layer. A module of this package holds one as `LAYER`, with `EXAMPLES`.

    The engine's methods (`forward`, `update`) and the Graph's (`emit`, `emit_update`) say the
    same thing twice, for speed; tests hold them together.
    """

    kind: ClassVar[str]
    """The word that recipes use."""

    def out_shape(self, in_shape: Shape) -> Shape:
        """Shape of one sample's activation for inputs of `in_shape`, or `ConfigError`."""

    def init(self, in_shape: Shape, seed: int, index: int) -> Params:
        """First parameters of layer number `index`; they follow from `seed`."""

    def scratch_size(self, in_shape: Shape, batch: int) -> int:
        """Elements of the float32 work space of `forward` and `update`."""

    def forward(self, params: Params, x: F32, out: F32, scratch: F32) -> Trace[F32]:
        """The activation, written to `out`, shape (batch, *out_shape)."""

    def emit(self, b: Builder, params: Names, x: str) -> Trace[str]:
        """`forward` as nodes of a Graph."""


@runtime_checkable
class Learner(Layer, Protocol):
    """A layer that learns from the derivative of its own loss by its activation."""

    def view(self, in_shape: Shape) -> View:
        """What the readout sees."""

    def update(
        self, params: Params, trace: Trace[F32], e: F32, rate: float, into: Params, scratch: F32
    ) -> None:
        """Descend the local loss: ``into -= rate * d params`` in place.

        `into` is `params` itself, or arrays of their shapes that collect a gradient. `e` is the
        derivative of the summed local loss by the activation (by the pre-activation for a softmax
        head); it is used up. It may be coarse, as `view` makes it: of an image, one value for a
        cell of pixels.
        """

    def emit_update(
        self, b: Builder, params: Names, trace: Trace[str], e: str, rate: str, into: Names
    ) -> Names:
        """`update` as nodes of a Graph: the new value of each of `into`."""


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What a layer needs to meet its local loss by itself.

    Attributes
    ----------
    labels : int64 array, shape (batch,), or float32, shape (batch, outputs)
    readout : Readout
    rate : float
        For the sum over samples.
    into : dict of str to array
        What collects the gradient, or parameters: see `SequenceLearner.collects`; ``p`` is a
        learned projection.
    scratch : array
        As `Layer.scratch_size` says.
    space : Workspace
        Of the readout, for `SequenceLearner.readout_rows` rows.
    """

    labels: Array
    readout: Readout
    rate: float
    into: Params
    scratch: F32
    space: Workspace


Descent: TypeAlias = Callable[[str, Names], Names]
"""Given a rate and what to descend ``into``, nodes that do it: the new values."""


@dataclass(frozen=True, slots=True)
class Learning:
    """Forward pass and update of a layer as nodes: the trace is there, the update follows."""

    trace: Trace[str]
    descend: Descent


@runtime_checkable
class SequenceLearner(Layer, Protocol):
    """A layer whose local loss is met inside its own loop over time.

    What its readout sees is not its activation, and the update happens on the way: so the layer
    is given the readout, and makes forward pass, error and update in one go.
    """

    @property
    def constants(self) -> frozenset[str]:
        """Parameters that never change."""

    def view(self, in_shape: Shape) -> View:
        """What the readout sees."""

    def readout_rows(self, in_shape: Shape, batch: int) -> int:
        """How many rows the readout judges at once, at most, of up to so many samples."""

    def collects(self, in_shape: Shape, batch: int) -> bool:
        """Whether `learn` moves `into` while it still reads parameters: then it is not they."""

    def judged(self, a: F32) -> F32:
        """What the readout sees of final activations (batch, *out_shape): (batch, features)."""

    def emit_judged(self, b: Builder, a: str) -> str:
        """`judged` as nodes of a Graph."""

    def learn(self, params: Params, x: F32, out: F32, lesson: Lesson) -> Trace[F32]:
        """`forward` to `out`, and a descent of the local loss, ``into -= rate * d params``."""

    def emit_learn(
        self, b: Builder, params: Names, x: str, labels: str, readout: Readout, p: str | None
    ) -> Learning:
        """`learn` as nodes of a Graph; `p` is the projection."""


@runtime_checkable
class Follower(Layer, Protocol):
    """A layer whose parameters follow its inputs: they move with the data, down no loss."""

    def follow(self, params: Params, x: F32, scratch: F32) -> None:
        """Move `params` towards what inputs `x` say."""

    def emit_follow(self, b: Builder, params: Names, x: str, samples: str) -> Names:
        """`follow` as nodes of a Graph: the new value of each of `params`.

        `samples` is the number of samples of `x`, or 0 if nothing is to move.
        """


@runtime_checkable
class Streamer(Layer, Protocol):
    """A layer of sequences that can read them one time step at a time, as they come."""

    def emit_step(self, b: Builder, params: Names, x: str, name: str) -> str:
        """One time step `x` (batch, features) as nodes, what it remembers as states ``name.h``.

        The activation: one time step too, or what the layer returns of all steps so far.

        Raises
        ------
        ConfigError
            If the layer needs to know the end.
        """


@runtime_checkable
class Sparse(Layer, Protocol):
    """A layer that can learn with the weights alone that are left of pruned matrices.

    Its `forward` and `update`, or `learn`, take vectors of them in the place of these parameters;
    `edgelearn.layers.places_of` says where they are. `into` then holds such vectors too.
    """

    @property
    def sparse(self) -> tuple[str, ...]:
        """Names of the parameters of which that is so."""

    def scratch_size(self, in_shape: Shape, batch: int, kept: Collection[str] = ()) -> int:
        """Elements of the work space, if of the parameters `kept` only some weights are there."""


@runtime_checkable
class Starter(Layer, Protocol):
    """A layer that can take its first parameters from inputs without labels."""

    @property
    def starts_from_data(self) -> bool:
        """Whether the settings ask for it."""

    def start_bytes(self, in_shape: Shape, batch: int) -> int:
        """Bytes of the arrays of `start` besides its parameters, for batches of so many inputs."""

    def start(self, params: Params, inputs: Iterable[F32]) -> None:
        """Set `params` from batches of inputs, each of shape (batch, *in_shape)."""


@runtime_checkable
class Dropper(Layer, Protocol):
    """A layer that does something else while those that read it learn, and by chance."""

    def drop(self, x: F32, out: F32, key: int, step: int) -> Trace[F32]:
        """What it does then, written to `out`; in step 0 the same as `forward`.

        Parameters
        ----------
        x, out : array, shape (batch, *in_shape)
        key : int
            62 bits: the layer's own chance.
        step : int
            The number of the step, below 2**24.
        """

    def emit_drop(self, b: Builder, x: str, key: int, step: str) -> Trace[str]:
        """`drop` as nodes of a Graph; `step` is an int64 scalar."""


class LayerModule(Protocol):
    """What a module of this package must hold."""

    LAYER: Any
    EXAMPLES: Any
