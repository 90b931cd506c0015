"""The command line: one file per command, each read only when it is asked for."""

from __future__ import annotations

import importlib
import os
import sys

import click

from edgelearn import __version__
from edgelearn.errors import EdgelearnError, unknown

COMMANDS = (
    "train",
    "eval",
    "predict",
    "export",
    "simulate",
    "check",
    "inspect",
    "devices",
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


def main() -> None:
    """Run the program; every error becomes one message and a documented exit code."""
    sys.exit(run(sys.argv[1:]))


def run(args: list[str]) -> int:
    """Run the program with `args` and return its exit code."""
    try:
        code = group.main(args, prog_name="edgelearn", standalone_mode=False)
    except EdgelearnError as error:
        return _fail(str(error), error.exit_code)
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get("EDGELEARN_DEBUG"):
            raise
        message = f"E0000 edgelearn has a defect: {type(error).__name__}: {error}. "
        hint = "Fix: run again with EDGELEARN_DEBUG=1 and report what it prints"
        return _fail(message + hint, INTERNAL_ERROR)
    return code if isinstance(code, int) else 0


def _fail(message: str, code: int) -> int:
    click.echo(message, err=True)
    return code
