"""Backpropagation and feedback alignment of dense layers in a row, by the engine's kernels."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from edgelearn.arrays import F32, Array
from edgelearn.block import Block
from edgelearn.buffers import Buffers
from edgelearn.config import Method
from edgelearn.controls._feedback import feedback
from edgelearn.engine import working_set_bytes
from edgelearn.layers import Trace
from edgelearn.layers.dense import Dense, descend
from edgelearn.network import Network
from edgelearn.optimizers import Sgd


def is_plain(network: Network) -> bool:
    """Whether all is as `Fused` needs it: dense layers in a row that all learn, plain descent."""
    return isinstance(network.optimizer, Sgd) and all(
        isinstance(block.layer, Dense)
        and block.readout is not None
        and block.wiring.sources == (index - 1,)
        for index, block in enumerate(network.blocks)
    )


def fused_bytes(network: Network, method: Method, batch: int) -> int:
    """What `Fused` holds, and the parameters."""
    weights = sum(block.params["w"].nbytes for block in network.blocks)
    total = working_set_bytes(_judged_at_the_end(network), batch, keep_all=True)
    return total + 8 * _error_size(network, batch) + (weights if method == "fa" else 0)


def _judged_at_the_end(network: Network) -> Network:
    """`network`, its arrays shared, without local losses."""
    hidden = [replace(block, readout=None, moments={}) for block in network.blocks[:-1]]
    return replace(network, blocks=(*hidden, network.blocks[-1]))


def _error_size(network: Network, batch: int) -> int:
    """Elements of the error of the largest layer but the last."""
    return batch * max((math.prod(b.out_shape) for b in network.blocks[:-1]), default=0)


class Fused:
    """Steps of bp and fa: every activation is kept, and the errors of two layers.

    Updates are made in place.
    """

    def __init__(self, network: Network, method: Method, batch: int, seed: int) -> None:
        self.buffers = Buffers(_judged_at_the_end(network), batch, keep_all=True)
        self._errors = np.empty((2, _error_size(network, batch)), np.float32)
        self._weights = [block.params["w"] for block in network.blocks]
        if method == "fa":
            matrices = feedback(network, seed)
            self._weights = [matrices[f"{block.name}.w"] for block in network.blocks]

    def step(self, x: F32, labels: Array, lr: float) -> float:
        """As `edgelearn.controls.Control` says."""
        buffers, blocks = self.buffers, self.buffers.network.blocks
        traces: list[Trace[F32]] = []
        for index in range(len(blocks)):
            traces.append(buffers.forward(index, traces[-1].a if traces else x))
        e = self._error_of_head(traces[-1].a, labels)
        for index in range(len(blocks) - 1, -1, -1):
            block, trace = blocks[index], traces[index]
            _dense(block).local_error(trace, e)
            below = self._below(index, e)
            scratch = buffers.room(index, len(x)).scratch
            descend(block.params, trace.x, e, lr * block.lr_scale / len(x), scratch)
            block.hold_masks()
            e = below
        return float(buffers.loss[0]) / len(x)

    def _error_of_head(self, a: F32, labels: Array) -> F32:
        self.buffers.loss[:] = 0
        space = self.buffers.room(len(self.buffers.network.blocks) - 1, len(a)).space
        self.buffers.network.head.loss.error(a, labels, None, space)
        return space.error

    def _below(self, index: int, d: F32) -> F32:
        """The error of the block below number `index`, whose own is `d`."""
        if index == 0:
            return d
        weights = self._weights[index].T
        out: F32 = self._errors[index % 2][: len(d) * weights.shape[1]].reshape(len(d), -1)
        return np.matmul(d, weights, out=out)


def _dense(block: Block) -> Dense:
    assert isinstance(block.layer, Dense)  # noqa: S101  as `is_plain` says
    return block.layer
