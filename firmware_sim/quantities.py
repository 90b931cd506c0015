"""Sizes and times as people write them: ``"24 MiB"``, ``"40 ms"``, ``"97 %"``."""

from __future__ import annotations

import math
import re
from typing import Final, Literal

from edgelearn.errors import ConfigError
from edgelearn.strict import misspelt

Dimension = Literal["bytes", "seconds", "fraction"]

UNITS: Final[dict[Dimension, dict[str, float]]] = {
    "bytes": {
        "B": 1,
        "kB": 1e3,
        "MB": 1e6,
        "GB": 1e9,
        "KiB": 2**10,
        "MiB": 2**20,
        "GiB": 2**30,
    },
    "seconds": {"s": 1, "ms": 1e-3, "us": 1e-6, "ns": 1e-9},
    "fraction": {"%": 1e-2},
}
EXAMPLES: Final[dict[Dimension, str]] = {
    "bytes": "'24 MiB' or a number of bytes",
    "seconds": "'40 ms' or a number of seconds",
    "fraction": "a number from 0 to 1",
}


def parse_quantity(value: object, dimension: Dimension, where: str) -> float:
    """`value`, a number or a text with a unit, in the base unit; errors name `where`.

    Raises
    ------
    ConfigError
        If it is no such quantity, is negative or not finite, or has an unknown unit.

    >>> parse_quantity("1.5 KiB", "bytes", "b.toml"), parse_quantity("40 ms", "seconds", "b.toml")
    (1536.0, 0.04)
    """
    number, unit = _split(value)
    if number is None or not math.isfinite(number) or number < 0:
        raise ConfigError(
            where, expected=EXAMPLES[dimension], got=repr(value), fix="write a size with its unit"
        )
    if unit and unit not in UNITS[dimension]:
        raise misspelt(where, "unit", unit, UNITS[dimension])
    quantity = number * UNITS[dimension][unit] if unit else number
    if dimension == "fraction" and quantity > 1:
        raise ConfigError(
            where,
            expected=EXAMPLES[dimension],
            got=repr(value),
            fix=f"did you mean '{number:g} %'?",
        )
    return quantity


def _split(value: object) -> tuple[float | None, str]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value), ""
    if isinstance(value, str):
        parts = re.fullmatch(r"\s*(\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*([^\s\d]*)\s*", value)
        if parts:
            return float(parts[1]), parts[2]
    return None, ""
