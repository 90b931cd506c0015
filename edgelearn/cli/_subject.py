"""What `simulate` and `check` look at: the Graphs of a model file or of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgelearn.errors import OptionError, unknown
from edgelearn.files import require_file
from edgelearn.ir import Graph, store
from edgelearn.ir.store import Bundle


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """Graphs by phase, and what else is known of the model.

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
    """The model in a ``.safetensors`` file of ours or in an ``.onnx`` file."""
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        from edgelearn.planning import plan_bundle

        bundle = store.read(path)
        planned = plan_bundle(bundle, f"model {str(path)!r}")
        return Subject(path, bundle.graphs, planned.batch, planned.working_set_bytes, bundle)
    if suffix == ".onnx":
        from edgelearn.export.onnx_reader import read_graph

        fix = "make it with 'edgelearn export', or name another file"
        graph = read_graph(require_file(path, "model", fix))
        return Subject(path, {_phase(graph): graph}, batch=1)
    raise OptionError(
        f"model {str(path)!r}",
        expected="a .safetensors file of edgelearn or an .onnx file",
        got=f"the suffix {path.suffix!r}",
        fix="convert the model to ONNX, or mend the name",
    )


def from_recipe(path: Path) -> Subject:
    """The model that the recipe at `path` describes, before any training."""
    from edgelearn.planning import plan_recipe

    planned = plan_recipe(path)
    return Subject(path, planned.graphs, planned.batch, planned.working_set_bytes)


def _phase(graph: Graph) -> str:
    """A hidden state has one row a sample; a state without is a parameter under training."""
    parameters = any(not graph.specs[state.input].has_batch for state in graph.states)
    return "train" if parameters else "infer"
