"""Inference as a Graph: the blocks in order, and what every phase shares."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from edgelearn.block import Block
from edgelearn.ir import BATCH, Builder, Graph
from edgelearn.layers import SequenceLearner
from edgelearn.network import Network
from edgelearn.normalize import Normalizer
from edgelearn.passes.fold import fold
from edgelearn.readout import Readout
from edgelearn.wiring import SAMPLE


def to_graph(network: Network) -> Graph:
    """Inference: input ``x`` (batch, *in_shape), one output (batch, classes).

    It is called what it is: ``probabilities``; ``scores`` of a linear head, of which the largest is
    the answer; or ``values`` (batch, outputs) of a regression, in the units of the training data.
    """
    b = Builder(network.name)
    *_, (_, _, x) = _emit_blocks(b, network.whole())
    return fold(b.graph([emit_answer(b, network, x)]))


def to_exit_graph(network: Network) -> Graph:
    """Inference with a way out at every block that has one: see `edgelearn.exits`.

    One output ``NAME/probabilities`` (batch, classes) for each of them, the first first; the last
    is that of the head.
    """
    b = Builder(f"{network.name}-exits")
    found = []
    for block, _, a in _emit_blocks(b, network.whole()):
        readout = block.readout
        if readout is None or not readout.tells_probabilities:
            continue
        with b.scope(f"{block.name}/exit"):
            p = emit_projection(b, block, readout)
            layer = block.layer
            seen = layer.emit_judged(b, a) if isinstance(layer, SequenceLearner) else a
            scores = readout.emit_scores(b, seen, p)
            answer = scores if readout.is_head else b.softmax(scores)
        found.append(b.rename(answer, f"{block.name}/probabilities"))
    return fold(b.graph(found))


def _emit_blocks(b: Builder, network: Network) -> Iterator[tuple[Block, str, str]]:
    """The nodes of inference, one block after the other: each with its input and activation."""
    constants = [
        {key: b.constant(f"{block.name}.{key}", value) for key, value in block.params.items()}
        for block in network.blocks
    ]

    def forward(index: int, x: str) -> str:
        return network.blocks[index].layer.emit(b, constants[index], x).a

    return emit_forward(b, network, emit_input(b, network), forward)


def emit_forward(
    b: Builder, network: Network, x: str, forward: Callable[[int, str], str]
) -> Iterator[tuple[Block, str, str]]:
    """The nodes of all blocks, each with its input and activation.

    `forward` makes those of one block, given its number and its input.
    """
    made = {SAMPLE: x}
    for index, block in enumerate(network.blocks):
        with b.scope(block.name):
            source = emit_source(b, block, made)
            made[index] = forward(index, source)
        yield block, source, made[index]


def emit_source(b: Builder, block: Block, made: Mapping[int, str]) -> str:
    """What `block` reads, as nodes, of the activations `made` before it."""
    return block.wiring.emit(b, [made[source] for source in block.wiring.sources])


def emit_input(b: Builder, network: Network) -> str:
    """The input of the Graph, and samples as the first blocks read them."""
    x = b.input("x", (BATCH, *network.in_shape))
    normalizer = network.normalizer
    return x if normalizer is None else emit_normalized(b, normalizer, x)


def emit_normalized(b: Builder, normalizer: Normalizer, x: str) -> str:
    """Inputs `x` as `normalizer` makes them, as nodes."""
    with b.scope("input"):
        centred = b.binary("sub", x, b.constant("input.mean", normalizer.mean))
        return b.binary("mul", centred, b.constant("input.scale", normalizer.scale))


def emit_scale(b: Builder, network: Network) -> tuple[str, str] | None:
    """Mean and spread of the outputs of a regression."""
    outputs = network.outputs
    if outputs is None:
        return None
    return b.constant("output.mean", outputs.mean), b.constant("output.spread", outputs.spread)


def emit_answer(b: Builder, network: Network, a: str, scale: tuple[str, str] | None = None) -> str:
    """What the head says, under its name; values in the units of the targets.

    `scale` is that of the outputs, if it is in the Graph already.
    """
    scale = scale or emit_scale(b, network)
    if scale is not None:
        mean, spread = scale
        a = b.binary("add", b.binary("mul", a, spread), mean)
    return b.rename(a, network.answers)


def emit_projection(b: Builder, block: Block, readout: Readout) -> str | None:
    """The projection as a constant, whole also where the engine makes it a chunk at a time."""
    p = readout.constant()
    return None if p is None else b.constant(f"{block.name}.p", p)
