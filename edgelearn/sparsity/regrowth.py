"""Sparse from the start to the end of learning: weak blocks go, others come where they would help.

Source: RigL (Evci et al. 2020, arXiv:1911.11134), after SET (Mocanu et al. 2018). Its signal for
growth is a gradient of all weights, which backpropagation must make for this alone; a local update
has it at hand, one layer at a time.
"""

from __future__ import annotations

import math

import numpy as np

from edgelearn.arrays import Array, Mask
from edgelearn.errors import unknown
from edgelearn.sparsity.masks import BLOCKS, block_sums, spread
from edgelearn.sparsity.schedules import RAMP

FIRST_SHARE = 0.3
"""Of the blocks that are there, how many are exchanged at first."""


def exchanged_share(epoch: int, epochs: int) -> float:
    """How many of the blocks to exchange after `epoch`, counted from 1: fewer and fewer, then none.

    >>> [round(exchanged_share(epoch, 6), 3) for epoch in (1, 2, 3, 4, 5)]
    [0.256, 0.15, 0.044, 0.0, 0.0]
    """
    t = epoch / (RAMP * epochs)
    return FIRST_SHARE / 2 * (1 + math.cos(math.pi * t)) if t < 1 else 0.0


def exchanged(mask: Mask, w: Array, gradient: Array, share: float, pattern: str) -> Mask:
    """A mask with other blocks: the smallest are out, those with the largest gradients in.

    At the edge of a matrix, where blocks hold fewer weights, one makes room for one of the same
    size, so that the sparsity stays what it is.

    Parameters
    ----------
    mask, w, gradient : array, shape (..., units)
        The mask so far, the weights and the local gradient of all of them.
    share : float
        Of the blocks that are there.
    pattern : str
        One of `BLOCKS`.

    Raises
    ------
    UnknownName
        If there is no such pattern of blocks.
    """
    if pattern not in BLOCKS:
        raise unknown("pattern of blocks", pattern, BLOCKS)
    block, shape = BLOCKS[pattern], (-1, w.shape[-1])
    sizes = block_sums(np.ones(w.shape).reshape(shape), block)
    there = block_sums(mask.reshape(shape), block) > 0
    strength, pull = (block_sums(np.abs(a).reshape(shape), block) / sizes for a in (w, gradient))
    count = round(share * int(there.sum()))
    weakest = np.argsort(np.where(there, strength, np.inf), axis=None, kind="stable")[:count]
    kept = there.astype(np.uint8)
    for size in np.unique(sizes):
        out = weakest[sizes.flat[weakest] == size]
        free = np.flatnonzero(~there & (sizes == size))
        into = free[np.argsort(-pull.flat[free], kind="stable")][: len(out)]
        kept.flat[out[: len(into)]] = 0
        kept.flat[into] = 1
    flat = spread(kept, block, (w.size // w.shape[-1], w.shape[-1]))
    return np.ascontiguousarray(flat).reshape(w.shape)
