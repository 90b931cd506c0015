"""``-s table.key=value``: a setting that is changed on the command line."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from edgelearn.errors import ConfigError, OptionError
from edgelearn.strict import misspelt, parse_toml


def apply(override: str, tables: dict[str, Any], settings: Collection[str]) -> None:
    """Set one ``table.key=value`` in `tables`; the value is TOML, or else a bare word.

    Parameters
    ----------
    override : str
    tables : dict
        Changed in place.
    settings : collection of str
        Every setting that there is, such as ``train.epochs``.

    Raises
    ------
    OptionError
        If it is none.
    ConfigError
        If there is no such table; it names the closest setting.

    >>> tables = {"train": {"epochs": 3}}
    >>> apply("train.epochs=5", tables, ["train.epochs"])
    >>> tables
    {'train': {'epochs': 5}}
    """
    path, equals, text = override.partition("=")
    *parents, key = path.strip().split(".")
    table: Any = tables
    for parent in parents:
        table = table.setdefault(parent, {}) if isinstance(table, dict) else None
    if not equals or not key or not isinstance(table, dict):
        raise OptionError(
            f"option -s {override!r}",
            expected="table.key=value",
            got=repr(override),
            fix="write e.g. -s train.epochs=5; layers are changed in the recipe itself",
        )
    _require_setting(path.strip(), f"option -s {override!r}", settings)
    try:
        found = parse_toml(f"value = {text}".encode(), override)
    except ConfigError:
        found = {}
    table[key] = found["value"] if found.keys() == {"value"} else text.strip()


def _require_setting(path: str, where: str, settings: Collection[str]) -> None:
    """Raise `ConfigError` unless `path` begins as a setting does; it names the closest one."""
    if path.partition(".")[0] in {setting.partition(".")[0] for setting in settings}:
        return
    meant = [setting for setting in settings if setting.partition(".")[2] == path]
    if meant:
        expected = "the table before the key, as in train.epochs=5"
        fix = f"did you mean {' or '.join(repr(setting) for setting in meant)}?"
        raise ConfigError(where, expected=expected, got=repr(path), fix=fix)
    raise misspelt(where, "setting", path, settings)
