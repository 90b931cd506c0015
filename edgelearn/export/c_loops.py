"""Loops over elements in C, one function for each function and way that shapes broadcast.

Neighbouring axes that behave alike are one loop. So what is left of two shapes is a word a loop:
``ab`` where both operands move on, ``a`` or ``b`` where only that one does. ``add_a_ab`` adds, to
each row of a, all of b's rows; which strides that means follows from the word and the lengths.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgelearn.arrays import Shape
from edgelearn.export.c_math import EXP, LOG, SIGMOID, TANH
from edgelearn.export.c_text import Helper, helper

BINARY = {
    "add": "p + q",
    "sub": "p - q",
    "mul": "p * q",
    "div": "p / q",
    "max": "p > q || p != p ? p : q",
    "min": "p < q || p != p ? p : q",
}
"""In float32; of two operands of which one is no number, that one, as NumPy has it."""

UNARY: dict[str, tuple[str, tuple[Helper, ...]]] = {
    "tanh": ("tanh_of(a[i])", (TANH,)),
    "relu": ("a[i] < 0.0f ? 0.0f : a[i]", ()),
    "sigmoid": ("sigmoid_of(a[i])", (SIGMOID,)),
    "exp": ("exp_of(a[i])", (EXP,)),
    "log": ("log_of(a[i])", (LOG,)),
    "sqrt": ("sqrtf(a[i])", ()),
    "abs": ("a[i] < 0.0f ? -a[i] : a[i]", ()),
    "sign": ("a[i] > 0.0f ? 1.0f : a[i] < 0.0f ? -1.0f : a[i]", ()),
    "neg": ("-a[i]", ()),
}

REDUCE = {
    "sum": "total += a[{at}];",
    "mean": "total += a[{at}];",
    "max": "total = a[{at}] > total || a[{at}] != a[{at}] ? a[{at}] : total;",
}


def merged(dims: Sequence[int], words: Sequence[str]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Lengths and words of the loops over `dims`, neighbours of the same word as one.

    >>> merged((2, 3, 1, 4), ("ab", "ab", "a", "b"))
    ((6, 4), ('ab', 'b'))
    """
    lengths: list[int] = []
    found: list[str] = []
    for dim, word in zip(dims, words, strict=True):
        if dim == 1:
            continue
        if found and found[-1] == word:
            lengths[-1] *= dim
        else:
            lengths.append(dim)
            found.append(word)
    return tuple(lengths), tuple(found)


def unary(kind: str) -> Helper:
    """The function of one operand: ``KIND_all(a, out, n)``."""
    value, needs = UNARY[kind]
    lines = ["int i;", *_nested(["for (i = 0; i < n; i++)"], [f"out[i] = {value};"])]
    return _function(f"{kind}_all(const float *a, float *out, int n)", lines, *needs)


def binary_words(a: Shape, b: Shape, out: Shape) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The loops of a function of two operands.

    >>> binary_words((8, 4), (4,), (8, 4))
    ((8, 4), ('a', 'ab'))
    """
    rank = len(out)
    full_a, full_b = (1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b
    moves = [(m == d, n == d) for m, n, d in zip(full_a, full_b, out, strict=True)]
    words = ["ab" if both == (True, True) else "a" if both[0] else "b" for both in moves]
    return merged(out, words)


def binary(kind: str, words: tuple[str, ...]) -> Helper:
    """The function of two operands: ``KIND_WORDS(a, b, out, n0, n1, ...)``."""
    axes = range(len(words))
    p, q = (_place([axis for axis in axes if side in words[axis]]) for side in "ab")
    body = [f"const float p = a[{p}], q = b[{q}];", f"*out++ = {BINARY[kind]};"]
    head = (
        f"{kind}_{'_'.join(words)}(const float *a, const float *b, float *out, {_lengths(words)})"
    )
    return _function(head, [_counters(words), *_loops(axes, body)])


def reduce(kind: str, words: tuple[str, ...]) -> Helper:
    """The reduction: ``KIND_WORDS(a, out, n0, n1, ...)``; k is kept, r is reduced."""
    kept = [axis for axis, word in enumerate(words) if word == "k"]
    gone = [axis for axis, word in enumerate(words) if word == "r"]
    first = f"a[{_place(range(len(words)), zero=gone)}]"
    step = REDUCE[kind].format(at=_place(range(len(words))))
    count = " * ".join(f"n{axis}" for axis in gone)
    body = [
        f"float total = {first if kind == 'max' else '0.0f'};",
        *_loops(gone, [step]),
        f"*out++ = {f'total / (float)({count})' if kind == 'mean' else 'total'};",
    ]
    head = f"{kind}_{''.join(words)}(const float *a, float *out, {_lengths(words)})"
    return _function(head, [_counters(words), *_loops(kept, body)])


def transpose(perm: tuple[int, ...]) -> Helper:
    """Axes in another order: ``transpose_PERM(from, to, bytes, n0, n1, ...)``, n of the output."""
    at = _place([perm.index(axis) for axis in range(len(perm))])
    body = [
        f"memcpy(out, (const char *)from + (size_t)({at}) * (size_t)bytes, (size_t)bytes);",
        "out += bytes;",
    ]
    name = f"transpose_{'_'.join(map(str, perm))}"
    head = f"{name}(const void *from, void *to, int bytes, {_lengths(perm)})"
    lines = ["char *out = (char *)to;", _counters(perm), *_loops(range(len(perm)), body)]
    return _function(head, lines)


def _function(head: str, lines: Sequence[str], *needs: Helper) -> Helper:
    body = "\n".join(f"    {line}" for line in lines)
    return helper(f"static void {head}\n{{\n{body}\n}}", *needs)


def _loops(axes: Sequence[int], body: Sequence[str]) -> list[str]:
    """`body` in a loop over each of the axes, the last innermost."""
    return _nested([f"for (i{i} = 0; i{i} < n{i}; i{i}++)" for i in axes], body)


def _nested(heads: Sequence[str], body: Sequence[str]) -> list[str]:
    lines = ["    " * depth + head for depth, head in enumerate(heads)]
    inner = ["    " * len(heads) + line for line in body]
    if not heads or len(body) == 1:
        return lines + inner
    return [*lines[:-1], f"{lines[-1]} {{", *inner, "    " * (len(heads) - 1) + "}"]


def _place(axes: Sequence[int], zero: Sequence[int] = ()) -> str:
    """The place in an operand that has these axes, in this order; counters of `zero` are 0.

    >>> _place([0, 1]), _place([])
    ('i0 * n1 + i1', '0')
    """
    at = ""
    for axis in axes:
        counter = "0" if axis in zero else f"i{axis}"
        if not at:
            at = counter
        else:
            at = f"({at}) * n{axis} + {counter}" if " " in at else f"{at} * n{axis} + {counter}"
    return at or "0"


def _lengths(words: Sequence[object]) -> str:
    return ", ".join(f"int n{i}" for i in range(len(words)))


def _counters(words: Sequence[object]) -> str:
    return f"int {', '.join(f'i{i}' for i in range(len(words)))};"
