"""Recipes that come with edgelearn: those of the folder ``models``, by name."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path

from edgelearn.config import Recipe, read_recipe
from edgelearn.errors import unknown

DEFAULT = "digits-mlp"
"""Real handwritten digits, which are shipped too."""
_SUFFIX = ".toml"
_FOLDER = files("edgelearn") / "recipes"


def names() -> list[str]:
    """What shipped recipes are called.

    >>> "fashion-cnn" in names()
    True
    """
    found = (entry.name.removesuffix(_SUFFIX) for entry in _FOLDER.iterdir() if _is(entry.name))
    return sorted(found)


def _is(file: str) -> bool:
    return file.endswith(_SUFFIX) and not file.endswith(".budget.toml")


def find_recipe(path: Path | None, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe at `path`, or the shipped one of that name; without a path `DEFAULT`.

    Raises
    ------
    MissingFile, ConfigError, OptionError, UnknownName
    """
    if path is None:
        return shipped_recipe(DEFAULT, overrides)
    if path.suffix or path.exists() or len(path.parts) > 1:
        return read_recipe(path, overrides)
    return shipped_recipe(path.name, overrides)


def shipped_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """The shipped recipe of that name.

    >>> shipped_recipe("digits-mlp").dataset.name
    'digits'
    """
    if name not in names():
        raise unknown("recipe", name, names())
    with as_file(_FOLDER / f"{name}{_SUFFIX}") as path:
        return read_recipe(path, overrides, f"recipe {name!r}")
