"""Tables of names that carry options, such as `asha:grace=2`: what schedulers and searchers have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from search_spaces.definition import Checked
from trainables.errors import InputError, unknown_name


@dataclass(frozen=True)
class Named:
    """A line of such a table. options: the class of what the name stands for; None: the name alone.

    preset: options that the name itself decides. short: the option that a word without "=" sets.
    """

    meaning: str
    options: type[Checked] | None = None
    preset: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    short: str = field(default="", kw_only=True)

    def fits(self, name: str, value: Any) -> bool:
        """Return whether the line, which has this name, is one of a sweep's scheduler or searcher."""
        if self.options is None:
            return bool(name == value)
        preset = self.preset.items()
        return isinstance(value, self.options) and all(getattr(value, option) == of for option, of in preset)

    @property
    def defaults(self) -> dict[str, Any]:
        """The options that may be given, with their defaults."""
        return {
            item.name: item.default if item.default is not MISSING else None
            for item in fields(self.options or Named)  # type: ignore[arg-type]
            if self.options and item.name not in self.preset
        }


def find_name(kind: str, table: Mapping[str, Named], value: Any) -> str:
    """Return the name of a scheduler or searcher: that of the last line that it fits. Raises `InputError` without one.

    kind: "scheduler" or "searcher", for messages.
    """
    fitting = [name for name, line in table.items() if line.fits(name, value)]
    if not fitting:
        raise InputError(f"{value} has no line in the table of {kind}s; there are {', '.join(table)}")
    return fitting[-1]


def choose(kind: str, table: Mapping[str, Named], now: Any, text: str | None, given: Mapping[str, Any]) -> Any:
    """Return what a sweep has `now` with another name and other options; it keeps those that both have.

    text: may carry options, `asha:grace=2:reduction=4`; None leaves the name as it is. given: further options, which
    win. Raises `InputError` for an unknown name, an option that it does not have, and a value out of its limits.
    """
    if text is not None:
        name, *words = text.split(":")
        if name not in table:
            raise InputError(unknown_name(kind, name, table))
        line = table[name]
        given = {**_parse_words(f"--{kind} {name}", line, words), **given}
        if line.options is None:
            now = name
        else:
            now = replace(now if isinstance(now, line.options) else line.options(), **line.preset)  # type: ignore[type-var]
        for option in given:
            if option in line.preset:
                raise InputError(f"--{option} has no effect with {name}, which decides it: leave it out")
    name = find_name(kind, table, now)
    for option in given:
        if isinstance(now, str) or option not in {item.name for item in fields(now)}:
            raise InputError(f"--{option} is no option of the {kind} {name}")
    return replace(now, **given) if given else now


def _parse_words(where: str, line: Named, words: Sequence[str]) -> dict[str, Any]:
    """Return options from words such as `grace=2`, each as the type that its annotation says."""
    hints = get_type_hints(line.options, include_extras=True) if line.options else {}
    options: dict[str, Any] = {}
    for word in words:
        option, equals, text = word.partition("=") if "=" in word or not line.short else (line.short, "=", word)
        if not hints:
            raise InputError(f"{where}:{word}: it has no options")
        if not equals:
            raise InputError(f"{where}:{word}: write OPTION=VALUE, such as {where.split()[-1]}:{next(iter(hints))}=2")
        if option not in hints:
            raise InputError(f"{where}: {unknown_name('option', option, hints)}")
        if option in options:
            raise InputError(f"{where}: {option} is given twice: leave one out")
        options[option] = _parse(f"{where}:{word}", hints[option], text)
    return options


def _parse(where: str, hint: Any, text: str) -> Any:
    """Return a value as its annotation says: with commas for several, `none` for none of them."""
    several = "tuple[" in str(hint)
    value: Any = None if text == "none" else text
    if several:
        value = () if text == "none" else tuple(text.split(","))
    try:
        return TypeAdapter(hint).validate_python(value)
    except ValidationError as error:
        raise InputError(f"{where}: {error.errors(include_url=False)[0]['msg']}") from None
