"""Stages of a run: which blocks learn, how long and how fast, and what memory that needs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgelearn.caching import largest_cache
from edgelearn.config import TrainConfig
from edgelearn.controls import training_bytes
from edgelearn.holdout import held_out
from edgelearn.network import Network
from edgelearn.rates import Span, schedule
from edgelearn.starting import start_bytes


def stages(network: Network, config: TrainConfig) -> list[Sequence[int]]:
    """Which blocks learn in each stage."""
    every = network.learning()
    if config.method == "shallow":
        return [every[-1:]]
    layerwise = config.method == "tpsgd" and config.schedule == "layerwise"
    return [[index] for index in every] if layerwise else [every]


def span(config: TrainConfig, samples: int) -> Span:
    """How long a stage is, of a training part of so many samples."""
    taught = samples - held_out(samples, config.validation)
    epoch_steps = math.ceil(taught / config.batch)
    return Span(config.epochs * epoch_steps, epoch_steps)


def learning_rate(config: TrainConfig, step: int, span: Span) -> float:
    """The learning rate of one step of a stage.

    >>> learning_rate(TrainConfig(lr=1.0, lr_schedule="cosine"), 5, Span(10, 10))
    0.5
    """
    return config.lr * schedule(config.lr_schedule).share(step, span)


def run_bytes(network: Network, config: TrainConfig, samples: int | None = None) -> int:
    """Bytes of our own arrays during a run: those of a step, a cache, and the best of a stage.

    Or those that layers start in from the data, if that is more. The cache, if any, is that of
    `samples` to learn from, or as large as it may be.
    """
    plan = stages(network, config)
    total = training_bytes(network, config)
    total += largest_cache(network, plan, samples, config.cache_bytes)
    if config.patience is not None:
        kept = [network.changing(learning) for learning in plan]
        total += max(sum(value.nbytes for value in learned.values()) for learned in kept)
    return max(total, start_bytes(network))
