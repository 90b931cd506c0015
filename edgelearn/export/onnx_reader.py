"""An ONNX file as a Graph. An op that is not known is named with its node, never skipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx  # noqa: TID251  this file reads ONNX models

from edgelearn.arrays import Array
from edgelearn.errors import GraphError
from edgelearn.export.onnx_arms import ARMS
from edgelearn.export.onnx_arms_moves import MOVING_ARMS
from edgelearn.export.onnx_arms_quant import QUANT_ARMS
from edgelearn.export.onnx_arms_sparse import follow
from edgelearn.export.onnx_arms_spatial import SPATIAL_ARMS
from edgelearn.export.onnx_fold import FOLDS, fold, has_open_length, shape_of
from edgelearn.export.onnx_load import (
    MAX_BYTES,
    OnnxNode,
    bad_file,
    load_model,
    opset_of,
    read_node,
    read_tensor,
    unsupported,
)
from edgelearn.export.onnx_values import Held, Values
from edgelearn.ir.builder import Builder
from edgelearn.ir.graph import Graph
from edgelearn.ir.store import Bundle
from edgelearn.ir.tensor import BATCH, DType, TensorSpec

READ = ARMS | MOVING_ARMS | SPATIAL_ARMS | QUANT_ARMS
KNOWN_OPS = READ.keys() | FOLDS.keys() | {"Shape"}
PREFIX = "edgelearn."
DTYPES: dict[int, DType] = {
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.INT32: "int32",
    onnx.TensorProto.INT64: "int64",
    onnx.TensorProto.INT8: "int8",
    onnx.TensorProto.UINT8: "uint8",
    onnx.TensorProto.UINT16: "uint16",
}


def read_graph(path: Path) -> Graph:
    """The Graph in the ONNX file at `path`; `read_bundle` says what is raised.

    Images are held as (batch, height, width, channels); inputs and outputs keep the shapes
    they have in the file.

    >>> import tempfile
    >>> from edgelearn.export.onnx_writer import to_bytes
    >>> b = Builder("rectify")
    >>> graph = b.graph([b.unary("relu", b.input("x", (BATCH, 4)))])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "rectify.onnx")
    ...     _ = path.write_bytes(to_bytes(graph))
    ...     read_graph(path).nodes == graph.nodes
    True
    """
    (graph,) = read_bundle(path).graphs.values()
    return graph


def read_bundle(path: Path) -> Bundle:
    """What an ONNX file holds: one Graph by its phase, and what the file says of itself.

    Raises
    ------
    MissingFile
        If there is no such file.
    ModelFileError
        If it is too large, damaged, no ONNX, or keeps tensors in other files.
    UnsupportedOp
        If a node, an input or the opset cannot be read; the message names the node.
    """
    model = load_model(path, KNOWN_OPS)
    try:
        meta = _metadata(path, model)
        states = meta.pop("states", {})
        graph = _Reader(path, model, states).graph()
    except GraphError as error:
        raise bad_file(path, error.expected, f"{error.where}: {error.got}") from None
    except UnicodeDecodeError as error:
        raise bad_file(path, "names in UTF-8", str(error)) from None
    return Bundle({meta.pop("phase", "infer"): graph}, meta)


def _metadata(path: Path, model: onnx.ModelProto) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for entry in model.metadata_props:
        if entry.key.startswith(PREFIX):
            key = entry.key.removeprefix(PREFIX)
            plain = key in ("version", "phase")
            try:
                found[key] = entry.value if plain else json.loads(entry.value)
            except (ValueError, RecursionError):
                raise bad_file(path, f"JSON in {entry.key}", repr(entry.value[:40])) from None
    states = found.get("states", {})
    if not isinstance(states, dict) or not all(isinstance(v, str) for v in states.values()):
        raise bad_file(path, "names by name in edgelearn.states", str(states)[:40])
    return found


def _spec_of(path: Path, info: onnx.ValueInfoProto) -> TensorSpec:
    """What an input of the file is; its first dimension, or the one named batch, may be open."""
    tensor = info.type.tensor_type
    dims = tuple(d.dim_value if d.HasField("dim_value") else BATCH for d in tensor.shape.dim)
    free = [i for i, d in enumerate(dims) if d == BATCH]
    is_batch = free in ([], [0]) or [tensor.shape.dim[i].dim_param for i in free] == ["batch"]
    if is_batch and tensor.elem_type in DTYPES and tensor.HasField("shape"):
        return TensorSpec(dims, DTYPES[tensor.elem_type])
    shown = ", ".join("open" if d == BATCH else str(d) for d in dims)
    raise unsupported(
        path,
        "input",
        info.name,
        f"one of {', '.join(DTYPES.values())}, open in the first dimension only",
        f"{onnx.TensorProto.DataType.Name(tensor.elem_type)} [{shown}]",
        fix="write the dimensions into the file with onnx.tools.update_model_dims",
    )


class _Reader:
    def __init__(self, path: Path, model: onnx.ModelProto, states: dict[str, str]) -> None:
        self.path, self.model, self.states = path, model, states
        self.opset = opset_of(path, model)
        names = {name for node in model.graph.node for name in (*node.input, *node.output)}
        self.b = Builder(model.graph.name or path.stem)
        self.v = Values(self.b, names | {i.name for i in model.graph.input})
        self.folded_bytes = 0

    def graph(self) -> Graph:
        tensors = {t.name: read_tensor(self.path, t) for t in self.model.graph.initializer}
        self.v.constants.update({n: t for n, t in tensors.items() if n not in self.states})
        for info in self.model.graph.input:
            if info.name not in self.v.constants:
                self._input(info, tensors.get(info.name))
        for proto in self.model.graph.node:
            self._node(read_node(self.path, proto))
        after_states = self.states.values()
        outputs = [self._output(o) for o in self.model.graph.output if o.name not in after_states]
        for state, after in self.states.items():
            self._require_known(after, "states", "edgelearn.states")
            self.b.update(state, self.v.read(after))
        return self.b.graph(outputs)

    def _input(self, info: onnx.ValueInfoProto, init: Array | None) -> None:
        spec = _spec_of(self.path, info)
        if init is None:
            name = self.b.input(info.name, spec.shape, spec.dtype)
        else:
            name = self.b.state(info.name, init, spec.shape)
        self.v.held[name] = Held(name, tuple(range(len(spec.shape))))

    def _output(self, info: onnx.ValueInfoProto) -> str:
        self._require_known(info.name, info.name, "output")
        name = self.v.result(info.name)
        declared = DTYPES.get(info.type.tensor_type.elem_type)
        if declared != self.b.specs[name].dtype:
            got = f"{self.b.specs[name].dtype} where the file says {declared}"
            raise unsupported(self.path, "output", info.name, "the declared dtype", got)
        return name

    def _node(self, n: OnnxNode) -> None:
        given = [self.v.constants.get(name) for name in n.inputs]
        known = all(a is not None for a, name in zip(given, n.inputs, strict=True) if name)
        open_cast = n.op == "Cast" and given[0] is not None and has_open_length(given[0])
        for name in filter(None, n.inputs):
            self._require_known(name, n.name, n.op)
        try:
            if n.op == "Shape":
                self._keep(n.out, shape_of(n, self.v.shape(n.inputs[0])))
            elif follow(self.v, n):
                return
            elif known and n.op in FOLDS and not open_cast:
                self._keep(n.out, fold(n, given))
            elif n.op in READ:
                READ[n.op](self.v, n, self.opset)
            else:
                raise unsupported(self.path, n.op, n.name, "constant inputs", "computed ones")
        except GraphError as error:
            got = error.got if error.where == "node" else f"{error.where}: {error.got}"
            raise unsupported(self.path, n.op, n.name, error.expected, got) from None
        except (LookupError, TypeError, ValueError, ZeroDivisionError) as error:
            got = f"{type(error).__name__}: {error}"
            raise unsupported(self.path, n.op, n.name, "attributes that fit", got) from None

    def _require_known(self, name: str, node: str, op: str) -> None:
        v = self.v
        if all(name not in known for known in (v.constants, v.held, v.merged, v.placed)):
            got = f"{name!r}, which nothing here makes"
            raise unsupported(self.path, op, node, "inputs that can be read", got)

    def _keep(self, name: str, value: Array) -> None:
        self.folded_bytes += value.nbytes
        if self.folded_bytes > MAX_BYTES:
            raise bad_file(self.path, f"at most {MAX_BYTES} bytes of constants", "more")
        self.v.constants[name] = value
