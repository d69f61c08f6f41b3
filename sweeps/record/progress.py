"""How far a run is: counts by status, share of the work, time left, best so far."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from analysis.comparison.labels import show_value
from sweeps.record.state import RunState, TrialState

STATUSES = ("running", "waiting", "completed", "stopped", "diverged", "failed", "interrupted", "planned")


@dataclass(frozen=True)
class Progress:
    """seconds_left is None until something has been learned."""

    planned: int
    ended: int
    counts: dict[str, int]
    share: float
    seconds_gone: float
    seconds_left: float | None


def measure_progress(state: RunState, seconds_gone: float) -> Progress:
    """The time left: epochs still to come at the pace so far, with stops as frequent as they have been."""
    trials = list(state.trials.values())
    counts = {status: state.count(status) for status in STATUSES}
    ended = [trial for trial in trials if trial.ended]
    done = sum(trial.epoch for trial in trials)
    typical = sum(trial.epoch for trial in ended) / len(ended) if ended else None
    left = sum(_epochs_left(trial, typical) for trial in trials if not trial.ended)
    left += (state.total - len(trials)) * _epochs_of_a_new_trial(trials, typical)
    share = done / (done + left) if done else 0.0
    seconds_left = seconds_gone * left / done if done and ended else None  # 0 where all have ended
    return Progress(state.total, len(ended), counts, share, seconds_gone, seconds_left)


def _epochs_of_a_new_trial(trials: Sequence[TrialState], typical: float | None) -> float:
    return typical or max((trial.config["epochs"] for trial in trials), default=1)


def _epochs_left(trial: TrialState, typical: float | None) -> float:
    planned = trial.config["epochs"] if typical is None else typical
    return max(planned - trial.epoch, 0.5)


@dataclass(frozen=True)
class Best:
    """The best value that a group has reached so far, and how many of its trials have ended."""

    name: str
    value: float
    epoch: int
    ended: int = 0
    trials: int = 0


def best_by_group(state: RunState, metric: str, mode: str, scientific: Sequence[str]) -> list[Best]:
    """For each combination of scientific values that has a value: the best mean so far, best first."""
    found: dict[str, Best] = {}
    sign = 1 if mode == "max" else -1
    counts: dict[str, list[bool]] = {}
    for trial in state.trials.values():
        name = " ".join(f"{field}={show_value(trial.config[field])}" for field in scientific) or "all trials"
        counts.setdefault(name, []).append(trial.ended)
        for epoch, mean in enumerate(trial.means, start=1):
            value = mean[metric]
            if value is not None and (name not in found or sign * value > sign * found[name].value):
                found[name] = Best(name, value, epoch)
    complete = [replace(best, ended=sum(counts[name]), trials=len(counts[name])) for name, best in found.items()]
    return sorted(complete, key=lambda best: -sign * best.value)


@dataclass(frozen=True)
class Stratum:
    """How far the trials are that compete with each other."""

    name: str
    ended: int
    trials: int
    stopped: int
    epochs: int


def strata(state: RunState) -> list[Stratum]:
    """The groups within which trials compete, in the order of their planning; none where all compete with all."""
    groups: dict[str, list[TrialState]] = {}
    for trial in state.trials.values():
        groups.setdefault(trial.stratum, []).append(trial)
    return [
        Stratum(
            name,
            sum(trial.ended for trial in trials),
            len(trials),
            sum(trial.pruned for trial in trials),
            sum(trial.epoch for trial in trials),
        )
        for name, trials in groups.items()
        if name
    ]


def failures(state: RunState) -> list[tuple[str, int]]:
    """Causes of failed trials and how many there are of each, the most frequent first."""
    return Counter(trial.stop_reason for trial in state.trials.values() if trial.status == "failed").most_common()


BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float | None], width: int = 20) -> str:
    """The last values as a line of blocks, from the lowest to the highest of them."""
    known = [value for value in values if value is not None and math.isfinite(value)][-width:]
    if len(known) < 2:
        return ""
    low, high = min(known), max(known)
    scale = (len(BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(BLOCKS[round((value - low) * scale)] for value in known)
