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
    plain backpropagation, through time where there is time, as sparing as it can be made: updates
    in place, no gradient kept that need not be, but every activation.

For any network. drtp and dfa are local learning with other errors: the engine makes their steps.
bp and fa of dense layers are made by its kernels too, fused; those of all others, and with an
optimiser that remembers, are a Graph (`to_control_graph`) that the interpreter runs. A control has
no use for a learned projection: it stays as it was drawn. Layers with ``learn = false`` stay as
they are.
"""

from __future__ import annotations

from edgelearn.arrays import F32, Array
from edgelearn.buffers import Buffers
from edgelearn.config import Method, TrainConfig
from edgelearn.controls._direct import Direct
from edgelearn.controls._fused import Fused, fused_bytes, is_plain
from edgelearn.controls._graph import to_control_graph
from edgelearn.controls._interpreted import Interpreted
from edgelearn.engine import working_set_bytes
from edgelearn.ir import plan_arena
from edgelearn.network import Network

__all__ = ["Control", "to_control_graph", "training_bytes"]


class Control:
    """One step of a control method after the other, of any of the above but ``shallow``.

    Attributes
    ----------
    buffers : Buffers
        Where samples are loaded.
    """

    def __init__(self, network: Network, method: Method, batch: int, seed: int) -> None:
        self._way: Direct | Fused | Interpreted
        if method in ("drtp", "dfa"):
            self._way = Direct(network, method, batch)
        elif is_plain(network):
            self._way = Fused(network, method, batch, seed)
        else:
            self._way = Interpreted(network, method, batch, seed)
        self.buffers: Buffers = self._way.buffers

    def step(self, x: F32, labels: Array, lr: float) -> float:
        """One step on normalised `x`; the mean loss of the head before the update."""
        return self._way.step(x, labels, lr)


def training_bytes(network: Network, config: TrainConfig) -> int:
    """Bytes of our own arrays while training `network` by the method and batch of `config`.

    Feedback alignment holds its matrices besides, and direct feedback alignment the error at the
    head. Of a Graph: what it holds from step to step, and its arena.
    """
    batch = config.batch
    match config.method:
        case "tpsgd" | "shallow" | "drtp":
            return working_set_bytes(network, batch)
        case "dfa":
            return working_set_bytes(network, batch) + 4 * batch * network.width
        case "bp" | "fa" if is_plain(network):
            return fused_bytes(network, config.method, batch)
        case _:
            return _graph_bytes(network, config)


def _graph_bytes(network: Network, config: TrainConfig) -> int:
    graph = to_control_graph(network, config.method, config.seed, config.batch)
    states = (state.init.nbytes for state in graph.states)
    constants = (value.nbytes for value in graph.constants.values())
    arena = plan_arena(graph.bind(config.batch))
    return sum(states) + sum(constants) + arena.size_bytes
