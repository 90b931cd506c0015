"""Cores that QEMU emulates: compiler, options, and the board or the kernel around the core."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from edgelearn.errors import MissingRuntime, OptionError

BARE = ("gcc-arm-none-eabi", "libnewlib-arm-none-eabi", "qemu-system-arm")
BOARD_OPTIONS = (
    *("-icount", "shift=0", "-nographic", "-monitor", "none", "-serial", "none"),
    *("-semihosting-config", "enable=on,target=native", "-kernel"),
)
HARD = ("-mthumb", "-mfloat-abi=hard")


@dataclass(frozen=True, slots=True)
class Core:
    """A core as a target of a compiler and of an emulator.

    Attributes
    ----------
    cpu : str
        As device profiles call it.
    tools : str
        What the names of compiler and binary tools begin with.
    options : tuple of str
        Of the compiler.
    emulator : tuple of str
        The command, up to the program.
    packages : tuple of str
        Of Debian and Ubuntu.
    origins : tuple of int, optional
        Where read-only and writable memory begin; None for a program of Linux.
    tick_instructions : int
        What the board's clock counts as one: an instruction is a nanosecond.
    """

    cpu: str
    tools: str
    options: tuple[str, ...]
    emulator: tuple[str, ...]
    packages: tuple[str, ...]
    origins: tuple[int, int] | None = None
    tick_instructions: int = 40

    @property
    def is_board(self) -> bool:
        """Whether the program runs without an operating system."""
        return self.origins is not None

    def tool(self, name: str) -> str:
        """The path of a tool of the compiler, or of the emulator.

        Raises
        ------
        MissingRuntime
            If it is not installed; says which packages have it.
        """
        command = name if name == self.emulator[0] else f"{self.tools}-{name}"
        found = shutil.which(command)
        if found is None:
            raise MissingRuntime(
                f"emulating {self.cpu}",
                expected=command,
                got="no such program",
                fix=f"apt-get install {' '.join(self.packages)}",
            )
        return found


def _board(cpu: str, machine: str, *options: str) -> Core:
    secure = machine == "mps2-an505"
    return Core(
        cpu,
        "arm-none-eabi",
        options,
        ("qemu-system-arm", "-M", machine, *BOARD_OPTIONS),
        BARE,
        (0x10000000, 0x38000000) if secure else (0x00000000, 0x20000000),
        tick_instructions=50 if secure else 40,  # clocks of 20 and 25 MHz
    )


def _linux(cpu: str, tools: str, emulator: str, *options: str) -> Core:
    packages = (f"gcc-{tools}", "qemu-user")
    command = (emulator, "-cpu", cpu.lower())
    return Core(cpu, tools, (f"-mcpu={cpu.lower()}", *options), command, packages)


CORES = {
    core.cpu: core
    for core in (
        _board("Cortex-M0+", "mps2-an385", "-mcpu=cortex-m0plus", "-mthumb"),
        _board("Cortex-M3", "mps2-an385", "-mcpu=cortex-m3", "-mthumb"),
        _board("Cortex-M4F", "mps2-an386", "-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", *HARD),
        _board("Cortex-M7F", "mps2-an500", "-mcpu=cortex-m7", "-mfpu=fpv5-sp-d16", *HARD),
        _board("Cortex-M33F", "mps2-an505", "-mcpu=cortex-m33", "-mfpu=fpv5-sp-d16", *HARD),
        _linux("Cortex-A7", "arm-linux-gnueabihf", "qemu-arm", "-mfpu=neon-vfpv4"),
        _linux("Cortex-A53", "aarch64-linux-gnu", "qemu-aarch64"),
        _linux("Cortex-A57", "aarch64-linux-gnu", "qemu-aarch64"),
        _linux("Cortex-A72", "aarch64-linux-gnu", "qemu-aarch64"),
        _linux("Cortex-A76", "aarch64-linux-gnu", "qemu-aarch64"),
    )
}
"""By name. M0+ and M3 have no floating-point unit; code of the M0+ runs on an emulated M3."""


def core_of(cpu: str) -> Core:
    """The core of that name, or `OptionError`.

    >>> core_of("Cortex-M4F").is_board
    True
    """
    if cpu not in CORES:
        raise OptionError(
            f"emulating {cpu}",
            expected=f"one of {', '.join(CORES)}",
            got=cpu,
            fix="choose a device with such a core, or leave out --method emulate",
        )
    return CORES[cpu]
