"""python -m cluster.start NAME --name RUN --storage FOLDER …: run a sweep, or go on with it if it has begun.

The entry point on clusters, of Kubernetes and of SLURM: whatever starts it again after a loss resumes the same run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from analysis.command_line import guard
from trainables.errors import InputError

USAGE = "python -m cluster.start NAME --name RUN --storage FOLDER [options of sweeps.run]"


def value_of(option: str, words: Sequence[str]) -> str | None:
    """Return an option's value in a list of words, as `--option value` or `--option=value`; the last one counts."""
    found = None
    for position, word in enumerate(words):
        if word == option and position + 1 < len(words):
            found = words[position + 1]
        elif word.startswith(option + "="):
            found = word.removeprefix(option + "=")
    return found


def sweep_of(words: Sequence[str]) -> str:
    """Return the sweep's name as it stands in the results folder. Raises `InputError` where there is none."""
    from sweeps.check_command import sweep_name

    if not words or words[0].startswith("-"):
        raise InputError(f"the first word must be the sweep's name: {USAGE}")
    return sweep_name(words[0])


def has_begun(storage: str, sweep: str, run: str) -> bool:
    """Return whether a run's ledger exists in a folder or at a URI.

    Raises `InputError` where the storage cannot be reached: to start afresh then could double a run.
    """
    from analysis.runs.find import new_run
    from analysis.runs.sync import begun, folder_of

    return begun(new_run(folder_of(storage), sweep, run))


def command(words: Sequence[str]) -> list[str]:
    """Return the command that starts or resumes the run. Raises `InputError` where --name or --storage is missing."""
    sweep = sweep_of(words)
    run, storage = value_of("--name", words), value_of("--storage", words)
    if not run or not storage:
        raise InputError(f"--name and --storage are needed, so that a second start finds the run: {USAGE}")
    resume = ["--resume"] if has_begun(storage, sweep, run) else []
    return [sys.executable, "-m", "sweeps.run", *words, *resume]


def main() -> None:
    """Become `sweeps.run`: the process keeps its id, so that signals reach the driver itself."""
    words = command(sys.argv[1:])
    print("+", " ".join(words[1:]), flush=True)
    os.execv(words[0], words)


if __name__ == "__main__":
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(f"{__doc__}\n{USAGE}")
    else:
        guard(main)
