"""Input normalisation: fitted on training data once, then part of the engine and the Graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edgelearn.arrays import F32, Array, Shape, as_f32
from edgelearn.config import InputConfig

CHUNK = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Normalizer:
    """``(x - mean) * scale``; both of shape () or of one sample.

    >>> n = Normalizer.fit(InputConfig(normalize="standard"), np.array([[0.0], [2.0]]))
    >>> n.mean.tolist(), n.scale.tolist()
    ([1.0], [1.0])
    """

    mean: F32
    scale: F32

    @classmethod
    def fit(cls, config: InputConfig, x: Array) -> Normalizer | None:
        """The normaliser that `config` asks for on training data `x`, or None.

        A feature that never changes is centred and left at that.
        """
        if config.normalize == "none":
            return None
        axis = None if config.over == "all" else 0
        if config.normalize == "standard":
            middle = np.mean(x, axis=axis, dtype=np.float64)
            total = sum(np.sum((c - middle) ** 2, axis=axis, keepdims=False) for c in _chunks(x))
            count = x.size / np.size(middle)
            spread = np.sqrt(np.asarray(total) / count)
        else:
            middle = np.asarray(x.min(axis=axis), np.float64)
            spread = np.asarray(x.max(axis=axis), np.float64) - middle
        return cls(as_f32(middle), as_f32(1 / np.where(spread > 0, spread, 1)))

    @classmethod
    def blank(cls, config: InputConfig, in_shape: Shape) -> Normalizer | None:
        """One that changes nothing, of the shape that `fit` would give: for planning."""
        if config.normalize == "none":
            return None
        shape = () if config.over == "all" else in_shape
        return cls(np.zeros(shape, np.float32), np.ones(shape, np.float32))

    @property
    def nbytes(self) -> int:
        """Bytes of both arrays."""
        return self.mean.nbytes + self.scale.nbytes


def _chunks(x: Array) -> Iterator[Array]:
    for start in range(0, len(x), CHUNK):
        yield x[start : start + CHUNK].astype(np.float64)
