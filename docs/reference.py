"""A hook of mkdocs: writes the pages of the reference from the code, so that they cannot say anything else."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from analysis.measures import MEASURES
from analysis.table.definitions import Kind, columns
from analysis.terminal.exit_codes import ExitCode
from sweeps.__main__ import COMMANDS
from sweeps.record.event import MEANINGS
from sweeps.screen.fields import fields

# pages that stand beside the folder, and their place in the site
TOP = {"CONTRIBUTING": "contributing.md", "DESIGN": "design.md", "CHANGELOG": "changelog.md"}
ROW = {
    "trials": "A row is a replicate of a trial, at its best epoch.",
    "epochs": "A row is an epoch of a replicate.",
    "weights": "A row is a tensor of a replicate at a stage: initial, best, final or an epoch.",
    "activations": "A row is a layer of a replicate's best model, or the whole model.",
    "predictions": "A row is an image, a network and a split.",
    "hardware": "A row is a sample of a machine, or of one of its GPUs, while a run goes on.",
    "quantization": "A row is a file of a trial's network: in float32, or quantised.",
}
EXIT_CODES = {
    ExitCode.DONE: "done",
    ExitCode.FAILURES: "some of the work failed: trials, measurements, an upload",
    ExitCode.BAD_INPUT: "nothing was begun: one line on stderr says what to change",
    ExitCode.UNFINISHED: "not done: the time budget is used up, or Ray was lost; `--resume` goes on",
}
# letters of a line of code that are seen without scrolling
WIDTH = 78
SIGNALS = {129: "ended by SIGHUP (a lost terminal)", 130: "ended by Ctrl-C", 143: "ended by SIGTERM"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to those of the folder."""
    for name, page in PAGES.items():
        files.append(File.generated(config, f"reference/{name}.md", content=page()))
    for name, copy in TOP.items():
        content = (Path(__file__).parents[1] / f"{name}.md").read_text().replace("](docs/", "](")
        for other, its_copy in TOP.items():
            content = content.replace(f"]({other}.md", f"]({its_copy}")
        files.append(File.generated(config, copy, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links to the pages beside the folder lead to their copies in the site."""
    up = "../" * page.file.src_uri.count("/")
    for name, copy in TOP.items():
        markdown = markdown.replace(f"]({up}../{name}.md", f"]({up}{copy}")
    return markdown


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table in Markdown; what is between backticks in a cell is code."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def _fields() -> str:
    rows = [[f"`{row['field']}`", row["what"], row["values"], f"`{row['default']}`"] for row in fields()]
    return (
        "# Fields of a trial\n\nSet one with `--set FIELD=VALUE`, or give it several values to compare them. "
        "`python -m sweeps.list fields` prints this table.\n\n"
        + _table(("field", "meaning", "values", "default"), rows)
    )


def _columns() -> str:
    parts = ["# Columns of the tables\n\nEvery column carries this in the file itself, as metadata of its field.\n"]
    for kind in get_args(Kind):
        rows = [
            [f"`{name}`", column.meaning, column.unit, column.direction, str(column.type)]
            for name, column in columns(kind).items()
        ]
        head = ("column", "meaning", "unit", "better", "type")
        parts.append(f"## {kind}.parquet\n\n{ROW[kind]}\n\n{_table(head, rows)}")
    return "\n".join(parts)


def _commands() -> str:
    parts = ["# Commands\n\n`sweeps run` is the same as `python -m sweeps.run`, and so on. Each has a `--help`.\n"]
    for name, module in COMMANDS.items():
        parts.append(f"## {name}\n\n`python -m {module}`\n\n```text\n{_help(module)}\n```\n")
    return "\n".join(parts)


def _help(module: str) -> str:
    environment = {**os.environ, "COLUMNS": "80", "TERM": "dumb", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"], env=environment, capture_output=True, text=True, check=True
    )
    return "\n".join(line.rstrip() for line in done.stdout.strip("\n").splitlines())


def described(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function whose docstring says what a measure is: one with the formula, else the one of its name."""
    if isinstance(function, partial):
        return described(name, function.func)
    waiting, seen = [function], []
    while waiting:
        seen.append(one := waiting.pop(0))
        if "Formula: " in (inspect.getdoc(one) or ""):
            return one
        used = inspect.getclosurevars(inspect.unwrap(one))
        named = [getattr(each, "func", each) for each in [*used.nonlocals.values(), *used.globals.values()]]
        waiting += [each for each in named if _is_ours(each, seen)]
    by_name = getattr(sys.modules[function.__module__], name, None)
    # `number` wraps the function that gives the one value
    return by_name or next(iter(inspect.getclosurevars(function).nonlocals.values()))


def _is_ours(value: Any, seen: list[Any]) -> bool:
    return inspect.isfunction(value) and value.__module__.startswith("analysis.measures") and value not in seen


def _without_examples(function: Callable[..., Any]) -> str:
    """Return what a docstring says before its examples, in lines that a page has room for."""
    text = (inspect.getdoc(function) or "").partition(">>>")[0].strip()
    paragraphs = (re.split(r"\n(?=[A-Z]\w+: )", paragraph) for paragraph in text.split("\n\n"))
    return "\n\n".join("\n".join(textwrap.fill(line, WIDTH) for line in lines) for lines in paragraphs)


def _measures() -> str:
    parts = ["# Measures\n\nA measure is a function of an array of weights. The first column bears its name.\n"]
    for name, measure in MEASURES.items():
        flags = {
            "depends on the order of the weights": measure.ordered,
            "depends on their number": measure.sized,
            "taken by every sweep": measure.default,
            "compares with the initial weights": measure.initial,
        }
        rows = [[f"`{column}`", entry.meaning, entry.unit] for column, entry in measure.columns.items()]
        says = "; ".join(text for text, holds in flags.items() if holds)
        text = f"```text\n{_without_examples(described(name, measure.function))}\n```\n\n"
        source = f"Source: {measure.reference}.\n\n"
        says = says or "does not depend on the order of the weights, nor on their number"
        table = _table(("column", "meaning", "unit"), rows)
        parts.append(f"## {name}\n\n{says}.\n\n{text}{source}{table}")
    return "\n".join(parts)


def _ledger() -> str:
    rows = [[f"`{name}`", meaning] for name, meaning in MEANINGS.items()]
    return (
        "# Events of the ledger\n\nA run's `ledger.jsonl` has one event a line, in the order in which they came. "
        "It is the truth about the run: everything else can be made from it.\n\n" + _table(("event", "says"), rows)
    )


def _exit_codes() -> str:
    rows = [[code.value, meaning] for code, meaning in EXIT_CODES.items()] + [list(item) for item in SIGNALS.items()]
    return "# Exit codes\n\nThe same of every command.\n\n" + _table(("code", "means"), rows)


PAGES = {
    "fields": _fields,
    "columns": _columns,
    "commands": _commands,
    "measures": _measures,
    "ledger": _ledger,
    "exit_codes": _exit_codes,
}
