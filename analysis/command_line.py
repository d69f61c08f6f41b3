"""What all commands share: bad input ends with one line and code 2, and never with a traceback."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NoReturn

import typer

from trainables.errors import InputError


def start(app: typer.Typer, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a Typer app as a program, and end the process."""
    try:
        guard(lambda: app(args=list(sys.argv[1:] if arguments is None else arguments)))
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        _leave(end.code if isinstance(end.code, int) else int(end.code is not None))
    _leave(0)


def _leave(code: int) -> NoReturn:
    """End as Python does, but free no object one by one: where torch was imported that takes a second."""
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads that are no daemons
    atexit._run_exitfuncs()
    with suppress(BrokenPipeError, ValueError):  # who read our output has gone, or it was closed for that
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


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
