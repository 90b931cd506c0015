"""Running TFLite files: the one place that knows which runtime is installed.

``ai-edge-litert`` is ``tflite-runtime`` under its new name and is taken first. The last
``tflite-runtime`` (2.14) was built against NumPy 1 but does not say so: with NumPy 2 it can be
imported, and fails at the first model with an error that names neither.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import numpy as np

from edgelearn.arrays import Array
from edgelearn.errors import DataShapeError, MissingRuntime, ModelFileError

RUNTIMES = {
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
}

DELEGATES = {"xnnpack": "AUTO", "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES"}
"""Ways to run a model, and what the runtimes call them. The first is what a caller gets who asks
for nothing: XNNPACK, and the runtime's own kernels for what that leaves."""
SOURCE_LINE = re.compile(r"\S+\.(cc|h):\d+ ")
"""Where in the runtime an error was raised, which says nothing to its user."""
_STDERR = 2


class TfliteSession:
    """A TFLite model that is loaded once and run many times through its signatures.

    Parameters
    ----------
    content : bytes
    runtime : str, optional
        One of `runtimes`; the first of them if it is left out.
    delegate : str
        One of `DELEGATES`.

    Attributes
    ----------
    name, version : str
        Of the runtime.

    Raises
    ------
    MissingRuntime
        If no such runtime is installed, or one that this NumPy breaks.
    ModelFileError
        If the runtime refuses the model.
    """

    def __init__(
        self, content: bytes, runtime: str | None = None, delegate: str = "xnnpack"
    ) -> None:
        self.name = runtime or runtimes()[0]
        self.version = installed(self.name)
        self._where = f"TFLite model on {self.name}/{delegate} {self.version}"
        module = importlib.import_module(RUNTIMES[self.name])
        kind = getattr(module.OpResolverType, DELEGATES[delegate])
        try:
            with _quiet():
                self._interpreter = module.Interpreter(
                    model_content=content, num_threads=1, experimental_op_resolver_type=kind
                )
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise _refused(self._where, error) from None

    def run(self, signature: str, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name of one run of `signature`.

        Raises
        ------
        DataShapeError
            If an input is missing, unknown, or has another shape or dtype than the model wants.
        ModelFileError
            If the model fails while it runs.
        """
        try:
            with _quiet():
                runner = self._interpreter.get_signature_runner(signature)
                details = runner.get_input_details()
        except (ValueError, RuntimeError) as error:
            raise _refused(self._where, error) from None
        fits = feeds.keys() == details.keys() and all(
            tuple(d["shape"]) == feeds[k].shape and d["dtype"] == feeds[k].dtype
            for k, d in details.items()
        )
        if not fits:
            raise _unfit(self._where, details.values(), feeds)
        try:
            with _quiet():
                return dict(runner(**feeds))
        except (ValueError, RuntimeError) as error:
            raise _refused(self._where, error) from None


def run_tflite(path: Path, feeds: Mapping[str | int, Array]) -> dict[str, Array]:
    """Outputs by name of one run of the file at `path`.

    Parameters
    ----------
    path : Path
    feeds : mapping
        One array for every input, by its name or its position; the runtime is asked to take
        another batch than the file says where the shapes differ.

    Raises
    ------
    MissingRuntime
        If no TFLite runtime is installed, or one that this NumPy breaks.
    ModelFileError
        If the runtime refuses the file.
    DataShapeError
        If an input is missing, unknown, or does not fit.
    """
    module = importlib.import_module(RUNTIMES[runtimes()[0]])
    where = f"model {str(path)!r}"
    try:
        with _quiet():
            interpreter = module.Interpreter(model_path=str(path), num_threads=1)
    except (ValueError, RuntimeError) as error:
        raise _refused(where, error) from None
    inputs = _inputs(where, interpreter, feeds)
    try:
        for detail, value in inputs:
            if tuple(detail["shape"]) != value.shape:
                interpreter.resize_tensor_input(detail["index"], value.shape, strict=False)
        interpreter.allocate_tensors()
        for detail, value in inputs:
            interpreter.set_tensor(detail["index"], value)
        interpreter.invoke()
    except (ValueError, RuntimeError) as error:
        raise _refused(where, error) from None
    details = interpreter.get_output_details()
    return {d["name"]: interpreter.get_tensor(d["index"]) for d in details}


def runtimes() -> list[str]:
    """The TFLite runtimes that work here, the one to prefer first.

    Raises
    ------
    MissingRuntime
        If there is none.
    """
    found, reason = [], None
    for name, module in RUNTIMES.items():
        try:
            importlib.import_module(module)
            if name == "tflite-runtime":
                _refuse_numpy_2()
        except ImportError:
            continue
        except MissingRuntime as error:
            reason = error
            continue
        found.append(name)
    if not found:
        raise reason or _missing("none is installed", "pip install ai-edge-litert")
    return found


def version() -> str:
    """Name and version of the TFLite runtime that is taken."""
    name = runtimes()[0]
    return f"{name} {installed(name)}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the notes that the runtime's C++ writes to the standard error of the process.

    It has no switch for them. What goes wrong comes as an exception.
    """
    kept, null = os.dup(_STDERR), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, _STDERR)
        yield
    finally:
        os.dup2(kept, _STDERR)
        os.close(kept)
        os.close(null)


