"""Readouts: how a block is judged by the labels, and the error it learns from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgelearn import kernels
from edgelearn.arrays import F32, Array
from edgelearn.ir.builder import Builder
from edgelearn.ir.ops import AddOuter
from edgelearn.losses import CrossEntropy, HeadLoss, Likelihood, Loss, ReadoutLoss, Workspace
from edgelearn.targets import SignRows
from edgelearn.views import View

__all__ = ["Emitted", "Readout", "Workspace"]


@dataclass(frozen=True, slots=True, eq=False)
class Readout:
    """The local loss of one block.

    Attributes
    ----------
    view : View
        What is seen of the activation.
    loss : Loss
    projection : array, SignRows or None
        Shape (classes, features); None for the head, whose activation has an element a class, and
        for a loss that reads out no scores.
    learns : bool
        Whether the projection is a parameter too, ``dense1.p``.
    is_head : bool
        Whether the activation itself is the answer.
    """

    view: View
    loss: Loss
    projection: F32 | SignRows | None
    learns: bool
    is_head: bool = False

    @property
    def has_scores(self) -> bool:
        """Whether it says something of each class."""
        return self.is_head or self.projection is not None

    @property
    def copied(self) -> int:
        """Features of a sample that need room of their own."""
        return self.view.size if self.view.copies else 0

    @property
    def read_out(self) -> int:
        """Scores of a sample that need room of their own."""
        return 0 if self.projection is None else len(self.projection)

    @property
    def guesses(self) -> bool:
        """Whether the largest of its scores is a guess of the class."""
        return self.has_scores and self.loss.task == "classes"

    def work_size(self, rows: int) -> int:
        """Elements of `Workspace.work` for so many rows of features."""
        p = self.projection
        made = p.work_size(rows) if isinstance(p, SignRows) else 0
        return made + self.loss.work_size(rows, self.view.size)

    @property
    def held(self) -> F32 | None:
        """The projection as an array, if there is one and it is held whole."""
        return None if isinstance(self.projection, SignRows) else self.projection

    def constant(self) -> F32 | None:
        """The whole projection, for a Graph."""
        p = self.projection
        return p.whole() if isinstance(p, SignRows) else p

    @property
    def tells_probabilities(self) -> bool:
        """Whether the softmax of its scores is a probability that training made it tell."""
        return isinstance(self.loss, CrossEntropy | Likelihood)

    def scores(self, a: F32, features: F32) -> Array:
        """What the block says of each class, shape (batch, classes); the largest is its guess."""
        seen, p = self.view.of(a, features), self.projection
        if isinstance(p, SignRows):
            found = np.empty((len(seen), len(p)), np.float32)
            p.scores(seen, found, np.empty(p.work_size(0), np.float32))
            return found
        return seen if p is None else seen @ p.T

    def count_right(self, a: F32, labels: Array, space: Workspace) -> None:
        """Add to `space.loss` how many guesses are right, if it guesses a class."""
        if not self.guesses:
            return
        seen, p = self.view.of(a, space.features), self.projection
        if isinstance(p, SignRows):
            p.scores(seen, space.slopes, space.work)
        elif p is not None:
            np.matmul(seen, p.T, out=space.slopes)
        kernels.errors.count_right(labels, seen if p is None else space.slopes, space.loss)

    def error(self, a: F32, labels: Array, space: Workspace) -> F32:
        """The derivative of the summed local loss by `a`, coarse as `Learner.update` takes it.

        Adds to `space.loss`, and leaves in `space` what `descend` needs.
        """
        seen, p = self.view.of(a, space.features), self.projection
        if isinstance(p, SignRows):
            assert isinstance(self.loss, ReadoutLoss)  # noqa: S101  the recipe was checked
            p.scores(seen, space.slopes, space.work)
            self.loss.judge(labels, space.slopes, space.loss)
            p.back(space.slopes, space.error, space.work)
        else:
            self.loss.error(seen, labels, p, space)
        return self.view.back(space.error)

    def descend(self, a: F32, rate: float, into: F32, space: Workspace) -> None:
        """Move a learned projection ``into -= rate * slopes.T @ features``, after `error`."""
        seen = space.features if self.view.copies else a.reshape(len(a), -1)
        step = np.multiply(space.slopes, np.float32(-rate), out=space.slopes)
        kernels.dense.add_outer(step, seen, into)

    @property
    def head_loss(self) -> HeadLoss:
        """The loss of a head."""
        assert isinstance(self.loss, HeadLoss)  # noqa: S101  the network checked it
        return self.loss

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

    def descend(self, b: Builder, down: str, into: str) -> str:
        """The new value of a learned projection, as nodes; `down` is minus the rate."""
        assert self.slopes is not None  # noqa: S101  config refuses learned targets
        step = b.binary("mul", self.slopes, down)
        return b.apply(AddOuter(), into, step, self.features, name=b.fresh("p"))
