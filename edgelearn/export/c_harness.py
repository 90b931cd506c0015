"""A main program in C that does to a model what it is told: how generated code is tried.

It contains the source file, so that it can set and read the states. It reads commands of one byte,
each followed by what it needs, and writes what comes of them:

``i``
    init.
``s``, ``g``
    set the states to what follows; write them.
``p``, ``l``
    predict, learn: the inputs follow; the code as int32 is written, then the outputs.

Reading and writing are functions of the machine it runs on, and so is what measures a call; `STDIO`
has them for a host, which measures nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from edgelearn.arrays import Array, Shape
from edgelearn.export.c_entry import parameters
from edgelearn.export.c_program import Function, Program

STDIO = """\
#include <stdio.h>

#define port_begin()
#define port_end(command)

static int port_read(void *to, uint32_t size)
{
    return fread(to, 1, size, stdin) == size;
}

static void port_write(const void *from, uint32_t size)
{
    if (fwrite(from, 1, size, stdout) != size || fflush(stdout) != 0)
        fputs("cannot write\\n", stderr);
}
"""

MAIN = """\
#include "{name}.c"
{port}
{functions}
int main(void)
{{
    char command;
    while (port_read(&command, 1)) {{
        switch (command) {{
{cases}        default:
            return 1;
        }}
    }}
    return 0;
}}
"""

COMMANDS = {"predict": "p", "learn": "l"}


def harness_text(program: Program, port: str = STDIO) -> str:
    """The main program; `port` defines port_read, port_write, port_begin and port_end."""
    cases = {"i": f"{program.prefix}_init();"}
    cases |= {COMMANDS[f.name]: f"run_{f.name}();" for f in program.functions}
    if program.states:
        cases["s"] = "if (!port_read(&state, sizeof state))\n                return 1;"
        cases["g"] = "port_write(&state, sizeof state);"
    return MAIN.format(
        name=program.name,
        port=port,
        functions="\n".join(_function(program.prefix, f) for f in program.functions),
        cases="".join(
            f"        case '{command}':\n            {statement}\n            break;\n"
            for command, statement in cases.items()
        ),
    )


def _function(prefix: str, function: Function) -> str:
    """Reads the inputs, calls the function, writes its code and outputs."""
    taken = parameters(function.graph)
    inputs = [p for p in taken if not p.is_output]
    lines = [f"static {p.element} {p.name}[{p.spec.size}];" for p in taken]
    lines.append("int32_t code;")
    for p in inputs:
        lines += [f"if (!port_read({p.name}, sizeof {p.name}))", "    return;"]
    passed = ", ".join(p.name if p.spec.shape or p.is_output else f"{p.name}[0]" for p in taken)
    call = f"code = {prefix}_{function.name}({passed});"
    lines += ["port_begin();", call, f"port_end('{COMMANDS[function.name]}');"]
    lines.append("port_write(&code, sizeof code);")
    lines += [f"port_write({p.name}, sizeof {p.name});" for p in taken if p.is_output]
    body = "\n".join(f"    {line}" for line in lines)
    return f"static void run_{function.name}(void)\n{{\n{body}\n}}\n"


def call_bytes(function: Function, feeds: Mapping[str, Array]) -> bytes:
    """The command that calls `function` on `feeds`."""
    parts = [COMMANDS[function.name].encode()]
    for value in function.graph.inputs:
        array = feeds[value]
        parts.append((array.astype(np.int32) if array.dtype == np.int64 else array).tobytes())
    return b"".join(parts)


def set_bytes(program: Program, states: Mapping[str, Array]) -> bytes:
    """The command that sets the states: `states` by their names in C, first values elsewhere."""
    if not program.states:
        return b"i"
    values = (states.get(name, first) for name, first in program.states.items())
    return b"s" + b"".join(np.ascontiguousarray(value).tobytes() for value in values)


GET = b"g"
Source = Callable[[int], bytes]
"""The next so many bytes of what the main program writes."""


def read_result(function: Function, source: Source) -> tuple[int, dict[str, Array]]:
    """The code and the outputs of one call of `function`."""
    code = int(_take(source, "int32", ())[()])
    outputs = [p for p in parameters(function.graph) if p.is_output]
    return code, {p.value: _take(source, p.spec.dtype, p.spec.shape) for p in outputs}


def read_states(program: Program, source: Source) -> dict[str, Array]:
    """The states by their names in C."""
    return {name: _take(source, "float32", v.shape) for name, v in program.states.items()}


def _take(source: Source, dtype: str, shape: Shape) -> Array:
    size_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    return np.frombuffer(source(size_bytes), dtype).reshape(shape)
