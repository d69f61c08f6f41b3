"""The files of a trial's attempts: collected when the trial has ended, handed back when it is tried again."""

from __future__ import annotations

import shutil
from pathlib import Path

from analysis.runs.run_folder import RunFolder
from sweeps.record.state import TrialState
from trainables.atomic_files import make_durable
from trainables.worker.attempt_folder import ATTEMPT, DONOR


def collect_attempts(run: RunFolder, trial: TrialState, status: str) -> None:
    """Move the files of a trial's attempts to their final folder, later attempts over earlier ones.

    The checkpoint is kept where the trial failed (status: how it ends): only a failed one is tried again.

    Done by the driver alone, once the trial has ended: a worker of an earlier attempt that still writes, writes to a
    folder that nobody reads any more.
    """
    folder = run.trial(trial.folder)
    (folder.path / DONOR).unlink(missing_ok=True)
    for number in range(1, trial.attempt + 1):
        attempt = folder.attempt(number)
        for replicate in sorted(attempt.glob("seed_*")):
            target = folder.path / replicate.name
            target.mkdir(exist_ok=True)
            for file in replicate.glob("*.safetensors"):
                file.replace(target / file.name)
        if status == "failed":
            _move_checkpoint(attempt, folder.checkpoint)
    # those above trial.attempt died before their first report
    for attempt in folder.path.glob(f"{ATTEMPT}*"):
        shutil.rmtree(attempt, ignore_errors=True)
    if folder.path.is_dir():
        # before the ledger says that the trial has ended
        make_durable(folder.path)


def reopen_attempts(run: RunFolder, trial: TrialState) -> None:
    """Put the checkpoint of an ended trial back into its last attempt, so that the next one goes on from there.

    The next attempt then has a number that no earlier one had.
    """
    if trial.attempt:
        folder = run.trial(trial.folder)
        folder.attempt(trial.attempt).mkdir(parents=True, exist_ok=True)
        _move_checkpoint(folder.checkpoint, folder.attempt(trial.attempt))


def _move_checkpoint(source: Path, target: Path) -> None:
    for file in source.glob("*.pt"):
        target.mkdir(exist_ok=True)
        file.replace(target / file.name)
