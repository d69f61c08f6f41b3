"""Text that is not ours (names, paths, classes, questions, errors) as a terminal may print it."""

from __future__ import annotations

import unicodedata

from rich.console import Console
from rich.markup import escape

# Controls, marks that turn the direction of text, halves of characters, line ends.
HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")


def visible(text: object) -> str:
    """Return the text in one line, with characters that steer a terminal written out: `\\x1b[31m`, `\\n`."""
    return "".join(_written(c) if unicodedata.category(c) in HIDDEN else c for c in str(text))


def _written(character: str) -> str:
    return character.encode("unicode_escape").decode()


def plain(text: object) -> str:
    """Return the `visible` text for Rich: brackets are brackets, and no markup."""
    return escape(visible(text))


def say(console: Console, text: object, label: str = "", style: str = "yellow") -> None:
    """Print one line of text that may hold what is not ours. label: a coloured word before it, such as `note:`."""
    before = f"[{style}]{label}[/{style}] " if label else ""
    console.print(f"{before}{plain(text)}", highlight=False, soft_wrap=True)
