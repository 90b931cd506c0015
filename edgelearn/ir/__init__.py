"""The Graph: the narrow waist between training and everything that reads a model."""

from edgelearn.ir.arena import ArenaPlan, assign_offsets, plan_arena
from edgelearn.ir.builder import Builder
from edgelearn.ir.graph import Graph, Node, State
from edgelearn.ir.interp import Runner, run
from edgelearn.ir.lazy import LazyRun
from edgelearn.ir.tensor import BATCH, TensorSpec

__all__ = [
    "BATCH",
    "ArenaPlan",
    "Builder",
    "Graph",
    "LazyRun",
    "Node",
    "Runner",
    "State",
    "TensorSpec",
    "assign_offsets",
    "plan_arena",
    "run",
]
