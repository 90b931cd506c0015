"""Device profiles: one TOML file a device, every number with its source and a confidence.

The folder ``profiles`` is the registry: a device is added by a file, and by nothing else.
A profile outside it is named by its path.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from edgelearn.errors import ConfigError, unknown
from edgelearn.strict import convert, parse_toml, read_bytes

Kind = Literal["linux", "mcu"]
Confidence = Literal["high", "medium", "low"]


class Fact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One number, where it stands, and how far it can be trusted."""

    value: Annotated[float, msgspec.Meta(gt=0, lt=1e18)]
    source: Annotated[str, msgspec.Meta(min_length=1)]
    confidence: Confidence


class DeviceProfile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of a device; a number without a source is left out.

    Attributes
    ----------
    name, cpu, note : str
        For people.
    kind : {"linux", "mcu"}
        Where constants live: in RAM with everything else, or in flash.
    cores, clock_hz : Fact
    flops_per_cycle : Fact
        Most float32 operations one core completes in a cycle; a multiply-add is two.
    ram_bytes, flash_bytes : Fact
    cache_bytes : Fact, optional
        All second and third level caches: data in them costs no memory time.
    bandwidth_core_bytes_per_s, bandwidth_bytes_per_s : Fact, optional
        Most memory traffic of one core, and of the whole chip.
    power_load_w : Fact, optional
        Of the whole device under load.
    """

    name: str
    kind: Kind
    cpu: str
    cores: Fact
    clock_hz: Fact
    flops_per_cycle: Fact
    ram_bytes: Fact
    flash_bytes: Fact | None = None
    cache_bytes: Fact | None = None
    bandwidth_core_bytes_per_s: Fact | None = None
    bandwidth_bytes_per_s: Fact | None = None
    power_load_w: Fact | None = None
    note: str = ""
    id: str = ""

    def facts(self) -> dict[str, Fact]:
        """Every number that is known, by key.

        >>> read_device("rpi-4b").facts()["cores"].value
        4.0
        """
        pairs = ((key, getattr(self, key)) for key in self.__struct_fields__)
        return {key: fact for key, fact in pairs if isinstance(fact, Fact)}

    def peak_flops(self, threads: int) -> float:
        """Most float32 operations per second of `threads` threads.

        >>> read_device("rpi-4b").peak_flops(1) / 1e9
        14.4
        """
        busy = min(threads, self.cores.value)
        return self.clock_hz.value * self.flops_per_cycle.value * busy

    def bandwidth(self, threads: int) -> float | None:
        """Most bytes per second of `threads` threads to and from memory, None if unknown."""
        if self.bandwidth_core_bytes_per_s is None:
            return None
        rate = self.bandwidth_core_bytes_per_s.value * min(threads, self.cores.value)
        chip = self.bandwidth_bytes_per_s
        return rate if chip is None else min(rate, chip.value)


def device_ids() -> list[str]:
    """The devices that have a profile.

    >>> "rpi-zero-2w" in device_ids()
    True
    """
    names = (file.name for file in (resources.files("firmware_sim") / "profiles").iterdir())
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def read_device(name: str) -> DeviceProfile:
    """The profile of the device `name`, or of the file `name` if it ends in ``.toml``.

    Raises
    ------
    UnknownName
        If no such device is known.
    MissingFile
        If the file cannot be read.
    ConfigError
        If it breaks a rule; the message names the key.

    >>> read_device("stm32h743").kind
    'mcu'
    """
    if name.endswith(".toml"):
        path = Path(name)
        return parse_profile(
            read_bytes(path, "device profile"), path.stem, f"device profile {name!r}"
        )
    known = device_ids()
    if name not in known:
        raise unknown("device", name, known)
    file = resources.files("firmware_sim") / "profiles" / f"{name}.toml"
    return parse_profile(file.read_bytes(), name, f"device profile '{name}.toml'")


def parse_profile(content: bytes, device: str, where: str) -> DeviceProfile:
    """The profile in the TOML `content`; errors name `where`.

    Raises
    ------
    ConfigError
        If a key is unknown or missing, a value is of another kind, or a source is empty.
    """
    tables = parse_toml(content, where)
    if "id" in tables:
        raise ConfigError(
            f"{where}, id", expected="no such key", got="one", fix="the file name is the id"
        )
    profile = convert({**tables, "id": device}, DeviceProfile, where)
    if profile.kind == "mcu" and profile.flash_bytes is None:
        raise ConfigError(
            where,
            expected="the key 'flash_bytes'",
            got="none",
            fix="an mcu keeps its weights there",
        )
    return profile
