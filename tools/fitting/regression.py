"""Prices from measured times: a maximum a posteriori fit of logarithms."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from edgelearn.arrays import Array

NOISE = 0.08
"""Standard deviation of a measured time's logarithm that is taken as certain: repeated runs and
neighbouring versions of one runtime differ by as much."""
ROBUST = 0.15
"""From this difference of logarithms on, an error counts as its size and not its square."""
ROUNDS, SETTLED = 200, 2e-3
"""At most so many turns between prices of settings and what they share; fewer if no price of
the profile moves by more. Every fit starts from the same prior: one that started from a fit to all
rows would know what is held out."""


@dataclass(frozen=True, slots=True)
class Prior:
    """Prices before any measurement, in operations at the peak rate; only relations matter.

    `spread` says how far, in logarithms, those of a pool lie from them, `device_spread` how far
    those of one setting from its pool's.
    """

    prices: Array
    spread: float
    device_spread: float


BOARDS = Prior(
    np.log(
        [
            4.5, 1.8, 4.5, 6, 3, 7.5, 4.5,  # a multiply-accumulate: 2 at best, Winograd's less
            4.5, 4.5, 4.5, 1.5, 1.5,  # a byte
            15, 3, 1.5,  # a transformed element, an unaligned multiply-accumulate
            1.5e5,  # a start
        ]
    ),
    spread=1.5,
    device_spread=0.5,
)  # fmt: skip
MICROCONTROLLERS = Prior(
    np.log(
        [
            # As many instructions CMSIS-NN's kernels need, counted under emulation: 2.2 to 2.4
            # for dense layers and convolutions, about 8 for depthwise ones. No Winograd.
            2.4, 2.4, 2.4, 4.8, 2.4, 8, 2.4,
            1, 1, 1, 0.25, 0.25,
            0.01, 0.1, 0.05,
            3000,
        ]
    ),
    # Stiff, for most engines were measured with four networks that are all of other kinds.
    spread=0.3,
    device_spread=0.2,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sample:
    """Measured networks of one setting: amounts (networks, amounts) and seconds."""

    amounts: Array
    seconds: Array


@dataclass(frozen=True, slots=True)
class PoolFit:
    """A common profile of log prices, each setting's scale above it, and its own prices."""

    profile: Array
    scales: dict[str, float] = field(default_factory=dict)
    prices: dict[str, Array] = field(default_factory=dict)


def fit_one(sample: Sample, prior: Array, spread: float, start: Array | None = None) -> Array:
    """Log prices that explain `sample` best, drawn to `prior`; damped Gauss-Newton steps."""
    prices = (prior if start is None else start).copy()
    damping, loss = 1e-3, _loss(sample, prices, prior, spread)
    for _ in range(40):
        step_matrix, slope = _normal_equations(sample, prices, prior, spread)
        gain = 0.0
        while damping < 1e8:
            scaled = step_matrix + damping * np.diag(np.diag(step_matrix))
            moved = prices - np.clip(np.linalg.solve(scaled, slope), -1, 1)
            new_loss = _loss(sample, moved, prior, spread)
            if new_loss <= loss:
                gain, prices, loss = loss - new_loss, moved, new_loss
                damping = max(damping / 5, 1e-6)
                break
            damping *= 5
        if gain < 1e-4:
            return prices
    return prices


def _loss(sample: Sample, prices: Array, prior: Array, spread: float) -> float:
    error = np.abs(np.log(sample.amounts @ np.exp(prices)) - np.log(sample.seconds))
    huber = np.where(error < ROBUST, error**2, 2 * ROBUST * error - ROBUST**2)
    return float(huber.sum() / NOISE**2 + (((prices - prior) / spread) ** 2).sum())


def _normal_equations(
    sample: Sample, prices: Array, prior: Array, spread: float
) -> tuple[Array, Array]:
    shares = sample.amounts * np.exp(prices)
    predicted = shares.sum(axis=1)
    slopes = shares / predicted[:, None]
    error = np.log(predicted) - np.log(sample.seconds)
    weight = np.minimum(1, ROBUST / np.maximum(np.abs(error), 1e-9)) / NOISE**2
    matrix = slopes.T @ (slopes * weight[:, None]) + np.eye(len(prices)) / spread**2
    return matrix, slopes.T @ (weight * error) + (prices - prior) / spread**2


def fit_pool(samples: dict[str, Sample], prior: Prior) -> PoolFit:
    """Settings that share a profile of prices up to a factor each; by turns until they settle."""
    profile = prior.prices.copy()
    scales = {
        name: float(np.median(np.log(s.seconds) - np.log(s.amounts @ np.exp(profile))))
        for name, s in samples.items()
    }
    prices: dict[str, Array] = {}
    weight = len(samples) / prior.device_spread**2
    for _ in range(ROUNDS):
        for name, sample in samples.items():
            expected = profile + scales[name]
            prices[name] = fit_one(sample, expected, prior.device_spread, prices.get(name))
            scales[name] = float(np.mean(prices[name] - profile))
        mean = np.mean([prices[name] - scales[name] for name in samples], axis=0)
        before = profile
        profile = (mean * weight + prior.prices / prior.spread**2) / (weight + prior.spread**-2)
        if np.abs(profile - before).max() < SETTLED:
            break
    return PoolFit(profile, scales, prices)
