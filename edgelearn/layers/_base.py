"""What every layer is: frozen settings; its parameters are passed in and out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeAlias, TypeVar

from edgelearn.arrays import F32, Shape
from edgelearn.ir.builder import Builder

Params: TypeAlias = dict[str, F32]
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

    The engine's methods (`forward`, `local_update`) and the Graph's (`emit`, `emit_update`)
    say the same thing twice, for speed; tests hold them together.
    """

    kind: ClassVar[str]
    """The word that recipes use."""

    @property
    def is_head(self) -> bool:
        """Whether the activation is a distribution over classes, so that it can stand last."""

    def out_shape(self, in_shape: Shape) -> Shape:
        """Shape of one sample's activation for inputs of `in_shape`."""

    def init(self, in_shape: Shape, seed: int, index: int) -> Params:
        """First parameters of layer number `index`; they follow from `seed`."""

    def scratch_shape(self, in_shape: Shape, batch: int) -> Shape:
        """Shape of the float32 work space of `local_update`."""

    def forward(self, params: Params, x: F32, out: F32) -> Trace[F32]:
        """The activation, written to `out`, shape (batch, *out_shape)."""

    def local_update(
        self, params: Params, trace: Trace[F32], e: F32, rate: float, scratch: F32
    ) -> None:
        """Descend the local loss: ``params -= rate * d params`` in place.

        `e`, shape (batch, *out_shape), is the derivative of the summed local loss by the
        activation (by the pre-activation for a softmax head); it is used up.
        """

    def emit(self, b: Builder, params: dict[str, str], x: str) -> Trace[str]:
        """`forward` as nodes of a Graph."""

    def emit_update(
        self, b: Builder, params: dict[str, str], trace: Trace[str], e: str, rate: str
    ) -> dict[str, str]:
        """`local_update` as nodes of a Graph: the new value of each parameter."""


class LayerModule(Protocol):
    """What a module of this package must hold."""

    LAYER: Any
    EXAMPLES: Any
