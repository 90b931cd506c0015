"""One step of a control as a Graph: the same inputs, outputs and states as that of tpSGD."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgelearn.arrays import F32
from edgelearn.config import Method
from edgelearn.controls._direct import Sent, require_projections, toward, with_losses
from edgelearn.controls._feedback import feedback
from edgelearn.ir import Builder, Graph, Node
from edgelearn.ir.ops import Softmax
from edgelearn.layers import Descent, Names
from edgelearn.lowering import Step, emit_forward, emit_local_learning
from edgelearn.network import Network
from edgelearn.passes.backward import Backward
from edgelearn.passes.reorder import reorder


def to_control_graph(network: Network, method: Method, seed: int, batch: int = 1) -> Graph:
    """One step of `method`, one of bp, fa, dfa and drtp, as `edgelearn.lowering.to_train_graph`.

    Parameters
    ----------
    network : Network
        Its projections stay as they are. Blocks with ``learn = false`` are constant; bp and fa
        carry errors through them.
    method : str
    seed : int
        What the matrices of fa follow from.
    batch : int
        What the order of the nodes suits best; any number of samples can be fed.
    """
    if method in ("drtp", "dfa"):
        require_projections(network, method)
    network = with_losses(network, toward if method == "drtp" else lambda readout: readout.loss)
    step = Step(network, f"{network.name}-{method}")
    match method:
        case "drtp":
            answer = emit_local_learning(step, network)
        case "dfa":
            answer = _emit_direct(step)
        case _:
            answer = _emit_backward(step, feedback(network, seed) if method == "fa" else {})
    return reorder(step.graph(answer), batch)


def _emit_direct(step: Step) -> str:
    """Forward; then every block by the error that was found at the head."""
    network = step.network
    *_, (_, _, answer) = emit_forward(step.b, network, step.x, step.forward)
    sent = Sent(_emit_error(step, answer))
    emit_local_learning(step, with_losses(network, lambda _: sent))
    return answer


def _emit_error(step: Step, answer: str) -> str:
    """The error at the head: of its activation, or of the sums that a softmax reads."""
    with step.b.scope("head"):
        return step.network.head.emit_error(step.b, answer, step.labels, None).error


def _emit_backward(step: Step, matrices: dict[str, F32]) -> str:
    """Forward, keeping what each block emitted; then back, each block moving when it is passed."""
    b, blocks = step.b, step.network.blocks
    parts: list[Sequence[Node]] = []
    done, answer = len(b.nodes), ""
    forward = emit_forward(b, step.network, step.x, step.forward)
    for index, (block, x, a) in enumerate(forward):
        parts.append(b.nodes[done:])
        if block.follows:
            step.follow(index, x)
        done, answer = len(b.nodes), a
    learned = [name for index in range(len(blocks)) for name in step.learned(index).values()]
    back = Backward(b, learned, _constants(b, matrices))
    last = b.nodes[-1]
    judged = last.inputs[0] if isinstance(last.op, Softmax) else answer
    back.send(judged, _emit_error(step, answer))
    for index in reversed(range(len(blocks))):
        with b.scope(f"{blocks[index].name}/back"):
            if step.learned(index):
                step.update(index, _descent(back, parts[index], step.params[index]))
            else:
                back.walk(parts[index])
    return answer


def _descent(back: Backward, nodes: Sequence[Node], params: Names) -> Descent:
    def descend(rate: str, into: Names) -> Names:
        new = back.walk(nodes, rate, {params[key]: value for key, value in into.items()})
        return {key: new[params[key]] for key in into}

    return descend


def _constants(b: Builder, matrices: dict[str, F32]) -> Callable[[str], str]:
    """What stands for a weight, by name; its constant is made when it is first asked for."""

    def weight(name: str) -> str:
        if name not in matrices:
            return name
        constant = f"{name}.feedback"
        return constant if constant in b.specs else b.constant(constant, matrices[name])

    return weight
