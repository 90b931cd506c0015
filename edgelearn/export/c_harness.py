"""A main program in C that does to a model what it is told: how the generated code is tried.

It reads commands of one byte, each followed by what it needs, and writes what comes of them:

``i``, ``r``
    init, reset_state: nothing.
``p``, ``l``
    predict, learn: the inputs; the code as int32, then the outputs.
``s``
    save: nothing; the bytes of a slot.

Reading and writing are two functions of the machine it runs on; `STDIO` has them for a host.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from edgelearn.arrays import Array, Shape
from edgelearn.export.c_entry import parameters
from edgelearn.export.c_program import Function, Program
from edgelearn.export.c_slots import TRAILER_BYTES

STDIO = """\
#include <stdio.h>

static int port_read(void *to, uint32_t size)
{
    return fread(to, 1, size, stdin) == size;
}

static void port_write(const void *from, uint32_t size)
{
    if (fwrite(from, 1, size, stdout) != size)
        fprintf(stderr, "cannot write\\n");
}
"""

MAIN = """\
#include "{prefix}.h"
{port}
{functions}
int main(void)
{{
    char command;
{start}    while (port_read(&command, 1)) {{
        switch (command) {{
        case 'i':
            {prefix}_init();
            break;
{cases}        default:
            return 1;
        }}
    }}
    return 0;
}}
"""

SAVE = """\
static int give(void *context, int slot, uint32_t offset, const void *data, uint32_t size)
{
    (void)context, (void)slot, (void)offset;
    port_write(data, size);
    return 0;
}

static int nothing(void *context, int slot, uint32_t offset, void *data, uint32_t size)
{
    (void)context, (void)slot, (void)offset, (void)data, (void)size;
    return 1;
}
"""

COMMANDS = {"predict": "p", "learn": "l"}
LABEL_TYPE = np.dtype(np.int32)


def harness_text(program: Program, port: str = STDIO, start: str = "") -> str:
    """The main program; `port` defines the two functions, `start` is said first."""
    prefix = program.prefix
    functions = [_function(prefix, f) for f in program.functions]
    cases = [_case(COMMANDS[f.name], f"run_{f.name}();") for f in program.functions]
    if program.streams:
        cases.append(_case("r", f"{prefix}_reset_state();"))
    if program.learns:
        functions.append(SAVE)
        cases.append(_case("s", f"(void){prefix}_save(give, nothing, NULL);"))
    return MAIN.format(
        prefix=prefix,
        port=port,
        functions="\n".join(functions),
        start=start,
        cases="".join(cases),
    )


def _case(command: str, statement: str) -> str:
    return f"        case '{command}':\n            {statement}\n            break;\n"


def _function(prefix: str, function: Function) -> str:
    """Reads the inputs, calls the function, writes its code and outputs."""
    taken = parameters(function.graph)
    lines = [f"static void run_{function.name}(void)\n{{", "    int32_t code;"]
    lines += [f"    static {p.element} {p.name}[{p.spec.size}];" for p in taken]
    lines += [
        f"    if (!port_read({p.name}, sizeof {p.name}))\n        return;"
        for p in taken
        if not p.is_output
    ]
    scalars = {p.name for p in taken if not p.spec.shape and not p.is_output}
    passed = ", ".join(f"{p.name}[0]" if p.name in scalars else p.name for p in taken)
    lines.append(f"    code = {prefix}_{function.name}({passed});")
    lines.append("    port_write(&code, sizeof code);")
    lines += [f"    port_write({p.name}, sizeof {p.name});" for p in taken if p.is_output]
    return "\n".join([*lines, "}\n"])


def command_bytes(function: Function, feeds: Mapping[str, Array]) -> bytes:
    """The command that calls `function` on `feeds`."""
    parts = [COMMANDS[function.name].encode()]
    for value in function.graph.inputs:
        array = feeds[value]
        parts.append((array.astype(LABEL_TYPE) if array.dtype == np.int64 else array).tobytes())
    return b"".join(parts)


class Reader:
    """What the main program wrote, piece by piece."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def _take(self, dtype: str, shape: Shape) -> Array:
        found = np.frombuffer(self._content, dtype, math.prod(shape), self._at)
        self._at += found.nbytes
        return found.reshape(shape)

    def result(self, function: Function) -> tuple[int, dict[str, Array]]:
        """The code and the outputs of one call of `function`."""
        code = int(self._take("int32", ())[()])
        outputs = [p for p in parameters(function.graph) if p.is_output]
        return code, {p.value: self._take(p.spec.dtype, p.spec.shape) for p in outputs}

    def states(self, program: Program) -> dict[str, Array]:
        """The states by their names in C, from what save wrote."""
        found = {name: self._take("float32", v.shape) for name, v in program.states.items()}
        self._take("uint8", (TRAILER_BYTES,))
        return found

    @property
    def left(self) -> int:
        """Bytes that nobody has read."""
        return len(self._content) - self._at
