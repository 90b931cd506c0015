"""What a helper function of the generated C is: its text, and the helpers it calls."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Helper:
    """A function of the generated file that is written only if something calls it.

    Attributes
    ----------
    name : str
    text : str
    needs : tuple of Helper
        What it calls; it stands behind them.
    """

    name: str
    text: str
    needs: tuple[Helper, ...] = ()


def helper(text: str, *needs: Helper) -> Helper:
    """The helper whose definition `text` is; its name is read from there.

    >>> helper("static void twice(float *a)\\n{\\n    *a += *a;\\n}").name
    'twice'
    """
    body = text.strip("\n")
    head = body.split("{", 1)[0].rsplit("*/", 1)[-1].split("(", 1)[0]
    return Helper(head.split()[-1].lstrip("*"), body, needs)
