"""A program as C99: the text of its header and of its source file."""

from __future__ import annotations

import json
import zlib

from edgelearn import __version__
from edgelearn.arrays import Array
from edgelearn.export import c_slots
from edgelearn.export.c_emitter import C_TYPES, array_text
from edgelearn.export.c_entry import parameters
from edgelearn.export.c_program import Function, Program
from edgelearn.export.c_spatial import WINDOW_TYPE

HEADER = """\
/* {name}.h, written by edgelearn {version}. Do not edit it: export the model again.

   Static RAM: {ram} bytes, of which {states} are states (parameters under training, memory of a
   stream) and {arena} an arena for all else. No heap, no recursion. Call {prefix}_init first.
   Not for several threads or interrupts at once: there is one arena. */
#ifndef {upper}_H
#define {upper}_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

/* What every function returns. Up to {upper}_BAD_LABEL nothing was changed. */
enum {prefix}_code {{
    {upper}_OK = 0,
    {upper}_NOT_FINITE = 1, /* an input is infinite or no number */
    {upper}_BAD_LABEL = 2, /* a label is out of range */
    {upper}_DIVERGED = 3, /* a result is no number: the parameters are spoilt, load or init */
    {upper}_NO_SLOT = 4, /* no slot is whole and of this model */
    {upper}_IO = 5 /* a callback failed */
}};

/* The parameters as they were exported. */
void {prefix}_init(void);

{declarations}

#ifdef __cplusplus
}}
#endif
#endif
"""

SOURCE = """\
/* {name}.c, written by edgelearn {version}. Do not edit it: export the model again.

   Products and sums that are rounded apart give the same bits on every machine: gcc -std=c99 and
   the pragma for clang see to it, other compilers need an option such as -ffp-contract=off. */
#include "{name}.h"

{includes}

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

{body}
"""

RESET_NOTE = "/* The memory of a stream as it was before its first step. */"


def header_text(program: Program) -> str:
    """The header: what a caller may use, and what it costs."""
    prefix, upper = program.prefix, program.prefix.upper()
    lines = [f"{_note(f)}\n{_signature(prefix, f)};" for f in program.functions]
    if program.streams:
        lines.append(f"{RESET_NOTE}\nvoid {prefix}_reset_state(void);")
    if program.learns:
        slot_bytes = program.states_bytes + c_slots.TRAILER_BYTES
        lines.append(c_slots.HEADER.format(prefix=prefix, upper=upper, slot_bytes=slot_bytes))
    return HEADER.format(
        name=program.name,
        prefix=prefix,
        upper=upper,
        version=__version__,
        ram=program.ram_bytes,
        arena=program.arena_bytes,
        states=program.states_bytes,
        declarations="\n\n".join(lines),
    )


def source_text(program: Program) -> str:
    """The source file: constants, memory, helpers, functions."""
    helpers = [helper.text for helper in program.helpers]
    parts = [WINDOW_TYPE] if any(kind == "struct window" for kind, _ in program.tables) else []
    parts += [_table(*key, name) for key, name in program.tables.items()]
    parts += [_constant(name, value) for name, value in program.constants.items()]
    parts += [_constant(f"{n}_first", v) for n, v in program.states.items() if v.any()]
    parts += [_memory(program), *helpers, _init(program)]
    for function in program.functions:
        parts.append(f"{_signature(program.prefix, function)}\n{_block(function.lines)}")
    if program.streams:
        reset = f"{program.prefix}_init();"
        parts.append(f"void {program.prefix}_reset_state(void)\n{_block([reset])}")
    if program.learns:
        parts.append(_slots(program))
    includes = ["#include <string.h>"]
    if any("sqrtf(" in text for text in helpers):
        includes.insert(0, "#include <math.h> /* sqrtf, which IEEE 754 rounds exactly */")
    return SOURCE.format(
        name=program.name,
        version=__version__,
        includes="\n".join(includes),
        body="\n\n".join(parts),
    )


def _signature(prefix: str, function: Function) -> str:
    taken = ", ".join(p.declaration for p in parameters(function.graph)) or "void"
    return f"int {prefix}_{function.name}({taken})"


def _note(function: Function) -> str:
    """Shapes of what a function takes, as a comment."""
    lines = [f"   {p.name}: {p.element} {list(p.spec.shape)}" for p in parameters(function.graph)]
    what = {"predict": "The answer for one sample.", "learn": "One step of learning."}
    return "\n".join([f"/* {what.get(function.name, function.name)}", *lines]) + " */"


def _block(lines: tuple[str, ...] | list[str]) -> str:
    return "{\n" + "\n".join(f"    {line}" for line in lines) + "\n}"


def _table(kind: str, text: str, name: str) -> str:
    length = "" if kind.startswith("struct") else "[]"
    return f"static const {kind} {name}{length} = {text};"


def _constant(name: str, value: Array) -> str:
    kind = C_TYPES[value.dtype.name]
    return f"static const {kind} {name}[{value.size}] = {array_text(value)};"


def _memory(program: Program) -> str:
    """The arena and the states: all static memory there is."""
    parts = []
    if program.arena_bytes:
        parts.append(f"static float arena[{program.arena_bytes // 4}];")
    if program.states:
        lines = [f"    float {name}[{value.size}];" for name, value in program.states.items()]
        parts.append("static struct {\n" + "\n".join(lines) + "\n} state;")
    return "\n\n".join(parts)


def _init(program: Program) -> str:
    lines = [
        f"memcpy(state.{name}, {name}_first, sizeof state.{name});"
        if value.any()
        else f"memset(state.{name}, 0, sizeof state.{name});"
        for name, value in program.states.items()
    ]
    return f"void {program.prefix}_init(void)\n{_block(lines)}"


def _slots(program: Program) -> str:
    """Saving and loading; `layout` tells the states of this model from those of any other."""
    shapes = {name: value.shape for name, value in program.states.items()}
    layout = zlib.crc32(json.dumps(shapes).encode())
    for value in program.constants.values():
        layout = zlib.crc32(value.tobytes(), layout)
    return c_slots.SOURCE.format(
        prefix=program.prefix,
        upper=program.prefix.upper(),
        size=program.states_bytes,
        version=c_slots.VERSION,
        layout=layout,
    )
