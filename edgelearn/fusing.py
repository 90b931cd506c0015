"""Steps of dense blocks in one call of a kernel: of few samples, calls cost as much as the work."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from edgelearn import kernels
from edgelearn.arrays import F32, Array
from edgelearn.block import Block
from edgelearn.layers import places_of
from edgelearn.layers.dense import LOOP_BATCH, Dense
from edgelearn.losses import AbsoluteDistance, CrossEntropy, Likelihood, Loss, SquaredDistance
from edgelearn.readout import Workspace

FusedStep: TypeAlias = Callable[[F32, Array, float], None]
"""Forward pass, error and update in place, from inputs, labels and the rate for the sum."""


def fused_step(block: Block, out: F32, space: Workspace) -> FusedStep | None:
    """What a dense `block` does with the samples of `out`; None if no kernel does all of it.

    `out` and `space` are as for `Readout.error`.
    """
    layer, readout = block.layer, block.readout
    if len(out) > LOOP_BATCH or not isinstance(layer, Dense) or readout is None:
        return None
    if places_of(block.params):
        return None  # of pruned weights only those that are left are held
    judging = _judging(readout.loss)
    if judging is None or (readout.held is None and not readout.is_head):
        return None
    p = np.empty((0, 0), np.float32) if readout.held is None else readout.held
    w, b = block.params["w"], block.params["b"]
    part = kernels.fused.Part(w, b, p, out, space.error, space.slopes, space.loss)
    activation, learns = layer.code, readout.learns

    def step(x: F32, labels: Array, rate: float) -> None:
        flat = x.reshape(len(x), -1)
        kernels.fused.learn(flat, labels, part, activation, judging, learns, rate)

    return step


def _judging(loss: Loss) -> int | None:
    """The number that the kernel knows `loss` by; none of a subclass, which asks for more."""
    fused = kernels.fused
    known: dict[type[Loss], int] = {
        Likelihood: fused.LIKELIHOOD,
        CrossEntropy: fused.CROSS_ENTROPY,
        SquaredDistance: fused.SQUARED,
        AbsoluteDistance: fused.ABSOLUTE,
    }
    return known.get(type(loss))
