"""`edgelearn explain`: what an error code means."""

from __future__ import annotations

import inspect

import click

from edgelearn.errors import explanations, unknown


@click.command(name="explain")
@click.argument("code")
def command(code: str) -> None:
    """Say what the error CODE means and what to do.

    \b
    Example:
      edgelearn explain E3001
    """
    known = explanations()
    kind = known.get(code.upper())
    if kind is None:
        raise unknown("error code", code, known)
    click.echo(f"{kind.code} (exit code {kind.exit_code})\n\n{inspect.getdoc(kind)}")
