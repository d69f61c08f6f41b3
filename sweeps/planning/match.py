"""Which trials of a plan a run has already: those of equal config and data, whatever code they began with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sweeps.planning.trials import PlannedTrial
from sweeps.record.state import TrialState
from trainables.code_digest import changed_files
from trainables.errors import InputError
from trainables.trainable import Trainable
from trainables.trial_key import key_of_0_1_0
from trainables.user_code.permission import changed_sources


@dataclass(frozen=True)
class Match:
    """A plan's trials, fitted to a run; all by trial id.

    known: those that the run has; events: what the ledger must hold of known trials from now on; notes: what is not as
    it was when the run began.
    """

    trials: tuple[PlannedTrial, ...]
    known: dict[str, TrialState]
    events: tuple[tuple[str, dict[str, Any]], ...]
    notes: tuple[str, ...]


def match_trials(
    trials: Sequence[PlannedTrial],
    known: Iterable[TrialState],
    metadata: Mapping[str, Any],
    trainable: Trainable,
    retry_failed: bool = False,
) -> Match:
    """Find each planned trial in a run. Those that are there keep id, folder and key; new ones count on.

    known: the run's trials; metadata: its run.json; retry_failed: failed ones will be tried again. Replicates of one
    config that run apart share a number.
    """
    known = list(known)
    pairs = _pairs(trials, known, trainable, str(metadata.get("provenance", {}).get("code_digest", "")))
    numbers = {
        _number(trial.trial_id): _number(pair.trial_id) for trial, pair in zip(trials, pairs, strict=True) if pair
    }
    last = max((int(_number(trial.trial_id)) for trial in known), default=0)
    found = []
    for trial, pair in zip(trials, pairs, strict=True):
        if pair:
            key = trial.key if _begins_anew(pair) else pair.key
            found.append(replace(trial, trial_id=pair.trial_id, folder=pair.folder, key=key))
            continue
        number, dot, replicate = trial.trial_id.partition(".")
        if number not in numbers:
            last += 1
            numbers[number] = f"{last:04d}"
        found.append(replace(trial, trial_id=numbers[number] + dot + replicate))
    matched = {pair.trial_id: pair for pair in pairs if pair}
    return Match(tuple(found), matched, *_differences(found, matched, metadata, trainable, retry_failed))


def _begins_anew(trial: TrialState) -> bool:
    """Return whether nothing of a trial has been trained yet, so that today's code will make all of it."""
    return not trial.ended and not trial.epoch


def _pairs(
    trials: Sequence[PlannedTrial], known: Sequence[TrialState], trainable: Trainable, code_digest: str
) -> list[TrialState | None]:
    """Return for each planned trial the one of the run, None where it is new."""
    by_key = {trial.key: trial for trial in known}
    if all(trial.key in by_key for trial in trials):
        return [by_key[trial.key] for trial in trials]
    by_config: dict[str, list[TrialState]] = {}
    for trial in known:
        by_config.setdefault(_config_of(trial, trainable), []).append(trial)
    found: list[TrialState | None] = []
    for planned in trials:
        config = _text(planned.config.model_dump(mode="json"), trainable)
        equal = (trial for trial in by_config.get(config, []) if _same_data(planned, trial, code_digest))
        found.append(by_key.get(planned.key) or next(equal, None))
    return found


def _config_of(trial: TrialState, trainable: Trainable) -> str:
    """Return a run's config as today's code reads it: an earlier version may lack fields that have a default now."""
    try:
        return _text(trainable.make(trial.config).model_dump(mode="json"), trainable)
    # it holds what today's code refuses, and so no plan has it
    except InputError:
        return _text(trial.config, trainable)


def _text(config: Mapping[str, Any], trainable: Trainable) -> str:
    values = trainable.without_paths(config)
    return json.dumps({**values, "weights": bool(config.get("weights"))}, sort_keys=True)


def _same_data(planned: PlannedTrial, known: TrialState, code_digest: str) -> bool:
    """Return whether a run's trial has the same data and weights, by digests or by the key that holds them."""
    if known.data:
        return (known.data, known.weights) == (planned.data, planned.weights)
    return known.key == key_of_0_1_0(known.config, planned.data, code_digest, planned.weights)


def _number(trial_id: str) -> str:
    return trial_id.split(".")[0]


def _differences(
    trials: Sequence[PlannedTrial], known: Mapping[str, TrialState], metadata: Mapping[str, Any],
    trainable: Trainable, retry_failed: bool,
) -> tuple[tuple[tuple[str, dict[str, Any]], ...], tuple[str, ...]]:  # fmt: skip
    """(events for the ledger, lines for the user) on known trials whose code or whose files' paths have changed."""
    events: list[tuple[str, dict[str, Any]]] = []
    notes: dict[str, None] = {}
    for trial in trials:
        before = known.get(trial.trial_id)
        if before is None:
            continue
        if trial.code != before.code:
            notes[_code_note(metadata)] = None
            if not before.ended or (retry_failed and before.status == "failed"):
                events.append(("recoded", {"trial_id": trial.trial_id, "code": trial.code, "key": trial.key}))
        places = {name: getattr(trial.config, name) for name in trainable.path_fields}
        moved = {name: now for name, now in places.items() if now != before.config.get(name)}
        if moved:
            events.append(("moved", {"trial_id": trial.trial_id, "config": moved}))
            for name, now in moved.items():
                # data and weights are known by their digests; code may have changed
                same = trial.code == before.code or name not in trainable.part_fields
                text = f"{name} {before.config.get(name)} is now {now}"
                notes[text + ", with the same content" * same] = None
    return tuple(events), tuple(notes)


def _code_note(metadata: Mapping[str, Any]) -> str:
    files = metadata.get("provenance", {}).get("code_files")
    changed = [*(changed_files(files) if isinstance(files, dict) else ()), *changed_sources(metadata.get("code"))]
    which = f": {', '.join(changed)}" if changed else ""
    return (
        f"the training code has changed since this run began{which}; what has ended keeps its results, the rest is "
        "trained with the code of now"
    )
