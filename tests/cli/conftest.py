"""The program, run in this process or as one of its own."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgelearn import cli

PROGRAM = [sys.executable, "-c", "from edgelearn.cli import main; main()"]

RECIPE = """name = "small"
dataset = { format = "npz", path = "data.npz" }
[[layers]]
kind = "dense"
units = 6
[[layers]]
kind = "dense"
units = 3
activation = "softmax"
[train]
epochs = 2
batch = 8
"""


@dataclass(frozen=True)
class Done:
    """What one run of the program gave."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout."""
        assert self.code == 0, self.err
        return json.loads(self.out)

    def refused(self, code: int, *words: str) -> None:
        """Assert one clear line on stderr, nothing on stdout, and the exit code."""
        assert self.code == code, self.err
        assert self.out == ""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith(f"E{code}0"), self.err
        assert ": expected " in lines[0]
        assert ", got " in lines[0]
        assert ". Fix: " in lines[0]
        assert "Traceback" not in self.err
        for word in words:
            assert word in lines[0]


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EDGELEARN_DEBUG", raising=False)
    return tmp_path


@pytest.fixture
def ask(here, capsys, monkeypatch) -> Callable[..., Done]:
    """Run the program in the folder `here`, with `stdin` if there is any."""

    def run(*args: object, stdin: str = "") -> Done:
        capsys.readouterr()
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        code = cli.run([str(arg) for arg in args])
        shown = capsys.readouterr()
        return Done(code, shown.out, shown.err)

    return run


@pytest.fixture
def spawn(here) -> Callable[..., Done]:
    """Run the program as a process of its own."""

    def run(*args: object, stdin: str = "") -> Done:
        done = subprocess.run(
            [*PROGRAM, *map(str, args)],
            cwd=here,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def started(here):
    """Start the program and go on; whatever still runs at the end is killed."""
    running = []

    def start(*args: object, **settings: Any) -> subprocess.Popen[str]:
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        process = subprocess.Popen(
            [*PROGRAM, *map(str, args)], cwd=here, text=True, **pipes | settings
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def small(here) -> Path:
    """A recipe for a small network on a small archive of three classes, 5 features."""
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    x = rng.normal(size=(60, 5)) + np.eye(3, 5)[y] * 4
    np.savez(here / "data.npz", x=x, y=y)
    path = here / "small.toml"
    path.write_text(RECIPE)
    return path
