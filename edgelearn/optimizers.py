"""How a local gradient becomes a step. What each remembers is a cost in memory, stated here.

======== ============================ ==========================
name     remembered a parameter       besides, while a layer learns
======== ============================ ==========================
sgd      nothing                      nothing: updates in place, but for layers that collect
momentum 4 bytes                      nothing
adam     8 bytes                      a gradient of the largest layer
======== ============================ ==========================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import numpy as np

from edgelearn import kernels
from edgelearn.arrays import F32
from edgelearn.ir.builder import Builder
from edgelearn.layers import Descent, Names, Params

OptimizerKind: TypeAlias = Literal["sgd", "momentum", "adam"]


class Optimizer(Protocol):
    """Where gradients go, and how parameters follow.

    `learned` are the parameters of one block, `moments` what is remembered of them.
    """

    def holds_gradient(self, collects: bool) -> bool:
        """Whether a whole gradient must be held while a block learns.

        A block that `collects` says it before its parameters may move.
        """

    def moments(self, learned: Params) -> Params:
        """What is remembered, before the first step."""

    def target(
        self, learned: Params, moments: Params, gradient: F32, rate: float, samples: int
    ) -> tuple[Params, float]:
        """What a layer descends into, and at which rate for the sum over `samples`."""

    def apply(self, learned: Params, moments: Params, into: Params, rate: float) -> None:
        """Move the parameters, when the layer has descended."""

    def emit(
        self, b: Builder, learned: Names, moments: Names, rate: str, samples: str, f: Descent
    ) -> Names:
        """All of it as nodes: the new value of each parameter and moment."""


@dataclass(frozen=True)
class Sgd:
    """Stochastic gradient descent, in place where nothing must be collected first."""

    def holds_gradient(self, collects: bool) -> bool:
        return collects

    def moments(self, learned: Params) -> Params:
        return {}

    def target(
        self, learned: Params, moments: Params, gradient: F32, rate: float, samples: int
    ) -> tuple[Params, float]:
        into = _held(learned, gradient) if gradient.size else learned
        return into, rate / samples

    def apply(self, learned: Params, moments: Params, into: Params, rate: float) -> None:
        if into is not learned:
            for key, value in learned.items():
                kernels.moments.follow(into[key].ravel(), -1.0, value.ravel())

    def emit(
        self, b: Builder, learned: Names, moments: Names, rate: str, samples: str, f: Descent
    ) -> Names:
        return f(b.binary("div", rate, samples), learned)


@dataclass(frozen=True)
class Momentum:
    """Heavy ball (Polyak 1964): ``v = 0.9 * v + gradient``, ``p -= rate * v``."""

    keep = 0.9

    def holds_gradient(self, collects: bool) -> bool:
        return False

    def moments(self, learned: Params) -> Params:
        return {f"{key}.velocity": np.zeros_like(value) for key, value in learned.items()}

    def target(
        self, learned: Params, moments: Params, gradient: F32, rate: float, samples: int
    ) -> tuple[Params, float]:
        into = {key: moments[f"{key}.velocity"] for key in learned}
        for velocity in into.values():
            np.multiply(velocity, np.float32(self.keep), out=velocity)
        return into, -1 / samples

    def apply(self, learned: Params, moments: Params, into: Params, rate: float) -> None:
        for key, value in learned.items():
            kernels.moments.follow(into[key].ravel(), rate, value.ravel())

    def emit(
        self, b: Builder, learned: Names, moments: Names, rate: str, samples: str, f: Descent
    ) -> Names:
        keep = b.scalar(self.keep)
        into = {key: b.binary("mul", moments[f"{key}.velocity"], keep) for key in learned}
        found = f(b.binary("div", b.scalar(-1), samples), into)
        new = {f"{key}.velocity": velocity for key, velocity in found.items()}
        for key, velocity in found.items():
            new[key] = b.binary("sub", learned[key], b.binary("mul", rate, velocity))
        return new


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba 2015, arXiv:1412.6980), beta 0.9 and 0.999, epsilon 1e-8."""

    beta1 = 0.9
    beta2 = 0.999

    def holds_gradient(self, collects: bool) -> bool:
        return True

    def moments(self, learned: Params) -> Params:
        found = {"decay1": np.ones(1, np.float32), "decay2": np.ones(1, np.float32)}
        for key, value in learned.items():
            found |= {f"{key}.m": np.zeros_like(value), f"{key}.v": np.zeros_like(value)}
        return found

    def target(
        self, learned: Params, moments: Params, gradient: F32, rate: float, samples: int
    ) -> tuple[Params, float]:
        return _held(learned, gradient), -1 / samples

    def apply(self, learned: Params, moments: Params, into: Params, rate: float) -> None:
        one = np.float32(1)
        first, second = moments["decay1"], moments["decay2"]
        first *= np.float32(self.beta1)
        second *= np.float32(self.beta2)
        step = float(np.float32(rate) / (one - first[0]))
        spread = float(one / np.sqrt(one - second[0]))
        for key, value in learned.items():
            m, v = moments[f"{key}.m"].ravel(), moments[f"{key}.v"].ravel()
            kernels.moments.adam(into[key].ravel(), step, spread, m, v, value.ravel())

    def emit(
        self, b: Builder, learned: Names, moments: Names, rate: str, samples: str, f: Descent
    ) -> Names:
        zeros = {key: b.binary("sub", value, value) for key, value in learned.items()}
        gradients = f(b.binary("div", b.scalar(-1), samples), zeros)
        one = b.scalar(1)
        first = b.binary("mul", moments["decay1"], b.scalar(self.beta1))
        second = b.binary("mul", moments["decay2"], b.scalar(self.beta2))
        step = b.binary("div", rate, b.binary("sub", one, first))
        spread = b.binary("div", one, b.unary("sqrt", b.binary("sub", one, second)))
        new = {"decay1": first, "decay2": second}
        for key, gradient in gradients.items():
            square = b.binary("mul", gradient, gradient)
            m = _emit_blend(b, moments[f"{key}.m"], gradient, self.beta1)
            v = _emit_blend(b, moments[f"{key}.v"], square, self.beta2)
            size = b.binary("mul", spread, b.unary("sqrt", v))
            move = b.binary("div", b.binary("mul", step, m), b.binary("add", size, b.scalar(1e-8)))
            new |= {key: b.binary("sub", learned[key], move), f"{key}.m": m, f"{key}.v": v}
        return new


def _held(learned: Params, gradient: F32) -> Params:
    """Zeros of the shapes of `learned`, in `gradient`."""
    into, start = {}, 0
    for key, value in learned.items():
        into[key] = gradient[start : start + value.size].reshape(value.shape)
        start += value.size
    gradient[:] = 0
    return into


def _emit_blend(b: Builder, old: str, fresh: str, keep: float) -> str:
    rest = b.scalar(float(np.float32(1) - np.float32(keep)))
    return b.binary("add", b.binary("mul", old, b.scalar(keep)), b.binary("mul", fresh, rest))


OPTIMIZERS: Mapping[OptimizerKind, Optimizer] = {
    "sgd": Sgd(),
    "momentum": Momentum(),
    "adam": Adam(),
}
"""Every optimiser by the word that recipes use."""
