"""Gradient noise: a little of chance in every update, less and less of it."""

from __future__ import annotations

from dataclasses import dataclass

from edgelearn import kernels
from edgelearn.layers import Params
from edgelearn.rng import Stream, key

DECAY = 0.55


@dataclass(frozen=True, slots=True)
class Noise:
    """Normal noise on the gradient of one step, of variance ``eta / (1 + step) ** 0.55``.

    It follows from the seed and the number of the step: a resumed run has the same. No memory; a
    logarithm, a root, a sine and a cosine for two parameters.

    Notes
    -----
    Source: Neelakantan et al. 2015, arXiv:1511.06807, which tries eta 0.01, 0.3 and 1.
    """

    eta: float
    seed: int
    step: int

    def add(self, block: int, into: Params, rate: float) -> None:
        """Let `into`, what block number `block` descends into, descend the noise: ``-= rate *``."""
        number = key(self.seed, Stream.NOISE, (self.step << 16) + block)
        deviation = (self.eta / (1 + self.step) ** DECAY) ** 0.5
        first = 0
        for value in into.values():
            kernels.noise.add_normal(number, first, -rate * deviation, value.ravel())
            first += (value.size + 1) // 2
