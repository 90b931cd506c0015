"""A network as Graphs: inference, and the training step with parameters as states."""

from __future__ import annotations

from edgelearn.ir import BATCH, Builder, Graph
from edgelearn.ir.ops import AddOuter, BatchSize, OneHot, Reduce
from edgelearn.layers import Trace
from edgelearn.losses import emit_head_error
from edgelearn.network import Block, Network


def to_graph(network: Network) -> Graph:
    """Inference: input ``x`` (batch, *in_shape), output ``probabilities`` (batch, classes)."""
    b = Builder(network.name)
    x = _emit_input(b, network)
    for block in network.blocks:
        with b.scope(block.name):
            params = {k: b.constant(f"{block.name}.{k}", v) for k, v in block.params.items()}
            x = block.layer.emit(b, params, x).a
    return b.graph([b.rename(x, "probabilities")])


def to_train_graph(network: Network) -> Graph:
    """One step of all layers at once, as `edgelearn.engine.train_step` makes it.

    Inputs ``x`` (batch, *in_shape), ``y`` int64 (batch,), ``lr`` float32 (); outputs
    ``probabilities`` (batch, classes) before the update and ``loss`` (), the mean of their
    cross-entropy. The parameters are states. With ``lr`` = 0 the step is inference.
    """
    b = Builder(f"{network.name}-train")
    x = _emit_input(b, network)
    y = b.input("y", (BATCH,), "int64")
    count = b.apply(BatchSize(), y, name="samples")
    rate = b.binary("div", b.input("lr", ()), count, name="rate")
    for block in network.blocks:
        with b.scope(block.name):
            params = {k: b.state(f"{block.name}.{k}", v) for k, v in block.params.items()}
            trace = block.layer.emit(b, params, x)
            _emit_update(b, block, params, trace, y, rate)
        x = trace.a
    loss = _emit_loss(b, x, y)
    return b.graph([b.rename(x, "probabilities"), b.rename(loss, "loss")])


def _emit_input(b: Builder, network: Network) -> str:
    x = b.input("x", (BATCH, *network.in_shape))
    normalizer = network.normalizer
    if normalizer is None:
        return x
    with b.scope("input"):
        centred = b.binary("sub", x, b.constant("input.mean", normalizer.mean))
        return b.binary("mul", centred, b.constant("input.scale", normalizer.scale))


def _emit_update(
    b: Builder, block: Block, params: dict[str, str], trace: Trace[str], y: str, rate: str
) -> None:
    if block.lr_scale != 1:
        rate = b.binary("mul", rate, b.scalar(block.lr_scale))
    e = _emit_local_error(b, block, trace.a, y, rate)
    for key, value in block.layer.emit_update(b, params, trace, e, rate).items():
        b.update(params[key], b.rename(value, f"{params[key]}.next"))


def _emit_local_error(b: Builder, block: Block, a: str, y: str, rate: str) -> str:
    """The error of a hidden layer, and the update of its projection if that is learned."""
    if block.projection is None:
        return emit_head_error(b, a, y)
    name = f"{block.name}.p"
    if not block.learns_projection:
        return block.loss.emit_error(b, a, y, b.constant(name, block.projection))[0]
    p = b.state(name, block.projection)
    e, slope = block.loss.emit_error(b, a, y, p)
    if slope is not None:
        step = b.binary("mul", slope, b.unary("neg", rate))
        b.update(p, b.apply(AddOuter(), p, step, a, name=f"{name}.next"))
    return e


def _emit_loss(b: Builder, probabilities: str, y: str) -> str:
    classes = b.specs[probabilities].shape[-1]
    tiny = b.scalar(1e-37)
    log = b.unary("log", b.binary("max", probabilities, tiny))
    chosen = b.binary("mul", log, b.apply(OneHot(classes), y))
    return b.unary("neg", b.apply(Reduce("mean", (0,)), b.apply(Reduce("sum", (-1,)), chosen)))
