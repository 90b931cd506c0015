"""Leading components of a stream of rows, in memory of their own size: no covariance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgelearn.arrays import F32
from edgelearn.rng import Stream, normal

ROWS = 32
"""Rows of one step."""
RATE, DELAY = 8.0, 10.0
"""Step t goes ``RATE / (DELAY + t)`` of the way (as a share of a component's variance)."""


class Oja:
    """The first `components` principal components of rows of `size` elements, in one pass.

    It holds the components and `ROWS` rows, 8 bytes an element.

    Notes
    -----
    Sanger's rule (1989, the generalised Hebbian algorithm): with ``y = x w`` each component moves
    by ``y_k x``, less what is in the components up to it. His sum of ``y_k y_j w_j`` is that to the
    first order; here it is done to the end by orthogonalising in order (Oja & Karhunen 1985),
    which bears the rates that one pass needs. A component's step is divided by the running
    variance of its `y`, so that small ones keep pace.
    """

    def __init__(self, size: int, components: int) -> None:
        drawn = normal(0, Stream.START, size, (size, min(components, size)))
        self._w = np.linalg.qr(drawn)[0]
        self._values = np.zeros(self._w.shape[1])
        self._rows = np.empty((ROWS, size))
        self._held = self._steps = self._count = 0
        self._mean = np.zeros(size)
        self._square = 0.0

    @staticmethod
    def bytes(size: int, components: int, groups: int) -> int:
        """Bytes at the most, of so many at a time: the components, the rows, steps of one."""
        found = min(components, size)
        return 8 * size * ((found + ROWS) * groups + 4 * found + 2 * ROWS)

    def add(self, rows: F32) -> None:
        """Count these `rows`, shape (n, size), in."""
        while len(rows):
            part = rows[: ROWS - self._held]
            self._rows[self._held : self._held + len(part)] = part
            self._held += len(part)
            rows = rows[len(part) :]
            if self._held == ROWS:
                self._step()

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean row."""
        return self._mean

    @property
    def mean_variance(self) -> float:
        """The mean of the variances of all elements."""
        return self._square / max(self._count, 1) / self._mean.size

    def leading(self, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Variances of the first `count` components, and the components (size, count)."""
        if self._held:
            self._step()
        return self._values[:count], self._w[:, :count]

    def _step(self) -> None:
        """Learn from the rows that are held, and let them go."""
        x, self._held = self._rows[: self._held], 0
        self._count += len(x)
        self._steps += 1
        self._mean += (x.mean(axis=0) - self._mean) * (len(x) / self._count)
        x -= self._mean
        self._square += float((x * x).sum())
        y = x @ self._w
        seen = (y * y).mean(axis=0)
        self._values += (seen - self._values) * max(1 / self._steps, 2 / (DELAY + self._steps))
        rate = RATE / (DELAY + self._steps)
        tiny = np.finfo(np.float64).tiny
        self._w += rate * (x.T @ y) / len(x) / (self._values + tiny)
        self._w, r = np.linalg.qr(self._w)
        self._w *= np.where(np.diag(r) < 0, -1.0, 1.0)
