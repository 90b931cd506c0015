"""The grammar of Reber (1967) as a diagram: which letters lead from node to node."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgelearn.arrays import Array
from edgelearn.datasets._symbols import draws

LETTERS = b"BEPSTVX"
END = 6
"""The node that is no longer left; a string begins at node 0, after its B."""
ARROWS = (b"TP", b"SX", b"TV", b"XS", b"PV", b"EE")
"""The letters of the two arrows that leave each node, the longer way first."""
NEXT = np.array([[1, 2], [1, 3], [2, 4], [2, 5], [3, 5], [END, END], [END, END]])
"""Where they lead."""


def letters() -> Array:
    """The letter of every arrow, shape (nodes, 2)."""
    return np.array([list(pair) for pair in ARROWS], np.uint8)


def turns(index: int, steps: int) -> Array:
    """Which arrows walks take, shape (strings, steps): the longer way two times out of three."""
    return draws(index, steps, 3) // 2


def walks(turns: Array, arrows: Array, shortest: int = 0) -> Iterator[bytes]:
    """Strings that take these `turns` (strings, steps), of the arrows with letters `arrows`.

    Shape (nodes, 2), or (strings, nodes, 2) for others in each string. A walk that does not come
    to the end is left out, and a string of fewer letters than `shortest`.
    """
    count, steps = turns.shape
    arrows = np.broadcast_to(arrows, (count, END, 2))
    rows, node, lengths = np.arange(count), np.zeros(count, np.int64), np.zeros(count, np.int64)
    text = np.full((count, steps + 1), ord("B"), np.uint8)
    for step in range(steps):
        on_the_way = lengths == 0
        text[:, step + 1] = arrows[rows, np.minimum(node, END - 1), turns[:, step]]
        node = NEXT[node, turns[:, step]]
        lengths[on_the_way & (node == END)] = step + 2
    for row in np.flatnonzero(lengths >= max(shortest, 1)):
        yield text[row, : lengths[row]].tobytes()


def accepts(string: bytes) -> bool:
    """Whether the grammar makes this string.

    >>> accepts(b"BTXSE"), accepts(b"BTXPE")
    (True, False)
    """
    if string[:1] != b"B":
        return False
    node = 0
    for letter in string[1:]:
        if node == END or letter not in ARROWS[node]:
            return False
        node = int(NEXT[node, ARROWS[node].index(letter)])
    return node == END
