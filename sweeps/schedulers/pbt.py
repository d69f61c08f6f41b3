"""Population based training as a fold over the ledger: who waits, who is replaced by whom, and with which values.

In step (every member waits at the boundary for the others), so that a comparison does not depend on which worker was
faster, and every member has been trained for equally many epochs, its line of ancestors included. A comparison is one
line of the ledger: after a crash it has happened or it has not. Diverged and failed trials leave their population.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from search_spaces.definition import Pbt, Sweep
from search_spaces.domains import Range
from sweeps.record.state import RunState, TrialState
from sweeps.schedulers.decision import peers
from sweeps.searchers.domains import changeable_ranges

FACTORS = (0.8, 1.2)


@dataclass(frozen=True)
class Generation:
    """A comparison of a population, as the ledger holds it.

    replaced: for each replaced trial its trial_id, donor, value, donor_value and new values.
    """

    stratum: str
    epoch: int
    members: int
    replaced: tuple[dict[str, Any], ...]


def population_fields(sweep: Sweep) -> tuple[str, ...]:
    """Return the fields that tell populations apart: all that are varied and cannot change during training."""
    return (*sweep.compared, *(name for name in sweep.nuisance if name not in changeable_ranges(sweep)))


def boundary(rule: Pbt, trial: TrialState, state: RunState) -> int | None:
    """Return the epoch at which a trial waits next for the others; None where it trains to its end.

    A trial that comes late (tried again, or added to the run) trains on to where its population is.
    """
    epoch = max(trial.epoch, state.generations.get(trial.stratum, 0))
    following = (epoch // rule.interval + 1) * rule.interval
    return following if following < trial.config["epochs"] else None


def waits(rule: Pbt, trial: TrialState, state: RunState) -> bool:
    """Return whether a trial has come to a boundary at which its population has not been compared yet."""
    at_boundary = trial.epoch > 0 and trial.epoch % rule.interval == 0 and trial.epoch < trial.config["epochs"]
    return not trial.ended and at_boundary and trial.epoch > state.generations.get(trial.stratum, 0)


def compare_population(sweep: Sweep, rule: Pbt, state: RunState, stratum: str) -> Generation | None:
    """Return the comparison that is due in a population: once all of it waits."""
    alive = [trial for trial in peers(state, stratum) if not trial.ended]
    if not alive or not all(waits(rule, trial, state) for trial in alive):
        return None
    epoch = alive[0].epoch
    sign = 1 if sweep.mode == "max" else -1

    def merit(trial: TrialState) -> float:
        value = trial.means[epoch - 1][sweep.metric]
        return -math.inf if value is None else sign * value

    ranked = sorted(alive, key=merit, reverse=True)
    count = min(max(1, int(rule.quantile * len(ranked))), len(ranked) // 2)
    best, worst = ranked[:count], ranked[len(ranked) - count :]
    replaced: list[dict[str, Any]] = []
    for trial in worst:
        rng = np.random.default_rng(_stream(trial, epoch))
        donor = best[int(rng.integers(len(best)))]
        if not merit(donor) > merit(trial):
            continue
        if rule.explore == "bandit":
            # scikit-learn takes a second to import
            from sweeps.schedulers.pb2 import propose

            values = propose(sweep, state, stratum, donor, epoch, [change["values"] for change in replaced], rng)
        else:
            values = perturb(changeable_ranges(sweep), donor.config_now, rule.resample, rng)
        compared = {"value": trial.means[epoch - 1][sweep.metric], "donor_value": donor.means[epoch - 1][sweep.metric]}
        replaced.append({"trial_id": trial.trial_id, "donor": donor.trial_id, **compared, "values": values})
    return Generation(stratum, epoch, len(alive), tuple(replaced))


def perturb(
    domains: Mapping[str, Range], config: Mapping[str, Any], resample: float, rng: np.random.Generator
) -> dict[str, float]:
    """Return each value times 0.8 or 1.2, or drawn anew; within its range, to six digits."""
    found = {}
    for name, domain in domains.items():
        anew, factor, place = rng.random() < resample, FACTORS[int(rng.integers(2))], rng.random()
        now = config[name]
        value = domain.value(place) if anew else min(domain.high, max(domain.low, now * factor))
        found[name] = float(f"{value:.6g}")
    return found


def _stream(trial: TrialState, epoch: int) -> int:
    """Return the seed of a trial's random stream at a comparison: it hangs on neither crashes nor our code's text."""
    source = json.dumps([trial.trial_id, trial.config, epoch], sort_keys=True)
    return int.from_bytes(hashlib.sha256(source.encode()).digest()[:8], "big")


def next_trial(rule: Pbt, state: RunState, trials: Sequence[TrialState], running: set[str]) -> TrialState | None:
    """Return the trial that is furthest behind of those that neither run nor wait; None where there is none."""
    ready = [
        trial for trial in trials
        if not trial.ended and trial.trial_id not in running and not waits(rule, trial, state)
    ]  # fmt: skip
    return min(ready, key=lambda trial: trial.epoch, default=None)
