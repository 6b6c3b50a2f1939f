# SPDX-License-Identifier: Apache-2.0
"""The command line: finds the verb's module and nothing else, so that `stackrig list` starts at once."""

from __future__ import annotations

import ast
import importlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import typer
from typer.core import TyperGroup

from stackrig import __version__
from stackrig.errors import RunError, StackrigError, unknown
from stackrig.signals import came_of_an_interrupt

_HERE = Path(__file__).parent
_NOT_VERBS = {"__init__", "main", "output"}


def verbs() -> list[str]:
    return sorted(path.stem for path in _HERE.glob("*.py") if path.stem not in _NOT_VERBS)


def _first_line(verb: str) -> str:
    """The verb's one-line help, without importing its module."""
    tree = ast.parse((_HERE / f"{verb}.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "command":
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""


class Verbs(TyperGroup):
    """Verbs by file name. Only the one that is asked for is imported."""

    def list_commands(self, ctx: Any) -> list[str]:
        return verbs()

    def get_command(self, ctx: Any, name: str) -> Any:
        known = verbs()
        if name not in known:
            raise unknown("verb", name, known)
        module = importlib.import_module(f"stackrig.cli.{name}")
        single = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
        single.command(name=name)(module.command)
        return typer.main.get_command(single)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, _first_line(verb)) for verb in verbs()], col_max=12)


cli = typer.Typer(
    cls=Verbs,
    name="stackrig",
    help="One bench for network stacks: published systems under the same load, a verdict on every claim.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog="Names that are unknown are answered with the nearest that exist. Exit codes: 0 done, 1 failed or a "
    "bar does not hold, 2 bad input or a machine that lacks something (nothing was started), 130 stopped.",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"stackrig {__version__}")
        raise typer.Exit


@cli.callback()
def _main(
    version: bool = typer.Option(
        False, "--version", help="Print the version.", callback=_version, is_eager=True
    ),
) -> None:
    """One bench for network stacks."""


def _terminated(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def app(arguments: Sequence[str] | None = None) -> None:
    """Entry point. What went wrong is told in one message (bad input: exit code 2); Ctrl-C cleans up first."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        cli(args=None if arguments is None else list(arguments), prog_name="stackrig")
    except StackrigError as error:
        if came_of_an_interrupt(error):
            sys.stderr.write("stackrig: stopped\n")
            raise SystemExit(130) from None
        sys.stderr.write(f"stackrig: {error}\n")
        if isinstance(error, RunError):
            sys.stderr.write("".join(f"    {line}\n" for line in error.excerpt.splitlines()[-6:]))
            sys.stderr.write(f"  {error.remedy}\n")
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        sys.stderr.write("stackrig: stopped\n")
        raise SystemExit(130) from None


if __name__ == "__main__":
    app()
