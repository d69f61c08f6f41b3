"""Checks a `sweeps.run` command before it is sent to another machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from typer.main import get_command

from search_spaces.find import find_sweep
from sweeps.planning.command import Command, allow_bare_resume, read_command
from sweeps.run import app
from trainables.errors import InputError


def sweep_name(word: str) -> str:
    """Return the name in the results folder of a sweep, of a .py file with a SWEEP, or of a run to be repeated."""
    return Path(word).stem if word.endswith(".py") else find_sweep(word)[0]


def parse(words: Sequence[str]) -> Command:
    """Return the command that `sweeps.run` would read. Raises `InputError` for unknown options and bad values."""
    try:
        context = get_command(app).make_context("sweeps.run", allow_bare_resume(list(words)))
    # Typer raises its own copy of click's exceptions, which has no public name
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        raise InputError(f"{error.format_message()}; see python -m sweeps.run --help") from None
    parameters = dict(context.params)
    return read_command(parameters.pop("sweep"), parameters)
