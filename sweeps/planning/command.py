"""A `sweeps.run` command: read from words once, handed on, and written as words again."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import model_validator

from analysis.terminal.option_models import given, option, parameters_of, words_of
from search_spaces.definition import Sweep
from search_spaces.domains import values_of
from search_spaces.find import find_sweep, sweep_names
from sweeps.planning.options import SPACE, Options, apply, merge
from sweeps.planning.override_files import read_options
from sweeps.planning.settings import RESUMING, Settings
from trainables.errors import InputError, validated
from trainables.user_code.permission import is_local
from trainables.user_code.source import is_user_code

LOOKING = "A look before the start"


def sweeps_like(incomplete: str) -> list[str]:
    """Return the sweeps whose names begin with what was typed, for a shell's completion."""
    return [name for name in sweep_names() if name.startswith(incomplete)]


NAME = typer.Argument(
    metavar="NAME",
    help="A sweep of `python -m sweeps.list`, a .py file with a SWEEP, or a run to repeat.",
    autocompletion=sweeps_like,
)


class Command(Settings, Options):
    """A whole command: which sweep, what is asked of it, how and where it is run."""

    # a name, a .py file or a run's folder
    sweep: str
    overrides: Path | None = option(
        None, "YAML or TOML file with set, tune, fix and other options.", SPACE, metavar="FILE"
    )
    resume: str | None = option(
        None,
        "Go on with a run (default: the one of --name, else this sweep's newest).",
        RESUMING,
        metavar="[RUN]",
        bare=True,
    )
    dry_run: bool = option(False, "Show the trials and start nothing.", LOOKING)
    estimate: bool = option(False, "Time a few batches, say how long it takes, and end.", LOOKING)

    @model_validator(mode="after")
    def _options_have_an_effect(self) -> Command:
        if self.retry_failed and self.resume is None:
            raise ValueError("--retry-failed goes on with a run: add --resume [RUN]")
        if self.resume and self.name and self.resume != self.name:
            raise ValueError(f"--resume {self.resume} and --name {self.name} name two runs: leave one out")
        if self.dry_run and self.estimate:
            raise ValueError("--dry-run starts nothing and --estimate measures: leave one out")
        return self

    def definition(self) -> tuple[str, Sweep, Sweep]:
        """Return (name, sweep with the options put in, sweep as it was). Raises `InputError`; looks at no data."""
        name, sweep = find_sweep(self.sweep)
        asked = merge(read_options(self.overrides), self) if self.overrides else self
        if Path(self.sweep).suffix != ".py" and Path(self.sweep).exists():
            self._check_code(sweep, asked)
        return name, apply(sweep, asked), sweep

    def _check_code(self, sweep: Sweep, asked: Options) -> None:
        """Raise `InputError` for code that a run to be repeated names, and that could be anybody's choice.

        What the command itself names is the user's choice. Nothing of it is imported here.
        """
        given = {text.partition("=")[0].strip() for text in (*asked.set, *asked.tune, *asked.fix)}
        given |= {"dataset"} if asked.dataset else set()
        named: list[Any] = [sweep.trainable]
        for values in (sweep.scientific, sweep.nuisance, sweep.fixed, *sweep.cases):
            named += [item for field, of in values.items() if field not in given for item in values_of(of) or ()]
        for spec in filter(is_user_code, named):
            if not is_local(spec):
                raise InputError(
                    f"{spec}: {self.sweep} names code that is not in this folder: go to the folder that has it, or "
                    "name it yourself with --set if it may run"
                )

    def words(self) -> list[str]:
        """Return the words that follow `python -m sweeps.run`."""
        return [self.sweep, *words_of(self)]

    def resuming(self, run: str, **changes: Any) -> str:
        """Return the command that goes on with a run, without what only its start needed.

        changes: options that differ.
        """
        once = {"name": None, "dry_run": False, "estimate": False, "retry_failed": False}
        once |= {"time_budget": None, "max_errors": None}
        words = self.model_copy(update={**once, "resume": run, **changes}).words()
        return shlex.join(["python", "-m", "sweeps.run", *words])


def with_options(action: Callable[[Command], None]) -> Callable[..., None]:
    """Return the function that Typer makes `sweeps.run` of: it reads a `Command` and hands it on."""

    def run(sweep: str, **parameters: Any) -> None:
        action(read_command(sweep, parameters))

    named = inspect.Parameter("sweep", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Annotated[str, NAME])
    run.__signature__ = inspect.Signature([named, *parameters_of(Command)])  # type: ignore[attr-defined]
    run.__annotations__ = {}
    run.__doc__ = action.__doc__
    return run


def read_command(sweep: str, parameters: dict[str, Any]) -> Command:
    """Return the command of the parameters that Typer has read. Raises `InputError`."""
    return validated(Command, {"sweep": sweep, **given(Command, parameters)}, "--{} ")


def allow_bare_resume(words: Sequence[str]) -> list[str]:
    """Let `--resume` stand without a value: it then means the run of --name, or the sweep's newest."""
    result = []
    for position, word in enumerate(words):
        following = words[position + 1] if position + 1 < len(words) else "-"
        result.append("--resume=" if word == "--resume" and following.startswith("-") else word)
    return result
