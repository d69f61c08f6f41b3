"""What all commands share: bad input ends with one line and code 2, and never with a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import typer

from trainables.errors import InputError


def start(app: typer.Typer, arguments: Sequence[str] | None = None) -> None:
    """Run a Typer app as a program."""
    guard(lambda: app(args=list(sys.argv[1:] if arguments is None else arguments)))


def guard(action: Callable[[], None]) -> None:
    """Run an action; an `InputError` is printed as one line on stderr and ends the program with code 2."""
    try:
        action()
    except InputError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone (`| head`): nothing is wrong
        sys.exit(0)


def new_app() -> typer.Typer:
    """A Typer app with readable tracebacks off (they hide the cause) and no shell completion options."""
    return typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
