"""Recurrent networks as Graphs of one time step: what comes is read as it comes."""

from __future__ import annotations

from edgelearn.errors import ConfigError
from edgelearn.ir import BATCH, Builder, Graph
from edgelearn.layers import Streamer
from edgelearn.lowering._infer import emit_answer, emit_normalized, emit_source
from edgelearn.network import Network
from edgelearn.wiring import SAMPLE


def to_stream_graph(network: Network) -> Graph:
    """Inference of sequences as they come, one time step a run.

    Input ``x`` (batch, features), with the mask if there is one; the output is the answer of all
    steps so far, as `edgelearn.lowering.to_graph` calls it. What layers remember are states, 0
    before the first step.

    Raises
    ------
    ConfigError
        If a layer, or the normaliser, needs the whole sequence.
    """
    b, network = Builder(f"{network.name}-stream"), network.whole()
    made, shapes = {SAMPLE: _emit_input_step(b, network)}, {SAMPLE: network.in_shape}
    for index, block in enumerate(network.blocks):
        layer, shapes[index] = block.layer, block.out_shape
        timed = len(shapes[block.wiring.sources[0]]) > 1
        with b.scope(block.name):
            params = {k: b.constant(f"{block.name}.{k}", v) for k, v in block.params.items()}
            x = emit_source(b, block, made)
            if not timed:
                made[index] = layer.emit(b, params, x).a
            elif isinstance(layer, Streamer):
                made[index] = layer.emit_step(b, params, x, block.name)
            else:
                raise _not_streamed(f"layer {block.name!r}", f"kind {layer.kind!r}")
    return b.graph([emit_answer(b, network, made[len(network.blocks) - 1])])


def _emit_input_step(b: Builder, network: Network) -> str:
    """One time step of the sample, normalised."""
    shape, normalizer = network.in_shape, network.normalizer
    if len(shape) != 2:
        raise _not_streamed(f"model {network.name!r}", f"samples of shape {list(shape)}")
    if normalizer is not None and normalizer.mean.ndim > 1:
        raise _not_streamed("input.over", "'feature', a mean of its own for every step")
    x = b.input("x", (BATCH, shape[1]))
    return x if normalizer is None else emit_normalized(b, normalizer, x)


def _not_streamed(where: str, got: str) -> ConfigError:
    return ConfigError(
        where,
        expected="sequences that are normalised over 'channel' or 'all', and recurrent layers",
        got=got,
        fix="export without --form stream, or train a recurrent model for streams",
    )
