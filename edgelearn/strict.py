"""TOML read strictly: an unknown key or a value of another kind is refused by name."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from edgelearn.errors import ConfigError, MissingFile

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")


def parse_toml(content: bytes, where: str) -> dict[str, Any]:
    """The tables in `content`; errors name `where`.

    Raises
    ------
    ConfigError
        If it is not TOML.

    >>> parse_toml(b"cores = 4", "board.toml")
    {'cores': 4}
    """
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(
            where, expected="a TOML file", got=str(error).lower(), fix="mend that line"
        ) from None


def read_bytes(path: Path, what: str, fix: str = "mend the path") -> bytes:
    """The bytes of the file at `path`; errors name it as a `what` and say how to `fix` it.

    Raises
    ------
    MissingFile
        If it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        got = (error.strerror or str(error)).lower()
        raise MissingFile(
            f"{what} {str(path)!r}", expected="a file that can be read", got=got, fix=fix
        ) from None


def convert(value: object, kind: type[T], where: str) -> T:
    """`value`, as TOML or JSON gives it, as a `kind`; errors name `where` and the key.

    Raises
    ------
    ConfigError
        If a key is unknown or missing, or a value is not of the kind it must be.

    >>> class Board(msgspec.Struct, forbid_unknown_fields=True):
    ...     cores: int
    >>> convert({"cores": 4}, Board, "board.toml")
    Board(cores=4)
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `$")
        place = place.rstrip("`")
        at = where + _in_words(place)
        unknown = re.search(r"unknown field `(.*?)`", reason)
        if unknown:
            raise misspelt(at, "key", unknown[1], _keys(kind)) from None
        missing = re.search(r"missing required field `(.*?)`", reason)
        if missing:
            raise ConfigError(
                at, expected=f"the key {missing[1]!r}", got="none", fix="add that key"
            ) from None
        got = _value_at(value, place)
        words = _words(kind, place)
        if words:
            raise misspelt(at, "word", got, words) from None
        expected = reason.removeprefix("Expected ").partition(", got ")[0].replace("`", "")
        raise ConfigError(
            at,
            expected=expected.replace("object", "a table").replace(" | null", ""),
            got=_short(got),
            fix="write a number in that range"
            if re.search(r"[<>]=? ", expected)
            else "write a value of that kind",
        ) from None


def _in_words(place: str) -> str:
    """A place that msgspec named, as messages have it: items of a list are counted from 1.

    >>> _in_words("[0].train.lr"), _in_words(".inputs[1]"), _in_words(".lr_schedule.end")
    (' 1, train.lr', ', inputs 2', ', lr_schedule.end')
    """
    counted = re.sub(r"\[(\d+)\]", lambda found: f" {int(found[1]) + 1}", place)
    return re.sub(r"^\.|(?<=\d)\.", ", ", counted)


def plain(value: object) -> Any:
    """`value` as JSON gives it: tables and lists, no tuples."""
    return msgspec.json.decode(msgspec.json.encode(value))


def _value_at(value: Any, place: str) -> object:
    """What stands at a place that msgspec named, such as ``.layers[0].units``."""
    for key, index in re.findall(r"\.(\w+)|\[(\d+)\]", place):
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and index and int(index) < len(value):
            value = value[int(index)]
    return value


def _short(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def misspelt(where: str, what: str, name: object, known: Iterable[str]) -> ConfigError:
    """A `ConfigError` for an unknown `name` that points at the closest known one."""
    names = sorted(set(known))
    folded = {n.lower(): n for n in names}
    close = difflib.get_close_matches(str(name).lower(), folded, n=1, cutoff=0.6)
    fix = f"did you mean {folded[close[0]]!r}?" if close else f"use one of those {what}s"
    expected = f"one of the {what}s " + ", ".join(names)
    return ConfigError(where, expected=expected, got=_short(name), fix=fix)


def _words(kind: type, place: str) -> list[str]:
    """The words that may stand at `place`, if words may."""
    found = [msgspec.inspect.type_info(kind)]
    for key, _ in re.findall(r"\.(\w+)|\[(\d+)\]", place):
        found = [inner for info in found for inner in _inside(info, key)]
    values = [info.values for info in found if isinstance(info, msgspec.inspect.LiteralType)]
    return [value for some in values for value in some if isinstance(value, str)]


def _inside(info: msgspec.inspect.Type, key: str) -> list[msgspec.inspect.Type]:
    """What may stand at `key` of a table, or as an item of a list, of type `info`."""
    match info:
        case msgspec.inspect.StructType() if key and key == info.tag_field:
            return [msgspec.inspect.LiteralType((info.tag,))]
        case msgspec.inspect.StructType():
            fields = [f.type for f in info.fields if f.encode_name == key]
            return [part for field in fields for part in _alternatives(field)]
        case msgspec.inspect.ListType() | msgspec.inspect.VarTupleType():
            return _alternatives(info.item_type)
        case _:
            return []


def _alternatives(info: msgspec.inspect.Type) -> list[msgspec.inspect.Type]:
    return list(info.types) if isinstance(info, msgspec.inspect.UnionType) else [info]


def _keys(kind: type) -> set[str]:
    """The keys of a struct and of the structs within it."""
    found: set[str] = set()
    todo: list[msgspec.inspect.Type] = [msgspec.inspect.type_info(kind)]
    while todo:
        info = todo.pop()
        if isinstance(info, msgspec.inspect.StructType):
            found.update(field.encode_name for field in info.fields)
            todo.extend(field.type for field in info.fields)
        elif isinstance(info, msgspec.inspect.ListType | msgspec.inspect.VarTupleType):
            todo.append(info.item_type)
        elif isinstance(info, msgspec.inspect.UnionType):
            todo.extend(info.types)
    return found
