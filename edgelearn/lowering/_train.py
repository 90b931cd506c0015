"""One step of learning as a Graph: parameters are states."""

from __future__ import annotations

import numpy as np

from edgelearn.block import Block
from edgelearn.ir import BATCH, Builder, Graph
from edgelearn.ir.ops import ApplyMask, BatchSize, ToInt
from edgelearn.layers import Descent, Dropper, Follower, Learner, Names, SequenceLearner, Trace
from edgelearn.lowering._infer import (
    emit_answer,
    emit_input,
    emit_projection,
    emit_scale,
    emit_source,
)
from edgelearn.network import Network
from edgelearn.passes.fold import fold
from edgelearn.passes.reorder import reorder
from edgelearn.readout import Readout
from edgelearn.rng import PERIOD
from edgelearn.wiring import SAMPLE

MASK_SUFFIX = ".mask"
"""What the name of a mask in a training Graph adds to that of its parameter."""


def to_train_graph(network: Network, batch: int = 1) -> Graph:
    """One step of all layers at once, as `edgelearn.engine.train_step` makes it.

    Any number of samples can be fed; the order of the nodes is one that suits `batch`.

    Inputs ``x`` (batch, *in_shape), ``y`` int64 (batch,), ``lr`` float32 (); of a regression ``y``
    is float32 (batch, outputs), in its own units. Outputs are the answer before the update, as
    `to_graph` calls it, and ``loss`` (), the mean loss of the head, of standardised values. The
    parameters are states. With ``lr`` = 0 the step is inference.
    """
    network = network.whole()
    step = Step(network, f"{network.name}-train")
    whole = step.graph(emit_local_learning(step, network))
    return reorder(fold(whole, kept=step.frozen), batch)


class Step:
    """A training step under construction: what it begins with, and how it ends.

    Parameters
    ----------
    network : Network
    name : str
        Of the Graph.

    Attributes
    ----------
    b : Builder
    x, labels, lr, samples : str
        Input and labels on the scale that is learned, learning rate, number of samples.
    params : list of dict of str to str
        Names of what each block computes with: states if it learns them, else constants.
    frozen : set of str
        Names of these constants: a model file has its parameters from here.
    """

    def __init__(self, network: Network, name: str) -> None:
        self.network = network
        self.b = b = Builder(name)
        self.x = emit_input(b, network)
        self._scale = emit_scale(b, network)
        self.labels = _emit_labels(b, network, self._scale)
        self.lr = b.input("lr", ())
        self.samples = b.apply(BatchSize(), self.labels, name="samples")
        self.params: list[Names] = []
        self.frozen: set[str] = set()
        self._moments: list[Names] = []
        for block in network.blocks:
            moving = block.params if block.follows else block.learned()
            made = {k: b.state(f"{block.name}.{k}", v) for k, v in moving.items()}
            frozen = {k: v for k, v in block.params.items() if k not in moving}
            fixed = {k: b.constant(f"{block.name}.{k}", v) for k, v in frozen.items()}
            self.frozen.update(fixed.values())
            made |= fixed
            self.params.append(made)
            moments = block.moments.items()
            self._moments.append({k: b.state(f"{block.name}.{k}", v) for k, v in moments})
        self._number = ""
        if any(block.chance is not None for block in network.blocks):
            self._number = _emit_number(b, self.lr)

    def learned(self, index: int) -> Names:
        """Names of what block number `index` learns."""
        learned = self.network.blocks[index].learned()
        return {key: name for key, name in self.params[index].items() if key in learned}

    def update(self, index: int, descend: Descent) -> None:
        """The nodes by which the optimiser moves block number `index`."""
        b, block = self.b, self.network.blocks[index]
        lr = self.lr if block.lr_scale == 1 else b.binary("mul", self.lr, b.scalar(block.lr_scale))
        learned, moments = self.learned(index), self._moments[index]
        new = self.network.optimizer.emit(b, learned, moments, lr, self.samples, descend)
        self._carry(block, new)

    def forward(self, index: int, x: str) -> str:
        """The activation of block number `index`, which is only run, on its input `x`."""
        block = self.network.blocks[index]
        if block.chance is None:
            return block.layer.emit(self.b, self.params[index], x).a
        assert isinstance(block.layer, Dropper)  # noqa: S101  else it has no chance
        return block.layer.emit_drop(self.b, x, block.chance, self._number).a

    def follow(self, index: int, x: str) -> None:
        """The nodes by which block number `index` follows its input `x`; none at a rate of 0."""
        b, block = self.b, self.network.blocks[index]
        assert isinstance(block.layer, Follower)  # noqa: S101  else it does not follow
        samples = b.binary("mul", self.samples, b.unary("sign", self.lr))
        self._carry(block, block.layer.emit_follow(b, self.params[index], x, samples))

    def _carry(self, block: Block, new: Names) -> None:
        """Say the next values of the states of `block`."""
        for key, value in new.items():
            name = f"{block.name}.{key}"
            if value != name:
                kept = self._kept(block, key, value)
                self.b.update(name, self.b.rename(kept, f"{name}.next"))

    def _kept(self, block: Block, key: str, value: str) -> str:
        """The new `value` of one parameter, 0 where its mask says so."""
        if key not in block.masks:
            return value
        mask = self.b.constant(f"{block.name}.{key}{MASK_SUFFIX}", block.masks[key])
        return self.b.apply(ApplyMask(), value, mask, name=self.b.fresh(key))

    def graph(self, answer: str) -> Graph:
        """The finished Graph; `answer` is the activation of the head."""
        b, network = self.b, self.network
        loss = network.head.head_loss.emit_value(b, answer, self.labels)
        answer = emit_answer(b, network, answer, self._scale)
        return b.graph([answer, b.rename(loss, "loss")])


