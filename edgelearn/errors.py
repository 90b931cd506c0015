"""The error tree. The first digit of a code is the exit code of the program.

::

    EdgelearnError
    |- AnswerIsNo             1  the question was answered, and the answer is no
    |  |- ParityError         E1001
    |  `- BelowThreshold      E1002
    |- UsageError             2  the request cannot be meant as it stands
    |  |- ConfigError         E2001
    |  |- UnknownName         E2002
    |  |- MissingFile         E2003
    |  |- OutputError         E2004
    |  |- OverBudget          E2005
    |  `- OptionError         E2006
    |- NotEvaluated           3  the request is clear, but could not be carried out
    |  |- ModelFileError      E3001
    |  |- UnsupportedOp       E3002
    |  |- MissingRuntime      E3003
    |  |- GraphError          E3004
    |  `- Diverged            E3005
    `- DataError              4  the data cannot be used
       |- DataShapeError      E4001
       |- DataValueError      E4002
       |- DataFileError       E4003
       `- DataUnavailable     E4004

The docstring of a class is what ``edgelearn explain CODE`` prints.

Messages count from 1, whatever they count: lines and columns of a text, rows (samples) and features
of an array, layers and controls of a recipe. Row 1 of ``x`` is ``x[0]``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


class EdgelearnError(Exception):
    """Something the user can act on: where, what was expected, what came, how to fix it."""

    code: ClassVar[str] = "E0000"
    exit_code: ClassVar[int] = 3

    def __init__(self, where: str, *, expected: str, got: str, fix: str) -> None:
        self.where, self.expected, self.got, self.fix = where, expected, got, fix
        message = f"{self.code} {where}: expected {expected}, got {got}. Fix: {fix}"
        super().__init__(" ".join(message.splitlines()))

    def __reduce__(self) -> tuple[object, ...]:
        fields = {"expected": self.expected, "got": self.got, "fix": self.fix}
        return (_rebuild, (type(self), self.where, fields))


def _rebuild(kind: type[EdgelearnError], where: str, fields: dict[str, str]) -> EdgelearnError:
    return kind(where, **fields)


class AnswerIsNo(EdgelearnError):
    """The question was answered, and the answer is no."""

    exit_code = 1


class ParityError(AnswerIsNo):
    """An exported file does not compute what the Graph computes.

    The file was run on its golden vectors by the runtime that is named, and the largest
    difference from the interpreter is over the tolerance. The file was not kept. Please
    report it: an export that differs is a defect of edgelearn or of the runtime.
    """

    code = "E1001"


class BelowThreshold(AnswerIsNo):
    """A measured value is below the threshold you asked for, e.g. with ``--fail-under``."""

    code = "E1002"


class UsageError(EdgelearnError):
    """The request cannot be meant as it stands."""

    exit_code = 2


class ConfigError(UsageError):
    """A recipe, a budget file or a device profile does not have the form it must have.

    The message names the file and the place in it (``[train], epochs`` is the key ``epochs`` of the
    table ``[train]``; ``[[layers]] 2, units`` is the key ``units`` of the second ``[[layers]]``),
    the value expected there, and the closest known name if a key looks misspelt.
    """

    code = "E2001"


class UnknownName(UsageError):
    """A device, data set, layer kind, metric or command of that name does not exist."""

    code = "E2002"


class MissingFile(UsageError):
    """A file or folder named on the command line or in a recipe does not exist."""

    code = "E2003"


class OutputError(UsageError):
    """The result cannot be written where it should go; what stood there is unchanged."""

    code = "E2004"


class OverBudget(UsageError):
    """The plan needs more memory than ``--budget`` allows; nothing was started."""

    code = "E2005"


class OptionError(UsageError):
    """An option has a value that cannot be used, or two options contradict each other."""

    code = "E2006"


class NotEvaluated(EdgelearnError):
    """The request is clear, but could not be carried out."""

    exit_code = 3


class ModelFileError(NotEvaluated):
    """A model file is truncated, damaged, too large, or not of the format its name says.

    edgelearn reads its own ``.safetensors`` files, ONNX and TFLite; it never runs code from them.
    """

    code = "E3001"


class UnsupportedOp(NotEvaluated):
    """A model file, or the file to be written, needs an operation that is not supported.

    The message names the operation, its node and the file. Nothing is skipped in silence.
    """

    code = "E3002"


class MissingRuntime(NotEvaluated):
    """A library or program that this command needs is not installed, or its versions do not fit."""

    code = "E3003"


class GraphError(NotEvaluated):
    """A Graph breaks a rule of its own: a shape, an order, a name or a state does not fit.

    From the command line this means that a file holds an inconsistent Graph. From Python it
    means that the program that built the Graph has a mistake.
    """

    code = "E3004"


class Diverged(NotEvaluated):
    """Training left the finite numbers. Nothing that is not finite is ever saved."""

    code = "E3005"


class DataError(EdgelearnError):
    """The data cannot be used."""

    exit_code = 4


class DataShapeError(DataError):
    """The data has another shape, number of features or number of classes than the model."""

    code = "E4001"


class DataValueError(DataError):
    """The data holds NaN, infinity, or a label that is out of range."""

    code = "E4002"


class DataFileError(DataError):
    """A data file is truncated, damaged, or not of the format it should have."""

    code = "E4003"


class DataUnavailable(DataError):
    """A data set is neither on this machine nor could it be downloaded.

    Set ``EDGELEARN_DATA`` to a folder with one folder per data set, or allow a download.
    """

    code = "E4004"


def explanations() -> dict[str, type[EdgelearnError]]:
    """Every error code with its class.

    >>> explanations()["E2002"].__name__
    'UnknownName'
    """
    found: dict[str, type[EdgelearnError]] = {}
    todo: list[type[EdgelearnError]] = [EdgelearnError]
    while todo:
        kind = todo.pop()
        todo.extend(kind.__subclasses__())
        if "code" in vars(kind) and kind is not EdgelearnError:
            found[kind.code] = kind
    return dict(sorted(found.items()))


def unknown(what: str, name: str, known: Iterable[str]) -> UnknownName:
    """An `UnknownName` that lists what is known and points at the closest name."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    fix = f"write {close[0]!r}" if close else "choose one of these"
    return UnknownName(
        f"{what} {name!r}", expected="one of " + ", ".join(names), got=repr(name), fix=fix
    )
