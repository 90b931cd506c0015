"""Running TFLite files: the one place that knows which runtime is installed.

``ai-edge-litert`` is ``tflite-runtime`` under its new name and is taken first. The last
``tflite-runtime`` (2.14) was built against NumPy 1 but does not say so: with NumPy 2 it can be
imported, and fails at the first model with an error that names neither.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
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
    _, module = _runtime()
    try:
        interpreter = module.Interpreter(model_path=str(path), num_threads=1)
    except (ValueError, RuntimeError) as error:
        raise _refused(path, error) from None
    inputs = _inputs(path, interpreter, feeds)
    try:
        for detail, value in inputs:
            if tuple(detail["shape"]) != value.shape:
                interpreter.resize_tensor_input(detail["index"], value.shape, strict=False)
        interpreter.allocate_tensors()
        for detail, value in inputs:
            interpreter.set_tensor(detail["index"], value)
        interpreter.invoke()
    except (ValueError, RuntimeError) as error:
        raise _refused(path, error) from None
    details = interpreter.get_output_details()
    return {d["name"]: interpreter.get_tensor(d["index"]) for d in details}


def version() -> str:
    """Name and version of the TFLite runtime that is taken."""
    name, _ = _runtime()
    return f"{name} {installed(name)}"


def _inputs(
    path: Path, interpreter: Any, feeds: Mapping[str | int, Array]
) -> list[tuple[dict[str, Any], Array]]:
    details = interpreter.get_input_details()
    keys = {key: d for i, d in enumerate(details) for key in (i, d["name"])}
    chosen = [(keys[key], value) for key, value in feeds.items() if key in keys]
    names = [d["name"] for d, _ in chosen]
    complete = sorted(names) == sorted(d["name"] for d in details) and len(names) == len(feeds)
    if not complete or not all(_fits(d, v) for d, v in chosen):
        wanted = [f"{d['name']}: {np.dtype(d['dtype'])}{d['shape'].tolist()}" for d in details]
        raise DataShapeError(
            f"model {str(path)!r}",
            expected="inputs " + ", ".join(wanted),
            got=", ".join(f"{k}: {v.dtype}{list(v.shape)}" for k, v in feeds.items()) or "none",
            fix="feed each input once, by name or position",
        )
    return chosen


def _fits(detail: dict[str, Any], value: Array) -> bool:
    """Whether `value` has an input's dtype and shape; the first axis and open ones are free."""
    dims = detail["shape_signature"].tolist()
    if detail["dtype"] != value.dtype or len(dims) != value.ndim:
        return False
    return all(d in (-1, n) for d, n in zip(dims[1:], value.shape[1:], strict=True))


def _runtime() -> tuple[str, Any]:
    for name, module in RUNTIMES.items():
        try:
            found = importlib.import_module(module)
        except ImportError:
            continue
        if name == "tflite-runtime":
            _refuse_numpy_2()
        return name, found
    raise _missing("none is installed", "pip install ai-edge-litert")


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


def _refused(path: Path, error: Exception) -> ModelFileError:
    return ModelFileError(
        f"model {str(path)!r}",
        expected="a TFLite model that the runtime loads and runs",
        got=str(error).split(".", 1)[0].strip(),
        fix="check the file, or use a newer runtime",
    )
