"""What `simulate` and `check` look at: the Graphs of a model file or of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgelearn.errors import unknown
from edgelearn.export.describe import read_model
from edgelearn.ir import Graph
from edgelearn.ir.store import Bundle
from edgelearn.passes.sparsify import sparsify


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """Graphs by phase, as they are exported, and what else is known of the model.

    `batch` is the number of samples in a training step. `working_set_bytes` is None where
    the engine is not involved, `bundle` is None unless the file is one of ours.
    """

    path: Path
    graphs: Mapping[str, Graph]
    batch: int
    working_set_bytes: int | None = None
    bundle: Bundle | None = None

    def graph(self, phase: str) -> Graph:
        """The Graph of `phase`, or `UnknownName`."""
        if phase not in self.graphs:
            raise unknown("phase", phase, self.graphs)
        return self.graphs[phase]

    def batch_of(self, phase: str) -> int:
        """Samples in one run of `phase`."""
        return self.batch if phase == "train" else 1


def from_file(path: Path) -> Subject:
    """The model in a ``.safetensors`` file of ours, or in an ``.onnx`` or ``.tflite`` file."""
    bundle = read_model(path)
    if path.suffix.lower() != ".safetensors":
        return Subject(path, bundle.graphs, batch=1)
    from edgelearn.planning import plan_bundle

    planned = plan_bundle(bundle, f"model {str(path)!r}")
    return Subject(path, _lowered(planned.graphs), planned.batch, planned.working_set_bytes, bundle)


def from_recipe(path: Path) -> Subject:
    """The model that the recipe at `path` describes, before any training."""
    from edgelearn.planning import plan_recipe

    planned = plan_recipe(path)
    return Subject(path, _lowered(planned.graphs), planned.batch, planned.working_set_bytes)


def _lowered(graphs: Mapping[str, Graph]) -> Mapping[str, Graph]:
    """`graphs` with pruned matrices stored without their zeros, where that is smaller."""
    return {phase: sparsify(graph) for phase, graph in graphs.items()}
