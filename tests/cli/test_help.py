"""Every command helps, quickly and without loading what only training and export need."""

from __future__ import annotations

import subprocess
import sys
import time

import click
import pytest

from edgelearn import cli
from edgelearn.cli import COMMANDS, group

HEAVY = ("numba", "llvmlite", "onnx", "onnxruntime", "ai_edge_litert", "tflite_runtime", "rich")
LOADED = """
import sys
from edgelearn.cli import run
code = run(sys.argv[1:])
print("loaded", *sorted(sys.modules))
sys.exit(code)
"""


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(ask, command, flag):
    done = ask(command, flag)
    assert done.code == 0
    assert done.err == ""
    assert done.out.startswith(f"Usage: edgelearn {command}")
    assert "Example:\n" in done.out
    assert f"  edgelearn {command}" in done.out.partition("Example:")[2]
    assert all(len(line) <= 80 for line in done.out.splitlines())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_described(command):
    made = group.get_command(click.Context(group), command)
    assert made.name == command
    assert made.help
    options = [p for p in made.params if isinstance(p, click.Option)]
    missing = [p.name for p in options if not p.help and not isinstance(p.type, click.Choice)]
    assert not missing


def test_the_program_lists_its_commands(ask):
    done = ask("--help")
    assert done.code == 0
    listed = done.out.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in listed if line.strip()] == list(COMMANDS)
    assert "143" in done.out


def test_without_arguments_the_help_goes_to_stderr(ask):
    done = ask()
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("Usage: edgelearn")


@pytest.mark.parametrize("args", [["--help"], ["--version"], *([c, "--help"] for c in COMMANDS)])
def test_help_loads_nothing_heavy(args):
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *args], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "edgelearn.cli" in loaded
    assert not loaded & set(HEAVY)
    assert "numpy" not in loaded


def test_help_is_quick():
    """Measured 0.10 s on the machine where it was written; loose, as others are slower."""
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", "from edgelearn.cli import main; main()", "--help"],
            capture_output=True,
            check=True,
        )
        best = min(best, time.perf_counter() - began)
    assert best < 0.5


def test_version(ask):
    from edgelearn import __version__

    done = ask("--version")
    assert done.code == 0
    assert __version__ in done.out


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("trian", ["write 'train'", "predict"]),
        ("", ["expected one of"]),
        ("TRAIN", ["expected one of"]),
        ("cli", ["expected one of"]),
    ],
)
def test_unknown_commands(ask, wrong, words):
    ask(wrong).refused(2, "E2002 command", *words)


@pytest.mark.parametrize("command", COMMANDS)
def test_unknown_options(ask, command):
    ask(command, "--jsno").refused(2, f"E2006 command 'edgelearn {command}'", "no such option")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--foo"], ["--foo", "edgelearn --help"]),
        (["train", "--budge", "3"], ["did you mean '--budget'?"]),
        (["train", "a", "b", "c"], ["got unexpected extra arguments (b c)"]),
        (["eval", "a"], ["got unexpected extra argument (a)", "name a model with --model FILE"]),
        (["predict"], ["missing argument 'FILES...'", "edgelearn predict --help"]),
        (["explain"], ["missing argument 'CODE'"]),
        (["train", "--budget"], ["'--budget' requires an argument"]),
        (["eval", "--fail-under", "2"], ["--fail-under", "0<=x<=1"]),
        (["eval", "--fail-under", "x"], ["--fail-under", "'x'"]),
    ],
)
def test_wrong_usage_is_one_line(ask, args, words):
    ask(*args).refused(2, "E2006 command", *words)


def test_explain_knows_every_code(ask):
    from edgelearn.errors import explanations

    for code, kind in explanations().items():
        done = ask("explain", code.lower())
        assert done.code == 0
        assert done.out.startswith(f"{code} (exit code {kind.exit_code})")
        assert len(done.out) > 60
    ask("explain", "E9999").refused(2, "E2002 error code 'E9999'")


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (ZeroDivisionError("x"), 3, ["E0000", "defect", "EDGELEARN_DEBUG=1"]),
        (MemoryError("3 GiB"), 2, ["E2005", "3 GiB"]),
        (OSError(28, "No space left on device"), 2, ["E2004", "no space left"]),
        (PermissionError(13, "Permission denied", "r.toml"), 2, ["E2003 file 'r.toml'"]),
        (KeyboardInterrupt(), 130, ["interrupted"]),
    ],
)
def test_what_nobody_expected_is_one_line_too(ask, monkeypatch, error, code, words):
    def fail(*_args):
        raise error

    monkeypatch.setattr("edgelearn.errors.explanations", fail)
    monkeypatch.setattr("edgelearn.cli.explain.explanations", fail)
    done = ask("explain", "E2001")
    assert (done.code, done.out) == (code, "")
    assert len(done.err.strip().splitlines()) == 1
    for word in words:
        assert word in done.err


def test_debugging_shows_the_traceback(monkeypatch):
    def fail():
        raise ZeroDivisionError

    monkeypatch.setenv("EDGELEARN_DEBUG", "1")
    monkeypatch.setattr("edgelearn.cli.explain.explanations", fail)
    with pytest.raises(ZeroDivisionError):
        cli.run(["explain", "E2001"])
