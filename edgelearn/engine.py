"""The engine: forward passes and steps of learning of a whole network, in its buffers."""

from __future__ import annotations

import math
from collections.abc import Collection

from edgelearn.arrays import F32, Array
from edgelearn.buffers import Buffers, label_room
from edgelearn.network import Network
from edgelearn.placement import Placement


def forward(x: F32, buffers: Buffers, learning: Collection[int] = ()) -> F32:
    """The activation of the last block for normalised `x`, shape (batch, *in_shape).

    It lies in `buffers` and holds until the next call. Blocks that act by chance do so if these in
    `learning` learn from them.
    """
    last = len(buffers.network.blocks) - 1
    return buffers.forward(last, input_of(last, x, buffers, learning)).a


def input_of(index: int, x: F32, buffers: Buffers, learning: Collection[int] = ()) -> F32:
    """What block number `index` reads, for normalised `x`; it lies in `buffers`, as above."""
    acting = buffers.network.acting(learning)
    for before in range(index):
        act = buffers.drop if before in acting else buffers.forward
        act(before, buffers.source(before, x))
    return buffers.source(index, x)


def train_step(
    buffers: Buffers, x: F32, labels: Array, lr: float, learning: Collection[int]
) -> float:
    """One step: each block in `learning` descends its own local loss.

    Blocks that follow the data, or act by chance, do so if these learn from them.

    Parameters
    ----------
    buffers : Buffers
        Made for the network, whose parameters change in place.
    x : array, shape (batch, *in_shape)
        Normalised.
    labels : int64 array, shape (batch,), or float32, shape (batch, outputs)
    lr : float
        Learning rate; a block's own is ``lr * lr_scale``. The update is the mean over samples.
    learning : collection of int
        Which blocks learn. Those beyond the last of them are not run.

    Returns
    -------
    float
        The mean local loss of the last learning block, before the update.

    Notes
    -----
    Source: tpSGD (Lomnitz et al. 2022, arXiv:2208.08503): W_i -= lr d_i x_{i-1}^T with
    d_i = dJ_i/dy_i * act'(z_i) and J_i a loss of y_i and the projected label P_i y*.
    """
    following = buffers.network.following(learning) if lr > 0 else []
    acting = buffers.network.acting(learning) if lr > 0 else []
    buffers.step += lr > 0
    for index in range(max(learning) + 1):
        seen = buffers.source(index, x)
        if index in learning:
            buffers.learn(index, seen, labels, lr)
        elif index in acting:
            buffers.drop(index, seen)
        else:
            buffers.forward(index, seen)
        if index in following:
            buffers.follow(index, seen)
    return float(buffers.loss[0]) / len(x)


def working_set_bytes(network: Network, batch: int, *, keep_all: bool = False) -> int:
    """Bytes of our own arrays while training.

    Parameters, their masks or places, what the optimiser remembers, projections, normaliser,
    buffers. The data set is not in it: a device holds a batch of it at a time. `keep_all` as for
    `Buffers`.
    """
    stored = sum(value.nbytes for value in network.stored().values())
    masks = sum(block.masks_bytes for block in network.blocks)
    fixed = sum(p.nbytes for p in network.fixed())
    normalizer = 0 if network.normalizer is None else network.normalizer.nbytes
    outputs = 0 if network.outputs is None else network.outputs.nbytes
    labels = label_room(network, batch).nbytes
    samples = 4 * batch * math.prod(network.in_shape)
    buffers = Placement.of(network, batch, keep_all=keep_all).nbytes + samples + labels + 8
    return stored + masks + fixed + normalizer + outputs + buffers
