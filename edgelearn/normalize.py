"""Scales of inputs and outputs: fitted on training data, then part of engine and Graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edgelearn.arrays import F32, Array, Shape, as_f32
from edgelearn.config import InputConfig

CHUNK = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Normalizer:
    """``(x - mean) * scale``; both of shape (), of the channels, or of one sample.

    Masked samples have a last channel that says which steps are real: only those count, and the
    channel itself stays as it is.

    >>> n = Normalizer.fit(InputConfig(normalize="standard"), np.array([[0.0], [2.0]]))
    >>> n.mean.tolist(), n.scale.tolist()
    ([1.0], [1.0])
    """

    mean: F32
    scale: F32

    @classmethod
    def fit(cls, config: InputConfig, x: Array, masked: bool = False) -> Normalizer | None:  # noqa: FBT002
        """The normaliser that `config` asks for on training data `x`, or None.

        A feature that never changes is centred and left at that.
        """
        if config.normalize == "none":
            return None
        mean, scale = _fit_masked(config, x) if masked else _fit(config, x)
        return cls(as_f32(mean), as_f32(scale))

    @classmethod
    def blank(
        cls,
        config: InputConfig,
        in_shape: Shape,
        masked: bool = False,  # noqa: FBT002
    ) -> Normalizer | None:
        """One that changes nothing, of the shape that `fit` would give: for planning."""
        if config.normalize == "none":
            return None
        all_shape = in_shape[-1:] if masked else ()
        shape = {"all": all_shape, "channel": in_shape[-1:], "feature": in_shape}[config.over]
        return cls(np.zeros(shape, np.float32), np.ones(shape, np.float32))

    @property
    def nbytes(self) -> int:
        """Bytes of both arrays."""
        return self.mean.nbytes + self.scale.nbytes


def _fit(config: InputConfig, x: Array) -> tuple[Array, Array]:
    axes = {"all": None, "channel": tuple(range(x.ndim - 1)), "feature": 0}
    axis = axes[config.over]
    if config.normalize == "standard":
        middle = np.mean(x, axis=axis, dtype=np.float64)
        total = sum(np.sum((c - middle) ** 2, axis=axis, keepdims=False) for c in _chunks(x))
        count = x.size / np.size(middle)
        spread = np.sqrt(np.asarray(total) / count)
    else:
        middle = np.asarray(x.min(axis=axis), np.float64)
        spread = np.asarray(x.max(axis=axis), np.float64) - middle
    return np.asarray(middle), 1 / np.where(spread > 0, spread, 1)


def _fit_masked(config: InputConfig, x: Array) -> tuple[Array, Array]:
    """Of the real steps alone; where no sample has a step, nothing changes."""
    real = x[..., -1] != 0
    mean, scale = np.zeros(x.shape[1:]), np.ones(x.shape[1:])
    if config.over != "feature":
        mean[0, :-1], scale[0, :-1] = _fit(config, x[real, :-1])
        return mean[0], scale[0]
    for step in np.flatnonzero(real.any(axis=0)):
        mean[step, :-1], scale[step, :-1] = _fit(config, x[real[:, step], step, :-1])
    return mean, scale


def _chunks(x: Array) -> Iterator[Array]:
    for start in range(0, len(x), CHUNK):
        yield x[start : start + CHUNK].astype(np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Outputs:
    """What a regression predicts: names, and the scale that it learns in, ``(y - mean) / spread``.

    Attributes
    ----------
    names : tuple of str
    mean, spread : array, shape (outputs,)
        Of the training targets.
    """

    names: tuple[str, ...]
    mean: F32
    spread: F32

    @classmethod
    def fit(cls, names: tuple[str, ...], y: F32) -> Outputs:
        """Mean 0 and deviation 1 for targets `y`, (samples, outputs).

        >>> Outputs.fit(("volts",), np.array([[1.0], [5.0]], np.float32)).spread.tolist()
        [2.0]
        """
        wide = y.astype(np.float64)
        spread = wide.std(axis=0)
        return cls(names, as_f32(wide.mean(axis=0)), as_f32(np.where(spread > 0, spread, 1)))

    @classmethod
    def blank(cls, names: tuple[str, ...]) -> Outputs:
        """Those whose scale changes nothing: for planning."""
        return cls(names, np.zeros(len(names), np.float32), np.ones(len(names), np.float32))

    @property
    def nbytes(self) -> int:
        """Bytes of both arrays."""
        return self.mean.nbytes + self.spread.nbytes

    def standardise(self, y: F32) -> None:
        """Targets `y`, (batch, outputs), to the scale that is learned in, in place."""
        y -= self.mean
        y /= self.spread

    def restored(self, a: F32) -> F32:
        """Activations of the head in the units of the targets."""
        return a * self.spread + self.mean
