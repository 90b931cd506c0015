"""From a model file of ours to a verified file for a runtime."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from edgelearn import __version__
from edgelearn.errors import OptionError, unknown
from edgelearn.export.onnx_writer import DEFAULT_OPSET, names_of, to_bytes
from edgelearn.export.verify import TOLERANCES, compare, golden_steps
from edgelearn.files import write_atomic
from edgelearn.ir.store import Bundle
from edgelearn.runtimes import onnx as onnxruntime

FORMATS = (".onnx",)


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, and how it was verified.

    Attributes
    ----------
    path, format : str
    bytes : int
        Size of the file.
    dense_bytes : int
        Size it has with every weight stored as float32.
    max_abs_error : dict of str to float
        By runtime, as `edgelearn.export.verify.compare` measures it.
    runtimes : list of str
        Name and version of each runtime that ran the file.
    refused : list of str
        Runtimes that must not be given this file, each with the reason.
    """

    path: str
    format: str
    bytes: int
    dense_bytes: int
    max_abs_error: dict[str, float]
    runtimes: list[str]
    refused: list[str]


def check_format(path: Path) -> None:
    """Raise `OptionError` if files of that suffix are not written."""
    if path.suffix.lower() not in FORMATS:
        raise OptionError(
            f"output {str(path)!r}",
            expected=f"a name that ends in {' or '.join(FORMATS)}",
            got=f"the suffix {path.suffix!r}",
            fix=f"write {path.with_suffix(FORMATS[0]).name!r}",
        )


def export_onnx(bundle: Bundle, phase: str, path: Path, opset: int = DEFAULT_OPSET) -> Exported:
    """Write one phase of `bundle` to `path` as ONNX, once onnxruntime agrees with the interpreter.

    Parameters
    ----------
    bundle : Bundle
        Samples for the comparison are taken from ``extra["golden/NAME"]`` for input NAME.
    phase : str
        ``infer``, ``train``, or another that the bundle holds.
    path : Path
        Replaced as a whole, or not at all.
    opset : int

    Raises
    ------
    UnknownName
        If the model has no such phase.
    ParityError
        If onnxruntime computes something else; `path` is untouched.
    MissingRuntime
        If onnxruntime is not installed: nothing is written that was not verified.
    OutputError
        If `path` cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from edgelearn.ir import Builder
    >>> b = Builder("rectify")
    >>> bundle = Bundle({"infer": b.graph([b.unary("relu", b.input("x", (-1, 4)))])}, {})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export_onnx(bundle, "infer", Path(folder, "rectify.onnx")).max_abs_error
    {'onnxruntime': 0.0}
    """
    if phase not in bundle.graphs:
        raise unknown("phase", phase, bundle.graphs)
    graph = bundle.graphs[phase]
    content = to_bytes(graph, metadata=metadata(bundle, phase), opset=opset)
    session = onnxruntime.OnnxSession(content)
    steps = golden_steps(graph, bundle.extra)
    parity = compare(graph, *names_of(graph), session.run, steps)
    runtime = f"onnxruntime {onnxruntime.version()}"
    parity.require(f"export {str(path)!r}", runtime, TOLERANCES["onnx", "float32"])
    write_atomic(path, content)
    return Exported(
        path=str(path),
        format="onnx",
        bytes=len(content),
        dense_bytes=len(content),
        max_abs_error={"onnxruntime": parity.max_abs_error},
        runtimes=[runtime],
        refused=[],
    )


def metadata(bundle: Bundle, phase: str) -> dict[str, str]:
    """What an exported file says of itself: text or JSON by key.

    >>> metadata(Bundle({}, {"classes": ["no", "yes"]}), "infer")["edgelearn.classes"]
    '["no", "yes"]'
    """
    found = {"edgelearn.version": __version__, "edgelearn.phase": phase}
    for key in ("classes", "outputs", "card", "recipe"):
        if bundle.meta.get(key):
            found[f"edgelearn.{key}"] = json.dumps(bundle.meta[key])
    return found
