"""Controls: other ways to train the same network, so that a claim stands beside what it is against.

``shallow``
    only the head learns, the other layers stay as they were drawn;
``drtp``
    direct random target projection (Frenkel, Lefebvre & Bol 2021): ``e = -p[label]``, no activation
    in it;
``dfa``
    direct feedback alignment (Nokland 2016): the error at the head, through the fixed projection;
``fa``
    feedback alignment (Lillicrap et al. 2016): backpropagation through fixed random matrices;
``bp``
    plain backpropagation with stochastic gradient descent, as sparing as it can be made: updates
    in place, no gradient kept, but every activation.

For networks of dense layers. They use the same kernels, buffers and schedule as tpSGD.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgelearn.arrays import F32
from edgelearn.config import Method, TrainConfig
from edgelearn.engine import Buffers, working_set_bytes
from edgelearn.errors import ConfigError
from edgelearn.layers import Trace
from edgelearn.layers.dense import Dense, descend
from edgelearn.losses import Likelihood
from edgelearn.network import Block, Network
from edgelearn.readout import Readout
from edgelearn.rng import Stream, uniform

KEEPS_ALL: frozenset[Method] = frozenset({"dfa", "fa", "bp"})
"""Methods that need every activation of a step at once."""


def training_bytes(network: Network, config: TrainConfig) -> int:
    """Bytes of our own arrays while training `network` by the method and batch of `config`.

    Feedback alignment holds its matrices besides, and direct feedback alignment a copy of the
    error at the head.
    """
    keep_all = config.method in KEEPS_ALL
    total = working_set_bytes(network, config.batch, keep_all=keep_all)
    if config.method == "fa":
        total += sum(block.params["w"].nbytes for block in network.blocks)
    if config.method == "dfa":
        total += 4 * config.batch * len(network.classes)
    return total


class Control:
    """One step of a control method after the other, on buffers of its own.

    Raises
    ------
    ConfigError
        If a layer is not dense, or reads others than the one before it.
    """

    def __init__(self, network: Network, method: Method, batch: int, seed: int) -> None:
        for index, block in enumerate(network.blocks):
            plain = block.wiring.sources == (index - 1,)
            if not isinstance(block.layer, Dense) or not plain:
                raise ConfigError(
                    f"layer {block.name!r}, method {method!r}",
                    expected="dense layers, each on top of the one before",
                    got=block.layer.kind if plain else "one that reads others",
                    fix="train with method = 'tpsgd' or 'shallow'",
                )
        self.method = method
        self.buffers = Buffers(network, batch, keep_all=method in KEEPS_ALL)
        self.feedback = _feedback(network, seed) if method == "fa" else []

    def step(self, x: F32, labels: NDArray[np.int64], lr: float) -> float:
        """One step on normalised `x`; the mean loss of the head before the update."""
        if self.method == "drtp":
            self._forward_targets(x, labels, lr)
        else:
            self._backward(x, labels, lr)
        for block in self.buffers.network.blocks:
            block.hold_masks()
        return float(self.buffers.loss[0]) / len(x)

    def _forward_targets(self, x: F32, labels: NDArray[np.int64], lr: float) -> None:
        buffers = self.buffers
        for index, block in enumerate(buffers.network.blocks):
            trace = buffers.forward(index, x)
            buffers.loss[0] = 0
            e = _readout(block).error(trace.a, labels, buffers.room(index, len(x)).space)
            projection = _readout(block).projection
            if projection is not None:
                np.negative(projection[labels], out=e)
            self._update(index, trace, e, lr)
            x = trace.a

    def _backward(self, x: F32, labels: NDArray[np.int64], lr: float) -> None:
        buffers, blocks = self.buffers, self.buffers.network.blocks
        traces = []
        for index in range(len(blocks)):
            traces.append(buffers.forward(index, x))
            x = traces[-1].a
        last = len(blocks) - 1
        e = buffers.error(last, blocks[last], len(x))
        buffers.loss[0] = 0
        Likelihood().error(traces[last].a, labels, None, e, e, buffers.loss)
        slope = e.copy() if self.method == "dfa" else e
        for index in range(last, -1, -1):
            block, trace = blocks[index], traces[index]
            _dense(block).local_error(trace, e)
            below = self._below(index, e, slope)
            scratch = buffers.room(index, len(x)).scratch
            descend(block.params, trace.x, e, lr * block.lr_scale / len(x), scratch)
            e = below

    def _below(self, index: int, d: F32, slope: F32) -> F32:
        """The error of the block below number `index`, whose own is `d`."""
        blocks = self.buffers.network.blocks
        if index == 0:
            return d
        out = self.buffers.error(index - 1, blocks[index - 1], len(d))
        projection = _readout(blocks[index - 1]).projection
        if self.method == "dfa" and projection is not None:
            return np.matmul(slope, projection, out=out)
        weights = self.feedback[index] if self.method == "fa" else blocks[index].params["w"]
        return np.matmul(d, weights.T, out=out)

    def _update(self, index: int, trace: Trace[F32], e: F32, lr: float) -> None:
        block = self.buffers.network.blocks[index]
        scratch = self.buffers.room(index, len(e)).scratch
        rate = lr * block.lr_scale / len(e)
        _dense(block).update(block.params, trace, e, rate, block.params, scratch)


def _dense(block: Block) -> Dense:
    assert isinstance(block.layer, Dense)  # noqa: S101  checked when the control was made
    return block.layer


def _readout(block: Block) -> Readout:
    assert block.readout is not None  # noqa: S101  every dense layer of a control learns
    return block.readout


def _feedback(network: Network, seed: int) -> Sequence[F32]:
    """Fixed random matrices of the shape and scale of the weights."""
    return [
        uniform(seed, Stream.FEEDBACK, i, block.params["w"].shape, _limit(block))
        for i, block in enumerate(network.blocks)
    ]


def _limit(block: Block) -> float:
    return math.sqrt(3 / math.prod(block.in_shape))
