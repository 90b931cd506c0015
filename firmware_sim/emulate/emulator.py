"""Cross-compiling a C program, running it on an emulated core, and reading what that took."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgelearn.errors import ParityError
from firmware_sim.emulate.cores import Core

HERE = Path(__file__).parent
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-ffp-contract=off", "-Os")
TIME_LIMIT_S = 600


@dataclass(frozen=True, slots=True)
class Source:
    """A program to emulate.

    Attributes
    ----------
    name : str
        That of the file ``NAME.c`` whose size is asked for.
    files : mapping of str to str
        Texts by name; ``main.c`` includes ``NAME.c`` and ``port.h``.
    """

    name: str
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Call:
    """One call that was measured.

    Attributes
    ----------
    command : str
        The character that the main program was told.
    instructions : int
        To within `Core.tick_instructions`.
    stack_bytes : int
        The deepest word that it changed.
    """

    command: str
    instructions: int
    stack_bytes: int


@dataclass(frozen=True, slots=True)
class Emulated:
    """What a program did, and what it takes.

    Attributes
    ----------
    output : bytes
        What it wrote.
    calls : tuple of Call
        Of a board only.
    flash_bytes : int
        Code and constants of ``NAME.c``, and what of the compiler's library it needs.
    ram_bytes : int
        Static memory of ``NAME.c``.
    """

    output: bytes
    calls: tuple[Call, ...]
    flash_bytes: int
    ram_bytes: int


def emulate(core: Core, source: Source, script: bytes) -> Emulated:
    """Run `source` on `core`, fed with `script`.

    Raises
    ------
    MissingRuntime
        If the compiler or the emulator is not installed.
    ParityError
        If the program does not compile, fails, or does not end in time.
    """
    compiler, emulator = core.tool("gcc"), core.tool(core.emulator[0])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in source.files.items():
            (folder / file).write_text(text)
        program = _compile(core, compiler, folder)
        _run([compiler, *STRICT, *core.options, "-c", f"{source.name}.c"], folder)
        alone, whole = _sizes(core, folder, f"{source.name}.o"), _sizes(core, folder, "program")
        command = [emulator, *core.emulator[1:], str(program)]
        if not core.is_board:
            output = _run(command, folder, script)
            return Emulated(output, (), sum(alone[:2]), sum(alone[1:]))
        (folder / "in.bin").write_bytes(script)
        _run(command, folder)
        ours = [_sizes(core, folder, file) for file in ("main.o", "boot.o")]
        library = whole[0] - sum(size[0] for size in ours)
        return Emulated(
            (folder / "out.bin").read_bytes(),
            _calls((folder / "counts.bin").read_bytes(), core.tick_instructions),
            sum(alone[:2]) + max(library, 0),
            sum(alone[1:]),
        )


def _compile(core: Core, compiler: str, folder: Path) -> Path:
    command = [compiler, *STRICT, *core.options]
    if core.origins is None:
        _run([*command, "-static", "main.c", "-o", "program", "-lm"], folder)
        return folder / "program"
    for file in ("boot.c", "port.h", "board.ld"):
        shutil.copy(HERE / file, folder)
    _run([*command, "-c", "main.c"], folder)
    _run([*command, "-fno-tree-loop-distribute-patterns", "-c", "boot.c"], folder)
    places = [
        f"-Wl,--defsym={name}={origin:#x}"
        for name, origin in zip(("rom_origin", "ram_origin"), core.origins, strict=True)
    ]
    link = ["-nostartfiles", "-Tboard.ld", *places, "main.o", "boot.o", "-o", "program", "-lm"]
    _run([*command, *link], folder)
    return folder / "program"


def _sizes(core: Core, folder: Path, file: str) -> tuple[int, int, int]:
    """Bytes of code with constants, of variables with first values, and of others."""
    text = _run([core.tool("size"), file], folder).decode()
    code, data, bss = text.splitlines()[1].split()[:3]
    return int(code), int(data), int(bss)


def _calls(content: bytes, tick_instructions: int) -> tuple[Call, ...]:
    rows = np.frombuffer(content, "<u4").reshape(-1, 4).astype(np.int64)
    return tuple(
        Call(chr(command), int(low + (high << 32)) * tick_instructions, int(stack))
        for command, low, high, stack in rows.tolist()
    )


def _run(command: Sequence[str], folder: Path, given: bytes = b"") -> bytes:
    where = f"running {Path(command[0]).name}"
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, check=False, cwd=folder, timeout=TIME_LIMIT_S
        )
    except subprocess.TimeoutExpired:
        raise _failed(where, f"an end within {TIME_LIMIT_S} s", "none") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace")[:2000]
        raise _failed(where, "exit code 0", f"{done.returncode}: {said}")
    return done.stdout


def _failed(where: str, expected: str, got: str) -> ParityError:
    return ParityError(where, expected=expected, got=got, fix="report the model to us")
