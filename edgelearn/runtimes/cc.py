"""The C compiler of this machine, and programs made by it."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from typing_extensions import Self

from edgelearn.errors import MissingRuntime, ParityError

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-ffp-contract=off")
TIME_LIMIT_S = 300
MESSAGE_LENGTH = 2000


def compiler() -> str:
    """The path of a C compiler: ``$CC``, ``cc``, ``gcc`` or ``clang``, the first that is there.

    Raises
    ------
    MissingRuntime
        If there is none.
    """
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        found = shutil.which(name) if name else None
        if found:
            return found
    raise MissingRuntime(
        "C compiler",
        expected="cc, gcc or clang, to run what is exported before it is handed over",
        got="none on this machine",
        fix="apt-get install gcc",
    )


def version(command: str) -> str:
    """What a compiler calls itself and its version, in one line."""
    done = subprocess.run(
        [command, "--version"], capture_output=True, text=True, check=False, timeout=TIME_LIMIT_S
    )
    return (done.stdout.splitlines() or [command])[0]


def build(
    folder: Path, files: Mapping[str, str], command: Sequence[str], of: Sequence[str]
) -> Path:
    """The program that a compiler makes.

    Parameters
    ----------
    folder : Path
        Where the files are written to.
    files : mapping of str to str
        Texts by name.
    command : sequence of str
        The compiler with its options.
    of : sequence of str
        The files to compile; the others are included by them.

    Raises
    ------
    ParityError
        If the compiler refuses them.
    """
    for name, text in files.items():
        (folder / name).write_text(text)
    made = folder / "program"
    try:
        done = subprocess.run(
            [*command, *of, "-o", str(made), "-lm"],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            timeout=TIME_LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        raise _failed("compiling", f"an end within {TIME_LIMIT_S} s", "none") from None
    if done.returncode:
        raise _failed("compiling", "C99 without a warning", done.stderr[:MESSAGE_LENGTH])
    return made


class Session:
    """A running program that is told what to do on stdin, and answers on stdout.

    Parameters
    ----------
    command : sequence of str

    Raises
    ------
    ParityError
        When the program ends too early, or takes longer than `TIME_LIMIT_S` in all.
    """

    def __init__(self, command: Sequence[str]) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe)
        self._timer = threading.Timer(TIME_LIMIT_S, self._process.kill)
        self._timer.daemon = True
        self._timer.start()

    def write(self, content: bytes) -> None:
        """Give it bytes to read."""
        assert self._process.stdin is not None  # noqa: S101  a pipe, see above
        try:
            self._process.stdin.write(content)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None

    def read(self, count: int) -> bytes:
        """The next `count` bytes that it writes."""
        assert self._process.stdout is not None  # noqa: S101  a pipe, see above
        found = self._process.stdout.read(count)
        if len(found) < count:
            raise self._ended()
        return found

    def _ended(self) -> ParityError:
        assert self._process.stderr is not None  # noqa: S101  a pipe, see above
        self._process.kill()
        said = self._process.stderr.read().decode(errors="replace")[-MESSAGE_LENGTH:]
        return _failed("running", "an answer", f"{said} (exit code {self._process.wait()})")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._process.kill()
        self._process.communicate()


def _failed(doing: str, expected: str, got: str) -> ParityError:
    where = f"{doing} the exported C"
    return ParityError(where, expected=expected, got=got, fix="report the model to us")
