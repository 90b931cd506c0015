"""Backpropagation and feedback alignment of dense layers in a row, by the engine's kernels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgelearn.arrays import F32, Array
from edgelearn.block import Block
from edgelearn.config import Method
from edgelearn.controls._feedback import feedback
from edgelearn.engine import Buffers
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


class Fused:
    """Steps of bp and fa: every activation is kept, updates are made in place."""

    def __init__(self, network: Network, method: Method, batch: int, seed: int) -> None:
        self.buffers = Buffers(network, batch, keep_all=True)
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
        last = len(self.buffers.network.blocks) - 1
        block = self.buffers.network.blocks[last]
        e = self.buffers.error(last, block, len(a))
        self.buffers.loss[:] = 0
        space = replace(self.buffers.room(last, len(a)).space, error=e)
        self.buffers.network.head.loss.error(a, labels, None, space)
        return e

    def _below(self, index: int, d: F32) -> F32:
        """The error of the block below number `index`, whose own is `d`."""
        if index == 0:
            return d
        block = self.buffers.network.blocks[index - 1]
        out = self.buffers.error(index - 1, block, len(d))
        return np.matmul(d, self._weights[index].T, out=out)


def _dense(block: Block) -> Dense:
    assert isinstance(block.layer, Dense)  # noqa: S101  as `is_plain` says
    return block.layer
