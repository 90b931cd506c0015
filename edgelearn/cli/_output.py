"""What the commands share: options, results on stdout, notes on stderr."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print exactly one JSON document on stdout."
)
model_option = click.option(
    "--model",
    type=click.Path(path_type=Path),
    default="model.safetensors",
    show_default=True,
    help="The model file that 'edgelearn train' wrote.",
)


def emit(result: object, as_json: bool, show: Callable[[], None]) -> None:
    """Print `result` as JSON, or let `show` print it for a person."""
    if as_json:
        click.echo(json.dumps(result, indent=2, allow_nan=False))
    else:
        show()


def table(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print `rows` as a table on stdout; the keys of the first row are the headings.

    The table is as wide as it must be: a narrow terminal wraps it, but no word is lost.
    """
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    grid = Table(box=SIMPLE, pad_edge=False)
    for position, heading in enumerate(rows[0] if rows else ()):
        grid.add_column(heading, justify="left" if position == 0 else "right", no_wrap=True)
    for row in rows:
        grid.add_row(*(str(value) for value in row.values()))
    # Names come from data: no markup, no emoji. rich would end the program if nobody reads.
    console = Console(width=1000, markup=False, emoji=False, highlight=False)
    console.width = console.measure(grid).maximum
    with console.capture() as printed:
        console.print(grid)
    click.echo(title)
    click.echo(printed.get(), nl=False)


def share(part: float | None) -> str:
    """A part of 1 in per cent, or a dash where there is none.

    >>> share(0.5), share(None)
    ('50.00%', '-')
    """
    return "-" if part is None else f"{part:.2%}"


MARKS = {"accuracy": "accuracy", "rmse": "RMSE", "mae": "MAE", "r2": "R2"}
"""What marks of a model are called: the keys of reports."""


def shown(mark: str, value: float | None) -> str:
    """A mark for a person: accuracy in per cent, others as numbers.

    >>> shown("accuracy", 0.5), shown("rmse", 12.345678), shown("r2", None)
    ('50.00%', '12.35', '-')
    """
    if value is None or mark == "accuracy":
        return share(value)
    return f"{value:.4g}"


def human_bytes(size_bytes: float) -> str:
    """Bytes in the unit a person would choose.

    >>> human_bytes(1536)
    '1.5 KiB'
    """
    for unit in ("B", "KiB", "MiB"):
        if abs(size_bytes) < 1024:
            return f"{size_bytes:.4g} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.4g} GiB"


def human_seconds(seconds: float) -> str:
    """Seconds in the unit a person would choose.

    >>> human_seconds(0.00025)
    '250 us'
    """
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "us")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
