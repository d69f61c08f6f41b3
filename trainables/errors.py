"""The one error that bad input raises, and the texts that all checks share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)
# The name on the package index; `sweeps` there is another project.
DISTRIBUTION = "medsweeps"
# Characters of a value that a message shows.
LONGEST = 200


class InputError(ValueError):
    """Bad input. Its text is one line that says what is wrong and what to do; commands print it and exit with 2."""


@contextmanager
def at_end(work: Callable[[], object]) -> Iterator[None]:
    """Do some work at the end of a block. After an error in the block, that error is raised, and none of the work's."""
    try:
        yield
    except BaseException:
        with suppress(Exception):
            work()
        raise
    work()


def text_of(error: BaseException) -> str:
    """Return the text of an error, "" where it is a user's own and fails itself."""
    try:
        return str(error).strip()
    except Exception:
        return ""


def pip_install(extra: str) -> str:
    """Return the command that installs one of our extras: in a checkout from there, else by the distribution's name."""
    here = Path(__file__).parents[1]
    checkout = (here / "pyproject.toml").is_file()
    return f"pip install -e '{here}[{extra}]'" if checkout else f"pip install '{DISTRIBUTION}[{extra}]'"


def unknown_name(what: str, name: object, allowed: Iterable[str], also: Mapping[str, str] | None = None) -> str:
    """Return one line for a name that is not in a registry: the name, the closest match, and what is allowed.

    Of more than 60 names, the ten that are nearest. also: names that other programs use, and ours for them.
    """
    names = [str(a) for a in allowed]
    other = (also or {}).get(str(name).lower())
    close = [other] if other in names else get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    near = names if len(names) <= 60 else get_close_matches(str(name), names, n=10, cutoff=0.3) or names[:10]
    more = f" and {len(names) - len(near):,} more" if len(near) < len(names) else ""
    shown = ", ".join(near) + more
    return f"unknown {what} {shorten(name)}: {hint}known: {shown}"


def shorten(value: object) -> str:
    """Return a value's `repr`, cut where it is long: a message stays one line."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def one_line(error: ValidationError, label: str = "{}=") -> str:
    """Return pydantic's errors in one line: `epochs=0: must be greater than or equal to 1`.

    label: how a field's name is written before its value, as `--{} ` on the command line.
    """
    parts = []
    for item in error.errors(include_url=False):
        where = ".".join(str(part) for part in item["loc"][:1])
        text = item["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
        text = text.replace("a valid integer, unable to parse string as an integer", "a whole number")
        text = text.replace("a valid number, unable to parse string as a number", "a number")
        shown = item["input"] if isinstance(item["input"], str) else shorten(item["input"])
        parts.append(f"{_label(label, where)}{shown}: {text}" if where and not text.startswith("unknown") else text)
    return "; ".join(dict.fromkeys(parts))


def _label(label: str, field: str) -> str:
    return label.format(field.replace("_", "-") if label.startswith("--") else field)


def validated(model: type[Model], values: Mapping[str, Any], label: str = "{}=") -> Model:
    """Return a model of these values. Raises `InputError` of one line; label: as in `one_line`."""
    try:
        return model(**values)
    except ValidationError as error:
        raise InputError(one_line(error, label)) from None
    except InputError as error:
        # of a model that raises its own, without the label
        if isinstance(cause := error.__cause__, ValidationError):
            raise InputError(one_line(cause, label)) from None
        raise