def _inputs(
    where: str, interpreter: Any, feeds: Mapping[str | int, Array]
) -> list[tuple[dict[str, Any], Array]]:
    details = interpreter.get_input_details()
    keys = {key: d for i, d in enumerate(details) for key in (i, d["name"])}
    chosen = [(keys[key], value) for key, value in feeds.items() if key in keys]
    names = [d["name"] for d, _ in chosen]
    complete = sorted(names) == sorted(d["name"] for d in details) and len(names) == len(feeds)
    if not complete or not all(_fits(d, v) for d, v in chosen):
        raise _unfit(where, details, feeds)
    return chosen


def _unfit(
    where: str, details: Iterable[dict[str, Any]], feeds: Mapping[Any, Array]
) -> DataShapeError:
    wanted = [f"{d['name']}: {np.dtype(d['dtype'])}{d['shape'].tolist()}" for d in details]
    return DataShapeError(
        where,
        expected="inputs " + ", ".join(wanted),
        got=", ".join(f"{k}: {v.dtype}{list(v.shape)}" for k, v in feeds.items()) or "none",
        fix="feed each input once, by name or position",
    )


def _fits(detail: dict[str, Any], value: Array) -> bool:
    """Whether `value` has an input's dtype and shape; the first axis and open ones are free."""
    dims = detail["shape_signature"].tolist()
    if detail["dtype"] != value.dtype or len(dims) != value.ndim:
        return False
    return all(d in (-1, n) for d, n in zip(dims[1:], value.shape[1:], strict=True))


def _refuse_numpy_2() -> None:
    if int(np.__version__.split(".")[0]) < 2:
        return
    try:
        found = installed("tflite-runtime")
    except PackageNotFoundError:
        return
    if tuple(int(part) for part in found.split(".")[:2]) <= (2, 14):
        got = f"tflite-runtime {found}, which was built for NumPy 1, with NumPy {np.__version__}"
        raise _missing(got, "pip install ai-edge-litert, or pip install 'numpy<2'")


def _missing(got: str, fix: str) -> MissingRuntime:
    return MissingRuntime("TFLite runtime", expected="one that works here", got=got, fix=fix)


def _refused(where: str, error: Exception) -> ModelFileError:
    return ModelFileError(
        where,
        expected="a TFLite model that the runtime loads and runs",
        got=SOURCE_LINE.sub("", str(error)).strip(),
        fix="check the file, or use a newer runtime",
    )
