"""Readouts: how a block is judged by the labels, and the error it learns from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgelearn import kernels
from edgelearn.arrays import F32, Array
from edgelearn.ir.builder import Builder
from edgelearn.ir.ops import AddOuter
from edgelearn.losses import CrossEntropy, Likelihood, Loss
from edgelearn.views import View


@dataclass(frozen=True, slots=True, eq=False)
class Workspace:
    """Room for one readout: features and their error (batch, size), slopes (batch, classes).

    `loss`, (2,), collects the loss and how many guesses are right.
    """

    features: F32
    error: F32
    slopes: F32
    loss: F32

    def rows(self, count: int) -> Workspace:
        """Its first `count` rows."""
        return Workspace(self.features[:count], self.error[:count], self.slopes[:count], self.loss)


@dataclass(frozen=True, slots=True, eq=False)
class Readout:
    """The local loss of one block.

    Attributes
    ----------
    view : View
        What is seen of the activation.
    loss : Loss
    projection : array or None
        Shape (classes, features); None for the head, whose activation has an element a class.
    learns : bool
        Whether the projection is a parameter too, ``dense1.p``.
    """

    view: View
    loss: Loss
    projection: F32 | None
    learns: bool

    @property
    def is_head(self) -> bool:
        """Whether the activation itself is the answer."""
        return self.projection is None

    @property
    def tells_probabilities(self) -> bool:
        """Whether the softmax of its scores is a probability that training made it tell."""
        return isinstance(self.loss, CrossEntropy | Likelihood)

    def scores(self, a: F32, features: F32) -> Array:
        """What the block says of each class, shape (batch, classes); the largest is its guess."""
        seen = self.view.of(a, features)
        return seen if self.projection is None else seen @ self.projection.T

    def error(self, a: F32, labels: Array, space: Workspace) -> F32:
        """The derivative of the summed local loss by `a`, coarse as `Learner.update` takes it.

        Adds to `space.loss`, and leaves in `space` what `descend` needs.
        """
        seen = self.view.of(a, space.features)
        self.loss.error(seen, labels, self.projection, space.slopes, space.error, space.loss)
        return self.view.back(space.error)

    def descend(self, a: F32, rate: float, into: F32, space: Workspace) -> None:
        """Move a learned projection ``into -= rate * slopes.T @ features``, after `error`."""
        seen = space.features if self.view.copies else a.reshape(len(a), -1)
        step = np.multiply(space.slopes, np.float32(-rate), out=space.slopes)
        kernels.dense.add_outer(step, seen, into)

    def emit_scores(self, b: Builder, a: str, p: str | None) -> str:
        """`scores` as nodes of a Graph."""
        seen = self.view.emit(b, a)
        return seen if p is None else b.matmul(seen, p, transpose_b=True)

    def emit_error(self, b: Builder, a: str, labels: str, p: str | None) -> Emitted:
        """`error` as nodes of a Graph."""
        seen = self.view.emit(b, a)
        e, slopes = self.loss.emit_error(b, seen, labels, p)
        return Emitted(self.view.emit_back(b, e), seen, slopes)


@dataclass(frozen=True, slots=True)
class Emitted:
    """Names of the error of the activation, of the features, and of slopes, if the loss has any."""

    error: str
    features: str
    slopes: str | None

    def descend(self, b: Builder, rate: str, into: str) -> str:
        """The new value of a learned projection, as nodes."""
        assert self.slopes is not None  # noqa: S101  config refuses learned targets
        step = b.binary("mul", self.slopes, b.unary("neg", rate))
        return b.apply(AddOuter(), into, step, self.features, name=b.fresh("p"))
