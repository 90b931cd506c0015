"""From bytes on disk to a checked ONNX model in memory; nothing outside the file is ever read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx  # noqa: TID251  this file reads ONNX models
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from edgelearn.arrays import Array
from edgelearn.errors import ModelFileError, UnsupportedOp
from edgelearn.export.onnx_functions import DOMAIN, FUNCTIONS
from edgelearn.files import require_file

MAX_BYTES = 1 << 30
"""Files larger than this are refused before they are read."""
OPSETS = range(7, 25)
"""Before 7 the rules of broadcasting were others; after 24 come forms that were not checked."""


@dataclass(frozen=True, slots=True)
class OnnxNode:
    """One node with its attributes as Python values; tensors are arrays."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]

    @property
    def out(self) -> str:
        """The first output."""
        return self.outputs[0]

    def input(self, position: int) -> str:
        """An input by position; empty if it is left out."""
        return self.inputs[position] if position < len(self.inputs) else ""


def load_model(path: Path, known_ops: Iterable[str]) -> onnx.ModelProto:
    """The model in the file at `path`.

    Parameters
    ----------
    path : Path
    known_ops : iterable of str
        Names of the ops that the caller can read.

    Raises
    ------
    MissingFile
        If there is no such file.
    ModelFileError
        If it is too large, damaged, no ONNX, or keeps tensors in other files.
    UnsupportedOp
        If a node has another op, or the model another opset.
    """
    require_file(path, "model", "check the name; ONNX files end in .onnx")
    size_bytes = path.stat().st_size
    if size_bytes > MAX_BYTES:
        raise bad_file(path, f"at most {MAX_BYTES} bytes", f"{size_bytes} bytes")
    try:
        model = onnx.ModelProto.FromString(path.read_bytes())
    except DecodeError as error:
        raise bad_file(path, "a whole ONNX file", f"one that cannot be parsed ({error})") from None
    if not model.ir_version or not model.graph.node:
        raise bad_file(path, "an ONNX model with nodes", "none")
    try:
        _check(path, model, frozenset(known_ops))
    except (onnx.checker.ValidationError, UnicodeDecodeError) as error:
        raise bad_file(path, "a model that follows the ONNX rules", reason_of(error)) from None
    return model


def _check(path: Path, model: onnx.ModelProto, known: frozenset[str]) -> None:
    if model.graph.sparse_initializer:
        got = "sparse initializers, which few runtimes read"
        raise bad_file(path, "dense tensors", got, "decode them before export")
    for function in model.functions:
        _require_ours(path, function, opset_of(path, model))
    del model.training_info[:]
    for tensor in model.graph.initializer:
        _require_inside(path, tensor)
    for node in model.graph.node:
        _require_known(path, node, known)
        for a in node.attribute:
            for tensor in (a.t, *a.tensors, a.sparse_tensor.values, a.sparse_tensor.indices):
                _require_inside(path, tensor)
    opset_of(path, model)
    onnx.checker.check_model(model)


def opset_of(path: Path, model: onnx.ModelProto) -> int:
    """The version of the standard operator set that `model` uses."""
    versions = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    if len(versions) != 1 or versions[0] not in OPSETS:
        raise UnsupportedOp(
            f"model {str(path)!r}",
            expected=f"opset {OPSETS[0]} to {OPSETS[-1]}",
            got=str(versions[0]) if versions else "none",
            fix="convert the model to such an opset with onnx.version_converter",
        )
    return int(versions[0])


def read_node(path: Path, proto: onnx.NodeProto) -> OnnxNode:
    """`proto` with its attributes as Python values."""
    attributes = {}
    for attribute in proto.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, onnx.TensorProto):
            value = read_tensor(path, value)
        attributes[attribute.name] = value.decode() if isinstance(value, bytes) else value
    outputs = tuple(proto.output)
    name = proto.name or outputs[0]
    return OnnxNode(proto.op_type, name, tuple(proto.input), outputs, attributes)


def read_tensor(path: Path, proto: onnx.TensorProto) -> Array:
    """The array in `proto`."""
    try:
        return np.asarray(onnx.numpy_helper.to_array(proto))
    except (ValueError, TypeError, KeyError) as error:
        reason = f"tensor {proto.name!r} ({reason_of(error)})"
        raise bad_file(path, "whole tensors of a known type", reason) from None


def reason_of(error: Exception) -> str:
    """The first line of what `error` says, or its name if it says nothing.

    >>> reason_of(MemoryError())
    'MemoryError'
    """
    return next(iter(str(error).splitlines()), type(error).__name__)


def bad_file(
    path: Path, expected: str, got: str, fix: str = "download or export the model again"
) -> ModelFileError:
    """What is raised for a file that cannot be used."""
    return ModelFileError(f"model {str(path)!r}", expected=expected, got=got, fix=fix)


def unsupported(
    path: Path,
    op: str,
    name: str,
    expected: str,
    got: str,
    *,
    fix: str = "export the model without it, or ask us for it",
) -> UnsupportedOp:
    """What is raised for a node that cannot be read."""
    return UnsupportedOp(
        f"model {str(path)!r}, node {name!r}, op {op}",
        expected=expected,
        got=got,
        fix=fix,
    )


def _require_inside(path: Path, tensor: onnx.TensorProto) -> None:
    """Refuse a tensor in another file, before anything looks at that file."""
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        got = f"{tensor.name or 'one'!r} in another file"
        fix = "save the model with its tensors inside"
        raise bad_file(path, "all tensors within the file", got, fix)


def _require_ours(path: Path, function: onnx.FunctionProto, opset: int) -> None:
    """Refuse a function that is not one that we write, to the byte."""
    name = function.name
    ours = FUNCTIONS.get(name) if function.domain == DOMAIN else None
    if ours is None or function.SerializeToString() != ours(opset).SerializeToString():
        raise unsupported(path, name, name, "standard ops", "a function of the model's own")


def _require_known(path: Path, node: onnx.NodeProto, known: frozenset[str]) -> None:
    domains = (DOMAIN,) if node.op_type in FUNCTIONS else ("", "ai.onnx")
    if node.op_type in known and node.domain in domains:
        return
    kind = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    name = node.name or (node.output[0] if node.output else "")
    raise unsupported(path, kind, name, "one of " + ", ".join(sorted(known)), "an op not known")
