"""The command line: one file per command, each read only when it is asked for."""

from __future__ import annotations

import importlib
import io
import os
import signal
import sys
from types import FrameType

import click

from edgelearn import __version__
from edgelearn.errors import (
    EdgelearnError,
    MissingFile,
    OptionError,
    OutputError,
    OverBudget,
    unknown,
)

COMMANDS = (
    "train",
    "eval",
    "predict",
    "adapt",
    "prune",
    "export",
    "simulate",
    "check",
    "inspect",
    "devices",
    "bench",
    "explain",
)
INTERNAL_ERROR = 3


class Lazy(click.Group):
    """A group whose commands are modules of this package, each with a `command`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands, in the order in which one uses them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """The command of that name, imported now."""
        if cmd_name not in COMMANDS:
            raise unknown("command", cmd_name, COMMANDS)
        module = importlib.import_module(f"edgelearn.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; a reader that has seen enough, such as ``head``, is no failure."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="edgelearn")
def group() -> None:
    """Train on the device without backpropagation, export, simulate and check.

    \b
    Example:
      edgelearn train
      edgelearn export model.onnx
      edgelearn simulate --device rpi-4b

    Exit codes: 0 fine, 1 the answer is no, 2 usage or configuration, 3 could not be
    evaluated, 4 bad data, 130 interrupted, 143 terminated.
    """


class Terminated(BaseException):
    """SIGTERM came."""


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise Terminated


def main() -> None:
    """Run the program; every error becomes one message and a documented exit code."""
    signal.signal(signal.SIGTERM, _terminate)  # while it trains, a run has a better answer
    if isinstance(sys.stdout, io.TextIOWrapper):  # a class may have a name that is not ASCII
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))


def run(args: list[str]) -> int:
    """Run the program with `args` and return its exit code."""
    if not args:
        click.echo(group.get_help(click.Context(group, info_name="edgelearn")), err=True)
        return 2
    try:
        code = group.main(args, prog_name="edgelearn", standalone_mode=False)
    except EdgelearnError as error:
        return _fail(str(error), error.exit_code)
    except (click.ClickException, OSError, MemoryError) as error:
        known = _as_ours(error)
        return _fail(str(known), known.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted", 130)
    except Terminated:
        return _fail("terminated", 143)
    except Exception as error:
        if os.environ.get("EDGELEARN_DEBUG"):
            raise
        message = f"E0000 edgelearn has a defect: {type(error).__name__}: {error}. "
        hint = "Fix: run again with EDGELEARN_DEBUG=1 and report what it prints"
        return _fail(message + hint, INTERNAL_ERROR)
    return code if isinstance(code, int) else 0


def _way_out(ctx: click.Context | None, message: str, path: str) -> str:
    """What to write instead; a file too many is mostly the model."""
    options = [] if ctx is None else [name for p in ctx.command.params for name in p.opts]
    if "extra argument" in message and "--model" in options:
        return "name a model with --model FILE"
    return f"see '{path} --help'"


def _as_ours(error: click.ClickException | OSError | MemoryError) -> EdgelearnError:
    """What click and the system report, as one of our messages."""
    if isinstance(error, click.ClickException):
        ctx = getattr(error, "ctx", None)
        path = ctx.command_path if ctx else "edgelearn"
        close = getattr(error, "possibilities", None)
        message = error.format_message().partition(" Did you mean")[0].rstrip(".")
        return OptionError(
            f"command {path!r}",
            expected="arguments as its --help shows them",
            got=(message[:1].lower() + message[1:]).removeprefix("got "),
            fix=f"did you mean {close[0]!r}?" if close else _way_out(ctx, message, path),
        )
    if isinstance(error, MemoryError):
        return OverBudget(
            "this device",
            expected="enough memory",
            got=str(error) or "none left",
            fix="use fewer units, a smaller train.batch or less data",
        )
    got = (error.strerror or str(error)).lower()
    if error.filename is None:
        return OutputError(
            "output", expected="a place that can be written", got=got, fix="free some space"
        )
    return MissingFile(
        f"file {str(error.filename)!r}",
        expected="a file that can be used",
        got=got,
        fix="mend the path or its permissions",
    )


def _fail(message: str, code: int) -> int:
    click.echo(message, err=True)
    return code
