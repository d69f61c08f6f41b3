"""Results of earlier runs: a trial with the same key (config, data, weights and training code) need not run again."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.runs.find import runs_in
from analysis.runs.remote import Storage
from analysis.runs.run_folder import RunFolder
from analysis.runs.sync import fetch_whole, remote_of
from analysis.trial_status import trained_to_its_end
from search_spaces.definition import Pbt, Sweep
from sweeps.planning.trials import PlannedTrial
from sweeps.record.epoch_events import EpochEvents
from sweeps.record.ledger import Event, Ledger, time_of
from sweeps.record.state import RunState, TrialState, read_state
from sweeps.trackers.tensorboard import curves_of, write_epoch
from trainables.errors import InputError
from trainables.trial_key import without_paths
from trainables.user_code.permission import changed_sources


@dataclass(frozen=True)
class Reused:
    """The trials that were taken, counted by run, and the reasons why others were not."""

    taken: dict[str, int]
    reasons: tuple[str, ...]

    @property
    def count(self) -> int:
        """Return how many trials were taken in all."""
        return sum(self.taken.values())


@dataclass(frozen=True)
class _Found:
    run: RunFolder
    trial: TrialState


def is_reusable(trial: TrialState) -> bool:
    """Return whether a trial was trained to its own end, as its config says, and without another's weights.

    A trial that a scheduler stopped was judged by peers that another run does not have; one of a population may have
    gone on from another's weights.
    """
    return trained_to_its_end(trial.status, trial.stop_reason) and not trial.changes and not trial.mixed


def find_finished(
    trials: Iterable[PlannedTrial], storage: Storage, exclude: Path | None = None, *, fetch: bool = True
) -> dict[str, _Found]:
    """Return finished trials of the runs in a storage by the keys of `trials`, newest run first.

    exclude: a run that is left out. fetch: of a run at a URI, bring the files of its trials here; else only count them.
    """
    keys = {trial.key for trial in trials}
    found: dict[str, _Found] = {}
    for run, state in _states(storage, exclude):
        there = [trial for trial in state.trials.values() if trial.key in keys - set(found) and is_reusable(trial)]
        if there and fetch:
            fetch_whole(run)
        for trial in there:
            if run.trial(trial.folder).path.is_dir() or (not fetch and remote_of(run)):
                found.setdefault(trial.key, _Found(run, trial))
    return found


def _states(storage: Storage, exclude: Path | None) -> Iterator[tuple[RunFolder, RunState]]:
    for run in runs_in(storage):
        if exclude is None or run.path.resolve() != exclude.resolve():
            try:
                yield run, read_state(run.ledger)
            except (InputError, KeyError):
                # a damaged run has nothing to give; `sweeps.show` says what is wrong with it
                continue


def check_reuse(sweep: Sweep) -> None:
    """Raises `InputError` where a trial's results follow from the trials beside it."""
    if isinstance(sweep.scheduler, Pbt):
        raise InputError("--reuse: the trials of a population are trained together; leave it out with pbt and pb2")


def would_take(trials: Sequence[PlannedTrial], storage: Storage, exclude: Path | None = None) -> Reused:
    """Return which trials `take_finished` would take, and write nothing. exclude: a run that is left out."""
    found = find_finished(trials, storage, exclude, fetch=False)
    taken = Counter(str(one.run.path) for one in found.values())
    missed = [trial for trial in trials if trial.key not in found]
    return Reused(dict(taken), tuple(reasons_not_reused(missed, storage, exclude)))


def take_finished(run: RunFolder, trials: Sequence[PlannedTrial], storage: Storage) -> Reused:
    """Copy the files and the ledger's lines of finished trials of earlier runs into a run that plans the same."""
    state = read_state(run.ledger)
    todo = [trial for trial in trials if not state.trials[trial.trial_id].epoch]
    found = find_finished(todo, storage, run.path)
    taken: dict[str, int] = {}
    ledger, roles = Ledger(run.ledger), run.read_description()["roles"]
    swept, epochs = (*roles["scientific"], *roles["nuisance"]), _epochs_of(found.values())
    for trial in todo:
        if earlier := found.get(trial.key):
            _copy_files(earlier.run.trial(earlier.trial.folder).path, run.trial(trial.folder).path)
            curves = curves_of(run, state.trials[trial.trial_id], swept)
            for event in _events_of(earlier.trial, epochs[earlier.run.ledger]):
                fields = {k: v for k, v in event.items() if k not in ("time", "event", "trial_id")}
                ledger.append(event["event"], trial_id=trial.trial_id, **fields, reused_from=str(earlier.run.path))
                if event["event"] == "epoch":
                    rows = dict(zip(trial.config.seeds, event["replicates"], strict=False))
                    moment = time_of(event)
                    write_epoch(curves, event["epoch"], rows, moment.timestamp() if moment else 0.0)
            taken[str(earlier.run.path)] = taken.get(str(earlier.run.path), 0) + 1
    ledger.close()
    missed = [trial for trial in todo if trial.key not in found]
    return Reused(taken, tuple(reasons_not_reused(missed, storage, run.path)))


def _epochs_of(found: Iterable[_Found]) -> dict[Path, EpochEvents]:
    """Return the epochs of the trials found, by run: each ledger is looked through once."""
    names: dict[Path, list[str]] = {}
    for one in found:
        names.setdefault(one.run.ledger, []).append(one.trial.trial_id)
    return {ledger: EpochEvents(ledger, trial_ids) for ledger, trial_ids in names.items()}


def _events_of(trial: TrialState, epochs: EpochEvents) -> Iterator[Event]:
    """Yield what made a trial: its starts, each epoch once, one whose line is damaged too, and its end."""
    yield from ({"event": "started"} for _ in range(trial.attempts))
    yield from epochs.events_of(trial.trial_id)
    yield {"event": trial.status, "reason": trial.stop_reason}


def _copy_files(source: Path, target: Path) -> None:
    """Copy all but checkpoints, which only a resume needs, and links, which may lead to anybody's files.

    Copied beside and renamed: a half-made copy is never taken.
    """
    if source.is_symlink():
        raise InputError(f"{source} is a link: the run it stands in cannot be reused; remove the link")
    beside = target.with_name(f".{target.name}")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(beside, ignore_errors=True)
    shutil.copytree(source, beside, ignore=_left_out)
    shutil.rmtree(target, ignore_errors=True)
    beside.replace(target)


def _left_out(folder: str, names: list[str]) -> set[str]:
    copies = shutil.ignore_patterns("checkpoint", "attempt-*")(folder, names)
    return copies | {name for name in names if (Path(folder) / name).is_symlink()}


def reasons_not_reused(trials: Sequence[PlannedTrial], storage: Storage, exclude: Path | None = None) -> list[str]:
    """Return why trials run whose config has finished in an earlier run under another key: what has changed since."""
    planned = {_text(trial.config.model_dump(mode="json")): trial for trial in trials}
    counts: Counter[str] = Counter()
    for run, state in _states(storage, exclude):
        for trial in state.trials.values():
            if is_reusable(trial) and (same := planned.get(_text(trial.config))):
                code = trial.code != same.code
                own = changed_sources(run.read_description().get("code")) if code else []
                files = f" ({', '.join(own)})" if own else ""
                what = f"the training code{files} has" if code else "the data or the pretrained weights have"
                counts[f"{run.path}: {what} changed since"] += 1
    return [f"{count} trials not reused from {reason}" for reason, count in counts.items()]


def _text(config: dict[str, Any]) -> str:
    # The config of a training function of a user's own need not have a dataset.
    return json.dumps(without_paths(config) if "dataset" in config else config, sort_keys=True)
