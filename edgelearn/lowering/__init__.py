"""A network as Graphs: inference, one time step of it, and one step of learning."""

from edgelearn.lowering._infer import emit_forward, to_exit_graph, to_graph
from edgelearn.lowering._stream import to_stream_graph
from edgelearn.lowering._train import MASK_SUFFIX, Step, emit_local_learning, to_train_graph

__all__ = [
    "MASK_SUFFIX",
    "Step",
    "emit_forward",
    "emit_local_learning",
    "to_exit_graph",
    "to_graph",
    "to_stream_graph",
    "to_train_graph",
]
