"""Errors that come straight to every layer: local learning by losses that do not ask the layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from edgelearn.arrays import F32, Array
from edgelearn.block import Block
from edgelearn.buffers import Buffers
from edgelearn.config import Method
from edgelearn.engine import forward, train_step
from edgelearn.errors import ConfigError
from edgelearn.ir.builder import Builder
from edgelearn.ir.ops import Gather
from edgelearn.losses import Loss, Workspace
from edgelearn.network import Network
from edgelearn.readout import Readout


@dataclass(frozen=True, slots=True)
class Toward(Loss):
    """The loss of direct random target projection: ``e = -p[label]``, of values ``-y @ p``."""

    def error(self, a: F32, labels: Array, p: F32 | None, space: Workspace) -> None:
        assert p is not None  # noqa: S101  the head has its own loss
        if labels.ndim == 1:
            np.take(p, labels, axis=0, out=space.error, mode="clip")
        else:
            np.matmul(labels, p, out=space.error)
        np.negative(space.error, out=space.error)

    def emit_error(self, b: Builder, a: str, labels: str, p: str | None) -> tuple[str, str | None]:
        assert p is not None  # noqa: S101  the head has its own loss
        if b.specs[labels].dtype == "float32":
            return b.unary("neg", b.matmul(labels, p)), None
        return b.unary("neg", b.apply(Gather(), p, labels)), None


@dataclass(frozen=True, slots=True, eq=False)
class Sent(Loss):
    """The loss of direct feedback alignment: the error at the head, through the projection.

    Attributes
    ----------
    value : str
        What the error at the head is called in a Graph.
    slopes : array, shape (samples, classes or outputs), optional
        The same for the engine; where other losses have labels, this one then has the numbers of
        the samples.
    """

    value: str = ""
    slopes: F32 | None = None

    def error(self, a: F32, labels: Array, p: F32 | None, space: Workspace) -> None:
        assert self.slopes is not None  # noqa: S101  the engine's has them
        sent = space.error if p is None else space.slopes
        np.take(self.slopes, labels, axis=0, out=sent, mode="clip")
        if p is not None:
            np.matmul(sent, p, out=space.error)

    def emit_error(self, b: Builder, a: str, labels: str, p: str | None) -> tuple[str, str | None]:
        return self.value if p is None else b.matmul(self.value, p), None


def toward(readout: Readout) -> Loss:
    """The loss that takes the place of that of `readout` in direct random target projection."""
    return readout.loss if readout.is_head else Toward()


class Direct:
    """Steps of drtp and dfa. The latter runs forward twice instead of keeping activations."""

    def __init__(self, network: Network, method: Method, batch: int) -> None:
        require_projections(network, method)
        self._head = network.head
        self.buffers = Buffers(network, batch)
        self._slopes: F32 | None = None
        if method == "drtp":
            told = with_losses(network, toward)
        else:
            self._slopes = np.empty((batch, network.width), np.float32)
            loss = Sent(slopes=self._slopes)
            told = with_losses(network, lambda _: loss)
        self._learning = self.buffers.sharing(told)

    def step(self, x: F32, labels: Array, lr: float) -> float:
        """As `edgelearn.controls.Control` says."""
        blocks = self._learning.network.learning()
        self._learning.step = self.buffers.step
        if self._slopes is None:
            loss = train_step(self._learning, x, labels, lr, blocks)
        else:
            loss = self._look(x, labels, lr, self._slopes[: len(x)])
            train_step(self._learning, x, np.arange(len(x)), lr, blocks)
        self.buffers.step = self._learning.step
        return loss

    def _look(self, x: F32, labels: Array, lr: float, slopes: F32) -> float:
        """Write the error at the head to `slopes`; the mean loss."""
        buffers = self.buffers
        buffers.step += lr > 0
        a = forward(x, buffers, buffers.network.learning() if lr > 0 else ())
        buffers.loss[:] = 0
        space = buffers.room(len(buffers.network.blocks) - 1, len(x)).space
        slopes[:] = self._head.error(a, labels, space)
        return float(buffers.loss[0]) / len(x)


def require_projections(network: Network, method: Method) -> None:
    """Raise `ConfigError` if a hidden block has no projection that an error could come through."""
    for block in network.blocks:
        readout = block.readout
        if readout is not None and not readout.is_head and readout.held is None:
            raise ConfigError(
                f"layer {block.name!r}, method {method!r}",
                expected="a loss with a projection of the labels that is held, no chunk of it",
                got="one without",
                fix="train with method = 'tpsgd' or 'shallow'",
            )


def with_losses(network: Network, loss: Callable[[Readout], Loss]) -> Network:
    """`network`, its arrays shared, with other losses, and projections that stay as they are."""
    return replace(network, blocks=tuple(_with_loss(block, loss) for block in network.blocks))


def _with_loss(block: Block, loss: Callable[[Readout], Loss]) -> Block:
    if block.readout is None:
        return block
    readout = replace(block.readout, loss=loss(block.readout), learns=False)
    moments = {key: value for key, value in block.moments.items() if not key.startswith("p.")}
    return replace(block, readout=readout, moments=moments)
