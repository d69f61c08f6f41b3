"""python -m cluster.start NAME --name RUN --storage FOLDER …: run a sweep, or go on with it if it has begun.

The entry point on clusters, of Kubernetes and of SLURM: whatever starts it again after a loss resumes the same run.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence

from analysis.command_line import guard
from analysis.runs.find import new_run
from analysis.runs.sync import begun, folder_of
from cluster.check_command import parse, sweep_name
from sweeps.planning.command import Command
from sweeps.record.provenance import without_secrets
from trainables.errors import InputError

USAGE = "python -m cluster.start NAME --name RUN --storage FOLDER [options of sweeps.run]"


def read_words(words: Sequence[str]) -> Command:
    """Return the command of words that follow `sweeps.run`. Raises `InputError`, also where no sweep comes first."""
    if not words or words[0].startswith("-"):
        raise InputError(f"the first word must be the sweep's name: {USAGE}")
    return parse(words)


def has_begun(storage: str, sweep: str, run: str) -> bool:
    """Return whether a run's ledger exists in a folder or at a URI.

    Raises `InputError` where the storage cannot be reached: to start afresh then could double a run.
    """
    return begun(new_run(folder_of(storage), sweep, run))


def command(words: Sequence[str]) -> list[str]:
    """Return the command that starts or resumes the run. Raises `InputError` where --name or --storage is missing."""
    # read as they are on a second start, where --retry-failed may stand
    asked = read_words([*words, "--resume"])
    if asked.name is None or "storage" not in asked.model_fields_set:
        raise InputError(f"--name and --storage are needed, so that a second start finds the run: {USAGE}")
    resume = ["--resume"] if has_begun(str(asked.storage), sweep_name(asked.sweep), asked.name) else []
    return [sys.executable, "-m", "sweeps.run", *words, *resume]


def main() -> None:
    """Become `sweeps.run`: the process keeps its id, so that signals reach the driver itself."""
    words = command(sys.argv[1:])
    # a job's log is kept, and read by others
    print("+", shlex.join(["python", *without_secrets(words[1:])]), flush=True)
    os.execv(words[0], words)


if __name__ == "__main__":
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(f"{__doc__}\n{USAGE}")
    else:
        guard(main)
