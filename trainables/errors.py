"""The one error that bad input raises, and the closest-match text that every registry shares."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """Bad input. Its text is one line that says what is wrong and what to do; commands print it and exit with 2."""


def unknown_name(what: str, name: object, allowed: Iterable[str]) -> str:
    """One line for a name that is not in a registry: the name, the closest match, and what is allowed."""
    names = [str(a) for a in allowed]
    close = get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    shown = ", ".join(names if len(names) <= 60 else [*names[:60], "..."])
    return f"unknown {what} {name!r}: {hint}known: {shown}"
