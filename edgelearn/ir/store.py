"""Graphs to and from one safetensors file: tensors, and a JSON header that says what they are.

The file holds no code and no pickle. The header names the format, its version and a digest of
all else; a file of another format, of a newer version or with a changed bit is refused with the
reason. All of it stands under one key of the metadata: with several, the order in which
safetensors writes them would differ from run to run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from safetensors import SafetensorError
from safetensors.numpy import load, save

from edgelearn.arrays import Array
from edgelearn.errors import EdgelearnError, ModelFileError
from edgelearn.files import require_file, write_atomic
from edgelearn.ir.graph import Graph, Node, State
from edgelearn.ir.ops import OPS
from edgelearn.ir.packing import pack, unpack
from edgelearn.ir.tensor import TensorSpec

FORMAT = "edgelearn"
VERSION = 1
MAX_BYTES = 1 << 30
"""Files larger than this are refused before they are read."""


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """What a model file holds.

    Attributes
    ----------
    graphs : mapping of str to Graph
        By phase: ``infer`` and ``train``. Arrays of the same name are stored once.
    meta : mapping
        JSON: recipe, class names, model card, progress of training.
    extra : mapping of str to array
        Arrays that belong to no graph, such as golden samples.
    """

    graphs: Mapping[str, Graph]
    meta: Mapping[str, Any]
    extra: Mapping[str, Array] = field(default_factory=dict)


class _NodeJson(msgspec.Struct, forbid_unknown_fields=True):
    op: str
    attrs: dict[str, Any]
    inputs: tuple[str, ...]
    output: str


class _GraphJson(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: list[_NodeJson]
    specs: dict[str, TensorSpec]
    constants: list[str]
    states: dict[str, str]


class _HeaderJson(msgspec.Struct, omit_defaults=True):
    graphs: dict[str, _GraphJson]
    meta: dict[str, Any]
    packed: dict[str, tuple[int, ...]] = {}


def to_bytes(bundle: Bundle) -> bytes:
    """`bundle` as the bytes of a safetensors file; the same bundle gives the same bytes."""
    tensors: dict[str, Array] = {f"extra/{name}": value for name, value in bundle.extra.items()}
    graphs = {}
    for phase, graph in bundle.graphs.items():
        arrays = {**graph.constants, **{s.input: s.init for s in graph.states}}
        for name, value in arrays.items():
            if not _same(tensors.setdefault(f"graph/{name}", value), value):
                raise ValueError(f"two graphs hold {name!r} with different values")
        graphs[phase] = _GraphJson(
            name=graph.name,
            inputs=graph.inputs,
            outputs=graph.outputs,
            nodes=[
                _NodeJson(type(n.op).__name__, asdict(n.op), n.inputs, n.output)
                for n in graph.nodes
            ],
            specs=dict(graph.specs),
            constants=list(graph.constants),
            states={s.input: s.output for s in graph.states},
        )
    contiguous = {name: value.copy(order="C") for name, value in tensors.items()}
    stored, packed = pack(contiguous)
    header = msgspec.to_builtins(_HeaderJson(graphs, dict(bundle.meta), packed))
    mark = {"version": VERSION, "sha256": _digest(header, stored), "header": header}
    return save(stored, metadata={FORMAT: json.dumps(mark)})


def _same(a: Array, b: Array) -> bool:
    return a is b or (a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())


def write(path: Path, bundle: Bundle) -> None:
    """Write `bundle` to `path`, atomically."""
    write_atomic(path, to_bytes(bundle))


def read(path: Path) -> Bundle:
    """The bundle in the file at `path`.

    Raises
    ------
    MissingFile
        If there is no such file.
    ModelFileError
        If it is truncated, damaged, too large, of another format or of a newer version.
    """
    require_file(path, "model", "run 'edgelearn train' first, or name a model with --model")
    if path.suffix in (".onnx", ".tflite"):
        got = f"a file ending in {path.suffix!r}"
        raise _bad(path, "a model that edgelearn wrote", got, "name the .safetensors file instead")
    size_bytes = path.stat().st_size
    if size_bytes > MAX_BYTES:
        raise _bad(path, f"at most {MAX_BYTES} bytes", f"{size_bytes} bytes")
    return from_bytes(path.read_bytes(), path)


def from_bytes(content: bytes, path: Path) -> Bundle:
    """The bundle in `content`; `path` is named in errors."""
    try:
        metadata = _metadata(content)
        tensors = load(content)
        mark = json.loads(metadata[FORMAT]) if FORMAT in metadata else None
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _bad(path, "a whole safetensors file", f"a damaged one ({_reason(error)})") from None
    if not isinstance(mark, dict):
        raise _bad(path, "a model that edgelearn wrote", "a safetensors file of another program")
    if mark.get("version") != VERSION:
        got = f"version {mark.get('version')!r}"
        raise _bad(path, f"format version {VERSION}", got, "use the edgelearn that wrote it")
    if mark.get("sha256") != _digest(mark.get("header"), tensors):
        raise _bad(path, "the bytes that were written", "others: the digest does not fit")
    try:
        header = msgspec.convert(mark["header"], _HeaderJson)
        tensors = unpack(tensors, header.packed, MAX_BYTES)
        graphs = {phase: _graph(parts, tensors) for phase, parts in header.graphs.items()}
    except (ArithmeticError, LookupError, ValueError, TypeError, EdgelearnError) as error:
        raise _bad(path, "a consistent header", f"another ({_reason(error)})") from None
    extra = {k.removeprefix("extra/"): v for k, v in tensors.items() if k.startswith("extra/")}
    return Bundle(graphs, header.meta, extra)


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _digest(header: object, tensors: Mapping[str, Array]) -> str:
    """sha256 of the header's JSON and of every tensor, in the order of their names."""
    found = hashlib.sha256(json.dumps(header).encode())
    for name, value in sorted(tensors.items()):
        found.update(f"{name} {value.dtype.name} {value.shape}".encode())
        found.update(value.tobytes())
    return found.hexdigest()


def _metadata(content: bytes) -> dict[str, str]:
    length = int.from_bytes(content[:8], "little")
    if not 0 < length <= len(content) - 8:
        raise ValueError("the header is longer than the file")
    header = json.loads(content[8 : 8 + length])
    found = header.get("__metadata__", {}) if isinstance(header, dict) else {}
    return found if isinstance(found, dict) else {}


def _graph(parts: _GraphJson, tensors: Mapping[str, Array]) -> Graph:
    nodes = tuple(
        Node(msgspec.convert(n.attrs, OPS[n.op]), n.inputs, n.output) for n in parts.nodes
    )
    return Graph(
        name=parts.name,
        inputs=parts.inputs,
        outputs=parts.outputs,
        nodes=nodes,
        specs=parts.specs,
        constants={c: tensors[f"graph/{c}"] for c in parts.constants},
        states=tuple(State(i, o, tensors[f"graph/{i}"]) for i, o in parts.states.items()),
    )


def _bad(
    path: Path, expected: str, got: str, fix: str = "train or copy the model again"
) -> ModelFileError:
    return ModelFileError(f"model {str(path)!r}", expected=expected, got=got, fix=fix)
