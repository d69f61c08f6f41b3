"""Are the words of a `sweeps.run` command right? Asked before they are sent to another machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from search_spaces.definition import Sweep
from search_spaces.find import find_sweep
from sweeps.planning import options
from trainables.errors import InputError


def check_words(words: Sequence[str]) -> tuple[str, Sweep]:
    """(name, sweep with its options) of the words after `python -m sweeps.run`. Raises `InputError`.

    Data is not looked at: it may be on the other machine alone.
    """
    given = parse(words)
    name, sweep = find_sweep(given["name"])
    read = {item.name: given["set_" if item.name == "set" else item.name] for item in fields(options.Options)}
    asked = options.Options(**{**read, "set": tuple(read["set"] or ()), "fix": tuple(read["fix"] or ())})
    if given["overrides"]:
        asked = options.merge(options.read_options(given["overrides"]), asked)
    options.seconds(given["time_budget"])
    return name, options.apply(sweep, asked)


def sweep_name(word: str) -> str:
    """Return the name in the results folder of a sweep, of a .py file with a SWEEP, or of a run to be repeated."""
    return Path(word).stem if word.endswith(".py") else find_sweep(word)[0]


def parse(words: Sequence[str]) -> dict[str, Any]:
    """The parameters of `sweeps.run` as it would read them. Raises `InputError` for unknown options and bad values."""
    from typer.main import get_command

    from sweeps.run import allow_bare_resume, app

    try:
        context = get_command(app).make_context("sweeps.run", allow_bare_resume(list(words)))
    except Exception as error:  # Typer raises its own copy of click's exceptions, which has no public name
        if not hasattr(error, "format_message"):
            raise
        raise InputError(f"{error.format_message()}; see python -m sweeps.run --help") from None
    return dict(context.params)
