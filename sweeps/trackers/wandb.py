"""Weights & Biases: a run for the sweep and one for each trial, in one group. Needs the extra `wandb`.

Without an account, or with `wandb=offline`, the runs are files below `RUN/trackers/wandb/`, for `wandb sync`. W&B
cannot append to such a file, so what was interrupted is written anew and whole. Online, it drops epochs that it has.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from analysis.comparison.labels import show_value
from sweeps.trackers.tracker import Row, RunEnding, TrackedEpoch, TrackedRun, TrackedTrial
from trainables.errors import InputError

OFFLINE = "offline"
TARGET = re.compile(r"[A-Za-z0-9_.-]{1,128}(/[A-Za-z0-9_.-]{1,128})?")
# The names that W&B's page draws as system metrics have this before them.
SYSTEM = {
    "cpu_percent": "system/cpu.percent",
    "memory_mb": "system/memory.MB",
    "gpu_percent": "system/gpu.{gpu}.percent",
    "gpu_memory_mb": "system/gpu.{gpu}.memory.MB",
    "gpu_power_w": "system/gpu.{gpu}.power.W",
    "gpu_temperature_c": "system/gpu.{gpu}.temperature.C",
}
# Characters of a tag.
TAG_LENGTH = 64


def check(target: str) -> None:
    """Raise `InputError` for a target that is neither `offline`, PROJECT nor ENTITY/PROJECT."""
    if target and not TARGET.fullmatch(target):
        raise InputError(f"--track wandb={target}: write wandb=offline, wandb=PROJECT or wandb=ENTITY/PROJECT")


def make(target: str, results: Path) -> Wandb:
    """Return a tracker for a project, by default one of the sweep's name."""
    entity, slash, project = target.rpartition("/")
    offline = target == OFFLINE or os.environ.get("WANDB_MODE") in (OFFLINE, "dryrun")
    return Wandb("" if target == OFFLINE else project, entity if slash else "", offline)


class Wandb:
    """A tracker of one run. project: "" for the sweep's name."""

    def __init__(self, project: str, entity: str, offline: bool) -> None:
        self.project, self.entity, self.offline = project, entity, offline
        self.sweep: Any = None
        self._open: dict[str, Any] = {}

    @property
    def appends(self) -> bool:
        """Return whether a run that was interrupted can be gone on with."""
        return not self.offline

    def begin(self, run: TrackedRun) -> None:
        """Begin the sweep's run; without an account it goes to files, and so do all that follow."""
        import wandb

        self.run = run
        self.project = self.project or run.sweep
        description = {
            name: run.description.get(name) for name in ("metric", "mode", "roles", "seeds", "scheduler", "datasets")
        }
        arguments = {
            "name": run.run_id,
            "notes": run.question,
            "config": {**description, **run.tags},
            "job_type": "sweep",
        }
        try:
            self.sweep = self._init(run.id, arguments)
        except wandb.errors.UsageError as error:
            if self.offline or "api" not in str(error).lower():
                raise
            self.offline = True
            self.sweep = self._init(run.id, arguments)

    def begin_trial(self, trial: TrackedTrial) -> None:
        """Begin or go on with a trial's run; in files it is written anew, with the epochs that it had."""
        varied = " ".join(f"{name}={show_value(value)}" for name, value in trial.varied.items())
        config = {**trial.config, **{f"sweeps.{name}": value for name, value in trial.tags.items()}}
        arguments = {"name": f"{trial.trial_id} {varied}".strip()[:128], "config": config, "job_type": "trial"}
        self._open[trial.id] = self._init(trial.id, arguments)
        for epoch in trial.past() if self.offline else ():
            self.epoch(trial, epoch)

    def epoch(self, trial: TrackedTrial, epoch: TrackedEpoch) -> None:
        """Log an epoch; the step is its number."""
        values = {**epoch.numbers, "epoch": epoch.number, "_timestamp": epoch.time.timestamp()}
        self._open[trial.id].log(values, step=epoch.number)

    def end_trial(self, trial: TrackedTrial, status: str, reason: str, time: datetime) -> None:
        """Finish a trial's run."""
        run = self._open.pop(trial.id)
        run.summary.update({"status": status, "stop_reason": reason})
        run.finish(exit_code=0 if status in ("completed", "stopped") else 1)

    def hardware(self, rows: Sequence[Row]) -> None:
        """Log samples of the machine to the sweep's run."""
        for row in rows:
            named = {SYSTEM[name].format(gpu=row.get("gpu")): row.get(name) for name in SYSTEM}
            values = {name: value for name, value in named.items() if value is not None}
            self.sweep.log({**values, "_timestamp": row["time"].timestamp()})

    def file(self, trial: TrackedTrial | None, path: Path, name: str) -> None:
        """Keep a file with the sweep's run, below the same name."""
        copy = Path(self.sweep.dir) / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        self.sweep.save(str(copy), base_path=self.sweep.dir, policy="now")

    def end(self, ending: RunEnding) -> None:
        """Write how the run stands, and where evaluations, exports and registered versions are."""
        counts = {f"trials_{status}": count for status, count in ending.counts.items()}
        links = {trial_id: dict(links) for trial_id, links in ending.links.items()}
        found = {
            "status": ending.status,
            "best": ending.best,
            "best_trial": ending.best_trial,
            **counts,
            **ending.hardware,
            "links": links,
        }
        self.sweep.summary.update({name: value for name, value in found.items() if value not in (None, {}, "")})

    def close(self) -> None:
        """Finish all runs; those of trials that go on are taken up again."""
        for run in (*self._open.values(), self.sweep):
            if run is not None:
                run.finish(exit_code=0)
        self._open, self.sweep = {}, None
        self._remove_links()

    def _init(self, our_id: str, arguments: Mapping[str, Any]) -> Any:
        """Begin a run of W&B, quietly and without what it looks up of machine, code and git."""
        import wandb

        place = self.run.folder.trackers
        if self.offline:
            for old in (place / "wandb").glob(f"offline-run-*-{our_id}"):
                shutil.rmtree(old)
        settings = wandb.Settings(
            console="off", silent=True, disable_git=True, disable_code=True, save_code=False, x_disable_stats=True,
            x_disable_meta=True, x_save_requirements=False, quiet=True, init_timeout=20,
        )  # fmt: skip
        tags = [f"{name}:{value}"[:TAG_LENGTH] for name, value in self.run.tags.items()]
        made = wandb.init(
            project=self.project, entity=self.entity or None, group=self.run.run_id, id=our_id, dir=str(place),
            mode="offline" if self.offline else None, resume=None if self.offline else "allow", tags=tags,
            reinit="create_new", settings=settings, **arguments,
        )  # fmt: skip
        self._remove_links()
        return made

    def _remove_links(self) -> None:
        """Remove W&B's links: none is needed, and a run in which one leads out of its folder is refused."""
        for link in (self.run.folder.trackers / "wandb").rglob("*"):
            if link.is_symlink():
                with suppress(OSError):
                    link.unlink()
