"""Running ONNX files on onnxruntime, one thread, without its chatter."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgelearn.arrays import Array
from edgelearn.errors import DataShapeError, MissingRuntime, ModelFileError

ERRORS_ONLY = 3


class OnnxSession:
    """An ONNX model that is loaded once and run many times.

    Parameters
    ----------
    content : bytes or Path
        The model, or the file it is in.

    Attributes
    ----------
    outputs : tuple of str
        Names, in the order of the file.

    Raises
    ------
    MissingRuntime
        If onnxruntime is not installed.
    ModelFileError
        If onnxruntime refuses the model.
    """

    def __init__(self, content: bytes | Path) -> None:
        runtime = _runtime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = ERRORS_ONLY
        source = content if isinstance(content, bytes) else str(content)
        self._where = "ONNX model" if isinstance(content, bytes) else f"model {source!r}"
        try:
            self._session = runtime.InferenceSession(
                source, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # noqa: BLE001  the runtime's errors share no base class
            raise self._refused("a model that onnxruntime loads", error) from None
        self.outputs: tuple[str, ...] = tuple(o.name for o in self._session.get_outputs())

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name. Inputs with a default value, such as weights, may be left out.

        Raises
        ------
        DataShapeError
            If an input is missing or has another shape or dtype than the model wants.
        ModelFileError
            If the model fails while it runs.
        """
        try:
            values = self._session.run(list(self.outputs), dict(feeds))
        except Exception as error:  # noqa: BLE001  the runtime's errors share no base class
            if isinstance(error, ValueError) or type(error).__name__ == "InvalidArgument":
                raise DataShapeError(
                    self._where,
                    expected="the inputs that the model declares",
                    got=_reason(error),
                    fix="see 'edgelearn inspect' for the names, shapes and dtypes",
                ) from None
            raise self._refused("a model that runs", error) from None
        return dict(zip(self.outputs, values, strict=True))

    def _refused(self, expected: str, error: Exception) -> ModelFileError:
        fix = "export the model again, or use a newer onnxruntime"
        return ModelFileError(self._where, expected=expected, got=_reason(error), fix=fix)


def run_onnx(content: bytes | Path, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Outputs by name of one run; `OnnxSession` says what is raised.

    >>> import numpy as np
    >>> from edgelearn.export.onnx_writer import to_bytes
    >>> from edgelearn.ir import Builder
    >>> b = Builder("rectify")
    >>> graph = b.graph([b.unary("relu", b.input("x", (-1, 2)))])
    >>> run_onnx(to_bytes(graph), {"x": np.array([[-1, 2]], np.float32)})["relu"].tolist()
    [[0.0, 2.0]]
    """
    return OnnxSession(content).run(feeds)


def version() -> str:
    """The version of the onnxruntime that is installed."""
    return str(_runtime().__version__)


def _runtime() -> Any:
    try:
        return importlib.import_module("onnxruntime")
    except ImportError as error:
        raise MissingRuntime(
            "onnxruntime",
            expected="it to be installed",
            got=str(error),
            fix="pip install onnxruntime",
        ) from None


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
