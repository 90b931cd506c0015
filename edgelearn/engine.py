"""The engine: forward passes and local updates on arrays that are made once.

Two activations take turns, whatever the depth: nothing of a layer is kept once it has learned
and the next one has read it. There is no backward pass and no stored graph.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgelearn import kernels
from edgelearn.arrays import F32, Array, Shape
from edgelearn.losses import head_error
from edgelearn.network import Block, Network


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Elements of each buffer for one network and batch."""

    input: int
    activations: tuple[int, ...]
    error: int
    logits: int
    scratch: int

    @classmethod
    def of(cls, network: Network, batch: int, keep_all: bool) -> _Sizes:
        outs = [batch * math.prod(block.out_shape) for block in network.blocks]
        scratch = [math.prod(b.layer.scratch_shape(b.in_shape, batch)) for b in network.blocks]
        return cls(
            input=batch * math.prod(network.in_shape),
            activations=tuple(outs) if keep_all else (max(outs[0::2]), max(outs[1::2], default=0)),
            error=max(outs) * (2 if keep_all else 1),
            logits=batch * len(network.classes) if len(outs) > 1 else 0,
            scratch=max(scratch),
        )

    @property
    def total(self) -> int:
        return self.input + sum(self.activations) + self.error + self.logits + self.scratch


class Buffers:
    """All arrays that a step of up to `batch` samples needs besides parameters.

    With `keep_all` no activation is written over before the step ends, as backpropagation needs
    it, and there is room for the errors of two layers.
    """

    def __init__(self, network: Network, batch: int, *, keep_all: bool = False) -> None:
        sizes = _Sizes.of(network, batch, keep_all)
        self.network = network
        self.batch = batch
        self._input = np.empty(sizes.input, np.float32)
        self._activations = [np.empty(size, np.float32) for size in sizes.activations]
        self._error = np.empty(sizes.error, np.float32)
        self._logits = np.empty(sizes.logits, np.float32)
        self._scratch = np.empty(sizes.scratch, np.float32)
        self._labels = np.empty(batch, np.int64)
        self.loss = np.zeros(1, np.float32)

    def load(self, x: Array, y: Array, rows: NDArray[np.int64]) -> tuple[F32, NDArray[np.int64]]:
        """Samples and labels of these `rows`, normalised, in the input buffer."""
        batch = _view(self._input, (len(rows), *self.network.in_shape))
        labels = self._labels[: len(rows)]
        for place, row in enumerate(rows):
            batch[place] = x[row]
            labels[place] = y[row]
        normalizer = self.network.normalizer
        if normalizer is not None:
            flat = batch.reshape(len(rows), -1)
            kernels.dense.normalize(normalizer.mean.ravel(), normalizer.scale.ravel(), flat)
        return batch, labels

    def activation(self, index: int, block: Block, samples: int) -> F32:
        """Where block number `index` writes."""
        slab = self._activations[index % len(self._activations)]
        return _view(slab, (samples, *block.out_shape))

    def error(self, index: int, block: Block, samples: int) -> F32:
        """Where the error of block number `index` lies when all are kept."""
        half = len(self._error) // 2
        return _view(self._error[half * (index % 2) :], (samples, *block.out_shape))

    def scratch(self, block: Block, samples: int) -> F32:
        """Work space for the local update of `block`."""
        return _view(self._scratch, block.layer.scratch_shape(block.in_shape, samples))

    def local_error(self, block: Block, a: F32, labels: Array) -> F32:
        """The derivative of the block's local loss by `a`; sets `loss` to the summed loss."""
        e = _view(self._error, (len(a), math.prod(block.out_shape)))
        flat = a.reshape(e.shape)
        self.loss[0] = 0
        if block.projection is None:
            head_error(flat, labels, e, self.loss)
        else:
            logits = _view(self._logits, (len(a), len(self.network.classes)))
            block.loss.error(flat, labels, block.projection, logits, e, self.loss)
        return e.reshape(a.shape)

    def update_projection(self, block: Block, a: F32, rate: float) -> None:
        """Descend the local loss, whose error was computed last, by a learned projection."""
        if block.learns_projection and block.projection is not None:
            slope = _view(self._logits, (len(a), len(self.network.classes)))
            slope *= np.float32(-rate)
            kernels.dense.add_outer(slope, a.reshape(len(a), -1), block.projection)


def _view(buffer: F32, shape: Shape) -> F32:
    return buffer[: math.prod(shape)].reshape(shape)


def forward(network: Network, x: F32, buffers: Buffers, depth: int | None = None) -> F32:
    """The activation of the last of the first `depth` blocks, all by default.

    `x` is normalised, shape (batch, *in_shape); the result lies in `buffers` and holds until
    the next call.
    """
    for index, block in enumerate(network.blocks[:depth]):
        x = block.layer.forward(block.params, x, buffers.activation(index, block, len(x))).a
    return x


def train_step(
    buffers: Buffers, x: F32, labels: NDArray[np.int64], lr: float, learning: Collection[int]
) -> float:
    """One step: each block in `learning` descends its own local loss.

    Parameters
    ----------
    buffers : Buffers
        Made for the network, whose parameters change in place.
    x : array, shape (batch, *in_shape)
        Normalised.
    labels : int64 array, shape (batch,)
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
    for index, block in enumerate(buffers.network.blocks[: max(learning) + 1]):
        out = buffers.activation(index, block, len(x))
        trace = block.layer.forward(block.params, x, out)
        if index in learning:
            e = buffers.local_error(block, trace.a, labels)
            rate = lr * block.lr_scale / len(x)
            buffers.update_projection(block, trace.a, rate)
            scratch = buffers.scratch(block, len(x))
            block.layer.local_update(block.params, trace, e, rate, scratch)
        x = trace.a
    return float(buffers.loss[0]) / len(x)


def working_set_bytes(network: Network, batch: int, *, keep_all: bool = False) -> int:
    """Bytes of our own arrays while training: parameters, projections, normaliser, buffers.

    The data set is not in it: a device holds a batch of it at a time. `keep_all` as for `Buffers`.
    """
    parameters = sum(value.nbytes for value in network.parameters().values())
    fixed = (b.projection for b in network.blocks if not b.learns_projection)
    projections = sum(p.nbytes for p in fixed if p is not None)
    normalizer = 0 if network.normalizer is None else network.normalizer.nbytes
    buffers = 4 * _Sizes.of(network, batch, keep_all).total + 8 * batch + 4
    return parameters + projections + normalizer + buffers
