"""Runs that are played without Ray and without training: one worker, and values that follow from config and epoch."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from analysis.runs.run_folder import RunFolder
from search_spaces.definition import Optuna, Pbt, Sweep
from sweeps.planning.begin import create_run, resume_run
from sweeps.planning.plan import make_plan
from sweeps.planning.settings import Settings
from sweeps.planning.trials import Plan
from sweeps.record.ledger import read_ledger
from sweeps.record.state import RunState, TrialState, fold
from sweeps.running import execution
from sweeps.running.recorder import Recorder
from trainables.training.replicates import METRICS
from trainables.worker.train_trial import Job

NOW = datetime(2026, 1, 1)
Values = Callable[[dict[str, Any], int], float]
"""The value of every metric after an epoch of a config; one that is not finite is a loss that diverged."""


class Killed(Exception):
    """The driver died here."""


def begin(storage: Path, sweep: Sweep) -> tuple[RunFolder, Plan]:
    """Make a run with all that its sweep plans."""
    plan = make_plan(sweep, None, NOW)
    return create_run(sweep, "s", plan, Settings(storage=storage, name="run"), NOW), plan


def resume(folder: RunFolder, sweep: Sweep) -> Plan:
    """Go on with a run, by the same sweep or another."""
    return resume_run(folder, sweep, make_plan(sweep, None, NOW)).plan


def play(folder: RunFolder, sweep: Sweep, plan: Plan, values: Values, kill_after: int = 10**9) -> RunState:
    """Run what the ledger lacks, one trial after another; die after so many reports."""
    state = fold(read_ledger(folder.ledger))
    recorder = Recorder(folder, sweep, state, {}, plan.epochs)
    jobs = _jobs(folder, sweep, plan, state)
    open_optuna = isinstance(sweep.searcher, Optuna)
    propose = execution._proposer(sweep, plan, folder, recorder)
    reports = 0
    try:
        while job := jobs.pop(0) if jobs else propose() if propose else None:
            assert isinstance(job, Job)
            if open_optuna and not jobs and propose and (following := propose()):  # one is kept ready, as in a run
                jobs.append(following)  # type: ignore[arg-type]
            trial = state.trials[job.trial_id]
            recorder.started(job.trial_id)
            while not trial.ended and trial.epoch != job.until:
                level = values(trial.config_now, trial.epoch + 1)
                recorder.epoch(job.trial_id, report(trial, level, job.config["seeds"]))
                reports += 1
                if reports >= kill_after:
                    raise Killed
    finally:
        recorder.ledger.close()
    return state


def _jobs(folder: RunFolder, sweep: Sweep, plan: Plan, state: RunState) -> list[Job]:
    if isinstance(sweep.scheduler, Pbt):
        return []
    return [
        execution._job(sweep, folder, state, trial) for trial in plan.trials if not state.trials[trial.trial_id].ended
    ]


def report(trial: TrialState, value: float, seeds: Sequence[int]) -> dict[str, Any]:
    """Return what a worker reports after the trial's next epoch."""
    finite = math.isfinite(value)
    means = dict.fromkeys(METRICS, value if finite else 0.1)  # accuracy is a number even where the loss is none
    epoch = trial.epoch + 1
    cost = {"images_trained": 1, "train_seconds": 1.0, "eval_seconds": 1.0}
    rows = [{"seed": seed, "epoch": epoch, "stop_reason": "", "is_best": True, **means, **cost} for seed in seeds]
    more = {"finite": finite, "checkpoint": False, "note": "", "memory_mb": 1.0}
    return {"attempt": 1, "epoch": epoch, "replicates": rows, "metrics": list(METRICS), **more}


def noisy(config: dict[str, Any], epoch: int) -> float:
    """Return values that rise with the epochs, best at a rate of 0.003; some configs diverge at their third epoch."""
    noise = random.Random(f"{config['activation']}{config['lr']:.4g}{config['seeds']}/{epoch}").random()
    if config["lr"] > 0.25 and epoch == 3:
        return math.nan
    return 0.5 + 0.03 * epoch - 0.05 * abs(math.log10(config["lr"] / 0.003)) + 0.1 * noise


def outcome(state: RunState) -> dict[str, Any]:
    """Return all that a run decided and measured, by trial."""
    return {
        name: (t.status, t.stop_reason, t.config, t.changes, t.means, t.stratum, t.bracket, t.proposal)
        for name, t in sorted(state.trials.items())
    }