def _emit_number(b: Builder, lr: str) -> str:
    """The number of the step as int64, from a state that counts steps; 0 at a learning rate of 0.

    The state is float32, since all arithmetic of a Graph is: after `PERIOD` steps it is 0 again.
    """
    before, learns = b.state("step", np.zeros((), np.float32)), b.unary("sign", lr)
    after = b.binary("add", before, learns)
    left = b.unary("relu", b.binary("sub", b.scalar(PERIOD), after))
    after = b.binary("mul", after, b.binary("min", left, b.scalar(1)), name="step.next")
    b.update("step", after)
    return b.apply(ToInt(), b.binary("mul", after, learns), name="number")


def _emit_labels(b: Builder, network: Network, scale: tuple[str, str] | None) -> str:
    """Labels as they are learned: class numbers, or values that are standardised here."""
    if scale is None:
        return b.input("y", (BATCH,), "int64")
    mean, spread = scale
    y = b.input("y", (BATCH, network.width))
    return b.binary("div", b.binary("sub", y, mean), spread)


def emit_local_learning(step: Step, network: Network) -> str:
    """Forward pass and local update of every block; returns the activation of the head.

    `network` is that of `step`, or one of the same arrays with other losses.
    """
    b, made = step.b, {SAMPLE: step.x}
    for index, block in enumerate(network.blocks):
        with b.scope(block.name):
            x = emit_source(b, block, made)
            if block.follows:
                step.follow(index, x)
            if block.readout is None:
                made[index] = step.forward(index, x)
                continue
            local = _emit_local(b, block, block.readout, step.params[index], x, step.labels)
            made[index] = local[0].a
            step.update(index, local[1])
    return made[len(network.blocks) - 1]


def _emit_local(
    b: Builder, block: Block, readout: Readout, params: Names, x: str, labels: str
) -> tuple[Trace[str], Descent]:
    """The forward pass of a block that learns, and what makes the nodes of its update."""
    layer, p = block.layer, params.get("p")
    if p is None:
        p = emit_projection(b, block, readout)
    if isinstance(layer, SequenceLearner):
        learning = layer.emit_learn(b, params, x, labels, readout, p)
        return learning.trace, learning.descend
    assert isinstance(layer, Learner)  # noqa: S101  else it has no readout
    trace = layer.emit(b, params, x)
    error = readout.emit_error(b, trace.a, labels, p)

    def descend(rate: str, into: Names) -> Names:
        new = layer.emit_update(b, params, trace, error.error, rate, into)
        return (
            new | {"p": error.descend(b, b.unary("neg", rate), into["p"])}
            if readout.learns
            else new
        )

    return trace, descend
