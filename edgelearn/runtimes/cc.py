"""The C compiler of this machine, and programs made by it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgelearn.errors import MissingRuntime, ParityError

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-ffp-contract=off")
TIME_LIMIT_S = 300


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


def build(folder: Path, files: Mapping[str, str], command: Sequence[str]) -> Path:
    """The program that `command`, a compiler with its options, makes of C `files` in `folder`.

    Raises
    ------
    ParityError
        If the compiler refuses them.
    """
    for name, text in files.items():
        (folder / name).write_text(text)
    sources = [name for name in files if name.endswith((".c", ".cpp"))]
    made = folder / "program"
    done = _run([*command, *sources, "-o", str(made), "-lm"], folder)
    if done.returncode:
        raise ParityError(
            f"compiling {', '.join(sources)}",
            expected="C99 without a warning",
            got=done.stderr.decode(errors="replace")[:2000] or f"exit code {done.returncode}",
            fix="report the model to us",
        )
    return made


def execute(command: Sequence[str], given: bytes, folder: Path) -> bytes:
    """What a program writes when it is given these bytes.

    Raises
    ------
    ParityError
        If it fails, or does not end in time.
    """
    done = _run(command, folder, given)
    if done.returncode:
        raise ParityError(
            f"running {Path(command[-1]).name}",
            expected="exit code 0",
            got=f"{done.returncode}: {done.stderr.decode(errors='replace')[:2000]}",
            fix="report the model to us",
        )
    return done.stdout


def _run(
    command: Sequence[str], folder: Path, given: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            command, input=given, capture_output=True, check=False, cwd=folder, timeout=TIME_LIMIT_S
        )
    except subprocess.TimeoutExpired:
        raise ParityError(
            f"running {Path(command[0]).name}",
            expected=f"an end within {TIME_LIMIT_S} s",
            got="none",
            fix="export a smaller model, or report it to us",
        ) from None
