"""From a model file of ours to a verified file for a runtime."""

from __future__ import annotations

import contextlib
import importlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from edgelearn import __version__
from edgelearn.errors import MissingRuntime, OptionError, unknown
from edgelearn.export.target import Draft, Options, Target
from edgelearn.export.verify import TOLERANCES, compare, golden_steps, precision_of
from edgelearn.files import staged
from edgelearn.ir.graph import Graph
from edgelearn.ir.store import Bundle
from edgelearn.passes.sparsify import sparsify

TARGETS = {
    ".onnx": "edgelearn.export.onnx_target",
    ".tflite": "edgelearn.export.tflite_target",
    ".c": "edgelearn.export.c_target",
}
"""The module that has the `Target`, by suffix; it is imported when it is asked for."""

NEEDLESS = {(".onnx", "batch"): ": such a file takes any number of samples"}
"""Why a target does without an option, by suffix and option."""


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


def target_of(path: Path, options: Options) -> Target:
    """The target that writes files of that suffix with these options, or `OptionError`."""
    suffix = path.suffix.lower()
    if suffix not in TARGETS:
        raise OptionError(
            f"output {str(path)!r}",
            expected=f"a name that ends in {' or '.join(TARGETS)}",
            got=f"the suffix {path.suffix!r}",
            fix=f"write {(path.stem or 'model') + next(iter(TARGETS))!r}",
        )
    try:
        target: Target = importlib.import_module(TARGETS[suffix]).TARGET
    except ModuleNotFoundError as error:
        raise MissingRuntime(
            f"output {str(path)!r}",
            expected=f"what writes and runs {suffix} files",
            got=str(error),
            fix=f"pip install {error.name}",
        ) from None
    for name, value in asdict(options).items():
        if value is not None and name not in target.options:
            raise OptionError(
                f"option --{name}",
                expected=f"no such option for {suffix} files",
                got=str(value),
                fix=f"leave --{name} out{NEEDLESS.get((suffix, name), '')}",
            )
    return target


def export(
    bundle: Bundle,
    phase: str,
    path: Path,
    options: Options | None = None,
    plain: Graph | None = None,
) -> Exported:
    """Write one phase of `bundle` to `path`, once every runtime agrees with the interpreter.

    Parameters
    ----------
    bundle : Bundle
        Samples for the comparison are taken from ``extra["golden/NAME"]`` for input NAME.
    phase : str
        ``infer``, ``train``, or another that the bundle holds.
    path : Path
        Its suffix says the format. Replaced as a whole, or not at all.
    options : Options, optional
    plain : Graph, optional
        The phase with every weight as float32, if it is not the Graph of the bundle.

    Raises
    ------
    OptionError
        If that format is not written, or has no such option.
    UnknownName
        If the model has no such phase.
    UnsupportedOp
        If the format has no form for an op.
    ParityError
        If a runtime computes something else; `path` is untouched.
    MissingRuntime
        If no runtime is installed: nothing is written that was not verified.
    OutputError
        If `path` cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from edgelearn.ir import Builder
    >>> b = Builder("rectify")
    >>> bundle = Bundle({"infer": b.graph([b.unary("relu", b.input("x", (-1, 4)))])}, {})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export(bundle, "infer", Path(folder, "rectify.onnx")).max_abs_error
    {'onnxruntime': 0.0}
    """
    options = options or Options()
    target = target_of(path, options)
    if phase not in bundle.graphs:
        raise unknown("phase", phase, bundle.graphs)
    if "name" in target.options:
        options = replace(options, name=path.stem)
    whole, meta = bundle.graphs[phase], metadata(bundle, phase)
    graph = sparsify(whole) if "dense" in target.options and not options.dense else whole
    draft = target.draft(graph, meta, options)
    plain = plain or whole
    dense = draft if graph is plain else target.draft(plain, meta, options)
    errors, runtimes = _judge(target, draft, graph, bundle, f"export {str(path)!r}")
    _write(path, draft)
    return Exported(
        path=str(path),
        format=target.format,
        bytes=len(draft.content),
        dense_bytes=len(dense.content),
        max_abs_error=errors,
        runtimes=runtimes,
        refused=list(draft.refused),
    )


def _judge(
    target: Target, draft: Draft, graph: Graph, bundle: Bundle, where: str
) -> tuple[dict[str, float], list[str]]:
    """The error of `draft` by lane, and what ran it; `ParityError` at the first that is wrong."""
    errors, runtimes = {}, []
    for lane in target.lanes(draft):
        whole, outputs, states = graph, draft.outputs, draft.states
        if lane.graph is not None:
            whole = lane.graph
            outputs = {name: name for name in whole.outputs}
            states = {state.input: state.input for state in whole.states}
        steps = golden_steps(whole, bundle.extra, lane.batch or draft.batch)
        parity = compare(whole, outputs, states, lane.run, steps)
        runtimes.append(f"{lane.name} {lane.version}")
        parity.require(where, runtimes[-1], TOLERANCES[target.format, precision_of(graph)])
        errors[lane.name] = parity.max_abs_error
    return errors, runtimes


def _write(path: Path, draft: Draft) -> None:
    """Replace all files of a draft when all of them are there."""
    contents = {path: draft.content} | {path.with_suffix(s): c for s, c in draft.beside.items()}
    with contextlib.ExitStack() as stack:
        for target, content in contents.items():
            stack.enter_context(staged(target)).write_bytes(content)


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
