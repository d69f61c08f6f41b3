"""The values that PB2 gives a trial: those of which a Gaussian process expects most (Parker-Holder et al. 2020).

What is modelled: how much a metric rose over an interval, as a function of the values trained with, of where the metric
was before and of the time. Rises are standardised within each interval, so that what all trials gain early does not
count for any value. The kernel is the paper's: squared-exponential over the values, forgetting over the time.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from search_spaces.definition import Sweep
from sweeps.record.state import RunState, TrialState
from sweeps.searchers.domains import ranges

CANDIDATES = 1000
CAUTION = 1.0  # standard deviations above the mean that are hoped for
FAR = 1e5  # a length scale at which a dimension has no say


def propose(
    sweep: Sweep, state: RunState, stratum: str, donor: TrialState, epoch: int,
    chosen: Sequence[Mapping[str, float]], rng: np.random.Generator,
) -> dict[str, float]:  # fmt: skip
    """New values for a trial that goes on from `donor` at `epoch`; `chosen`: what others were given just now."""
    domains = ranges(sweep)
    candidates = rng.random((CANDIDATES, len(domains)))
    candidates[0] = [domain.unit(donor.config_now[name]) for name, domain in domains.items()]
    inputs, rises = history(sweep, state, stratum)
    before = donor.means[epoch - 1][sweep.metric] or 0.0
    pending = np.array([[domain.unit(values[name]) for name, domain in domains.items()] for values in chosen])
    best = candidates[most_hoped_for(inputs, rises, candidates, (before, float(epoch)), pending)]
    pairs = zip(domains.items(), best, strict=True)
    return {name: float(f"{domain.value(float(unit)):.6g}") for (name, domain), unit in pairs}


def history(sweep: Sweep, state: RunState, stratum: str) -> tuple[np.ndarray, np.ndarray]:
    """Of each trial and interval of a population (values in their ranges, metric before, its end), and the rise."""
    domains = ranges(sweep)
    interval: int = sweep.scheduler.interval  # type: ignore[union-attr]
    sign = 1.0 if sweep.mode == "max" else -1.0
    inputs, rises = [], []
    for trial in state.trials.values():
        for end in range(interval, trial.epoch + 1, interval) if trial.stratum == stratum else ():
            value, before = trial.means[end - 1][sweep.metric], _start(sweep, state, trial, end - interval)
            if value is None or before is None:
                continue
            config = _config_at(trial, end)
            inputs.append([*(domain.unit(config[name]) for name, domain in domains.items()), before, end])
            rises.append(sign * (value - before))
    known, found = np.array(inputs, float), np.array(rises, float)
    for end in np.unique(known[:, -1]):
        here = found[known[:, -1] == end]
        found[known[:, -1] == end] = (here - here.mean()) / (here.std() or 1.0)
    return known, found


def _start(sweep: Sweep, state: RunState, trial: TrialState, epoch: int) -> float | None:
    """The metric that an interval began with: the donor's, where the trial was replaced; 0 before the first epoch."""
    if epoch == 0:
        return 0.0
    donor = next((change["donor"] for change in trial.changes if change["epoch"] == epoch), trial.trial_id)
    return state.trials[donor].means[epoch - 1][sweep.metric]


def _config_at(trial: TrialState, epoch: int) -> dict[str, Any]:
    """The config that an epoch was trained with."""
    changes = [change["values"] for change in trial.changes if change["epoch"] < epoch]
    return {**trial.config, **{name: value for values in changes for name, value in values.items()}}


def most_hoped_for(
    inputs: np.ndarray, rises: np.ndarray, candidates: np.ndarray, now: tuple[float, float], pending: np.ndarray
) -> int:
    """The candidate with the highest upper confidence bound; what is pending counts as known to be as expected."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, Matern, WhiteKernel

    n, spread = candidates.shape[1], max(float(np.ptp(inputs[:, -2])), 1e-6)
    free, held = (0.1, 10.0), (FAR, FAR * 1.01)
    values = RBF([1.0] * n + [spread, FAR], [free] * n + [(0.1 * spread, 10 * spread), held])
    time = Matern([FAR] * (n + 1) + [now[1]], [held] * (n + 1) + [(1.0, 100.0 * now[1])], nu=0.5)
    model = GaussianProcessRegressor(values * time + WhiteKernel(0.1, (1e-3, 1.0)), random_state=0)
    at_now = np.column_stack([candidates, np.tile(now, (len(candidates), 1))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a length at the end of its range is an answer, too
        model.fit(inputs, rises)
        if len(pending):
            there = np.column_stack([pending, np.tile(now, (len(pending), 1))])
            known = GaussianProcessRegressor(model.kernel_, optimizer=None)
            model = known.fit(np.vstack([inputs, there]), np.concatenate([rises, model.predict(there)]))
        mean, deviation = model.predict(at_now, return_std=True)
    return int(np.argmax(mean + CAUTION * deviation))
