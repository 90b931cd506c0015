"""A network as Graphs: inference, and the training step with parameters as states."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edgelearn.ir import BATCH, Builder, Graph
from edgelearn.ir.ops import ApplyMask, BatchSize, OneHot, Reduce
from edgelearn.layers import Descent, Learner, Names, SequenceLearner, Trace
from edgelearn.network import Block, Network
from edgelearn.readout import Readout
from edgelearn.wiring import SAMPLE

MASK_SUFFIX = ".mask"
"""What the name of a mask in a training Graph adds to that of its parameter."""


def to_graph(network: Network) -> Graph:
    """Inference: input ``x`` (batch, *in_shape), output ``probabilities`` (batch, classes)."""
    b = Builder(network.name)
    *_, (_, x) = _emit_blocks(b, network)
    return b.graph([b.rename(x, "probabilities")])


def to_exit_graph(network: Network) -> Graph:
    """Inference with a way out at every block that has one: see `edgelearn.exits`.

    One output ``NAME/probabilities`` (batch, classes) for each of them, the first first; the last
    is that of the head.
    """
    b = Builder(f"{network.name}-exits")
    found = []
    for block, a in _emit_blocks(b, network):
        readout = block.readout
        if readout is None or not readout.tells_probabilities:
            continue
        with b.scope(f"{block.name}/exit"):
            p = None
            if readout.projection is not None:
                p = b.constant(f"{block.name}.p", readout.projection)
            layer = block.layer
            seen = layer.emit_judged(b, a) if isinstance(layer, SequenceLearner) else a
            scores = readout.emit_scores(b, seen, p)
            answer = scores if readout.is_head else b.softmax(scores)
        found.append(b.rename(answer, f"{block.name}/probabilities"))
    return b.graph(found)


def _emit_blocks(b: Builder, network: Network) -> Iterator[tuple[Block, str]]:
    """The nodes of inference, one block after the other: each with its activation."""
    made = {SAMPLE: _emit_input(b, network)}
    for index, block in enumerate(network.blocks):
        with b.scope(block.name):
            params = {k: b.constant(f"{block.name}.{k}", v) for k, v in block.params.items()}
            made[index] = block.layer.emit(b, params, _emit_source(b, block, made)).a
        yield block, made[index]


def _emit_source(b: Builder, block: Block, made: Mapping[int, str]) -> str:
    """What `block` reads, as nodes, of the activations `made` before it."""
    return block.wiring.emit(b, [made[source] for source in block.wiring.sources])


def to_train_graph(network: Network) -> Graph:
    """One step of all layers at once, as `edgelearn.engine.train_step` makes it.

    Inputs ``x`` (batch, *in_shape), ``y`` int64 (batch,), ``lr`` float32 (); outputs
    ``probabilities`` (batch, classes) before the update and ``loss`` (), the mean of their
    cross-entropy. The parameters are states. With ``lr`` = 0 the step is inference.
    """
    b = Builder(f"{network.name}-train")
    made = {SAMPLE: _emit_input(b, network)}
    y = b.input("y", (BATCH,), "int64")
    lr = b.input("lr", ())
    samples = b.apply(BatchSize(), y, name="samples")
    for index, block in enumerate(network.blocks):
        with b.scope(block.name):
            x = _emit_source(b, block, made)
            made[index] = _emit_learning(b, network, block, x, _Step(y, lr, samples)).a
    answer = made[len(network.blocks) - 1]
    loss = _emit_loss(b, answer, y)
    return b.graph([b.rename(answer, "probabilities"), b.rename(loss, "loss")])


def _emit_input(b: Builder, network: Network) -> str:
    x = b.input("x", (BATCH, *network.in_shape))
    normalizer = network.normalizer
    if normalizer is None:
        return x
    with b.scope("input"):
        centred = b.binary("sub", x, b.constant("input.mean", normalizer.mean))
        return b.binary("mul", centred, b.constant("input.scale", normalizer.scale))


@dataclass(frozen=True, slots=True)
class _Step:
    """What every block learns from: names of labels, learning rate, number of samples."""

    labels: str
    lr: str
    samples: str


def _emit_learning(b: Builder, network: Network, block: Block, x: str, step: _Step) -> Trace[str]:
    """Forward pass and update of one block; what it does not learn is constant."""
    learned = {k: b.state(f"{block.name}.{k}", v) for k, v in block.learned().items()}
    frozen = {k: v for k, v in block.params.items() if k not in learned}
    params = {k: b.constant(f"{block.name}.{k}", v) for k, v in frozen.items()} | learned
    if block.readout is None:
        return block.layer.emit(b, params, x)
    moments = {k: b.state(f"{block.name}.{k}", v) for k, v in block.moments.items()}
    trace, descend = _emit_local(b, block, block.readout, params, x, step.labels)
    lr = step.lr if block.lr_scale == 1 else b.binary("mul", step.lr, b.scalar(block.lr_scale))
    new = network.optimizer.emit(b, learned, moments, lr, step.samples, descend)
    for key, value in new.items():
        name = f"{block.name}.{key}"
        kept = _emit_masked(b, block, key, value)
        b.update(name, b.rename(kept, f"{name}.next"))
    return trace


def _emit_masked(b: Builder, block: Block, key: str, value: str) -> str:
    """The new `value` of one parameter, 0 where its mask says so."""
    if key not in block.masks:
        return value
    mask = b.constant(f"{block.name}.{key}{MASK_SUFFIX}", block.masks[key])
    return b.apply(ApplyMask(), value, mask, name=b.fresh(key))


def _emit_local(
    b: Builder, block: Block, readout: Readout, params: Names, x: str, labels: str
) -> tuple[Trace[str], Descent]:
    """The forward pass of a block that learns, and what makes the nodes of its update."""
    layer, p = block.layer, params.get("p")
    if p is None and readout.projection is not None:
        p = b.constant(f"{block.name}.p", readout.projection)
    if isinstance(layer, SequenceLearner):
        learning = layer.emit_learn(b, params, x, labels, readout, p)
        return learning.trace, learning.descend
    assert isinstance(layer, Learner)  # noqa: S101  else it has no readout
    trace = layer.emit(b, params, x)
    error = readout.emit_error(b, trace.a, labels, p)

    def descend(rate: str, into: Names) -> Names:
        new = layer.emit_update(b, params, trace, error.error, rate, into)
        return new | {"p": error.descend(b, rate, into["p"])} if readout.learns else new

    return trace, descend


def _emit_loss(b: Builder, probabilities: str, y: str) -> str:
    classes = b.specs[probabilities].shape[-1]
    tiny = b.scalar(1e-37)
    log = b.unary("log", b.binary("max", probabilities, tiny))
    chosen = b.binary("mul", log, b.apply(OneHot(classes), y))
    return b.unary("neg", b.apply(Reduce("mean", (0,)), b.apply(Reduce("sum", (-1,)), chosen)))
