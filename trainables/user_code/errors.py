"""Errors that a user's code raises, as one line with the file and the line of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from trainables.errors import InputError
from trainables.user_code.source import PACKAGE, first_line


@contextmanager
def user_errors(spec: str, part: Callable[..., Any], what: str = "") -> Iterator[None]:
    """Raise what the code inside raises as an `InputError` of one line: the spec, where it happened, and the error.

    what: of the error, such as "on images of 28 px".
    """
    try:
        yield
    except InputError:
        raise
    # code that ends the program is no reason to end it
    except (Exception, SystemExit) as error:
        place = _place(error, part)
        text = f"{spec}{f' {what}' if what else ''}: {f'{place}: ' if place else ''}{first_line(error)}"
        raise InputError(text) from None


def _place(error: BaseException, part: Callable[..., Any]) -> str:
    """Return `my_net.py, line 12` of the innermost frame that is the user's; nothing where none is."""
    place, step = "", error.__traceback__
    own = _file_of(part)
    while step is not None:
        file = step.tb_frame.f_code.co_filename
        if file.startswith(f"<{PACKAGE}") or file == own:
            place = f"{file.partition('>/')[2] or file}, line {step.tb_lineno}"
        step = step.tb_next
    return place


def _file_of(part: Callable[..., Any]) -> str | None:
    try:
        return inspect.getsourcefile(part)
    except TypeError:
        return None


def number_of(value: Any) -> float | None:
    """Return what a user's function gave as a float, None where it is not one number; a text is none.

    Arrays and tensors of one number are taken.
    """
    try:
        return None if isinstance(value, str | bytes) else float(value)
    # OverflowError: of 10**400; RuntimeError: of torch, for a tensor of several numbers
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None
