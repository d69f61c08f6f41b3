"""PB2 gives a trial the values of which a Gaussian process expects most (Parker-Holder et al. 2020).

The process models how much a metric rose over an interval, as a function of the values trained with, the metric before
and the time. Rises are standardised within each interval, so that what all trials gain early does not
count for any value. The kernel is the paper's: squared-exponential over the values, forgetting over the time.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, Matern, WhiteKernel

from search_spaces.definition import Sweep
from sweeps.record.state import RunState, TrialState
from sweeps.schedulers.decision import peers
from sweeps.searchers.domains import changeable_ranges

CANDIDATES = 1000
# standard deviations above the mean in the upper confidence bound
UCB_WEIGHT = 1.0
# so long that a dimension does not matter
NO_LENGTH_SCALE = 1e5


def propose(
    sweep: Sweep, state: RunState, stratum: str, donor: TrialState, epoch: int,
    chosen: Sequence[Mapping[str, float]], rng: np.random.Generator,
) -> dict[str, float]:  # fmt: skip
    """Return new values for a trial that goes on from `donor` at `epoch`.

    chosen: the values that other trials were given in the same comparison.
    """
    domains = changeable_ranges(sweep)
    candidates = rng.random((CANDIDATES, len(domains)))
    candidates[0] = [domain.unit(donor.config_now[name]) for name, domain in domains.items()]
    inputs, rises = history(sweep, state, stratum)
    before = donor.means[epoch - 1][sweep.metric] or 0.0
    pending = np.array([[domain.unit(values[name]) for name, domain in domains.items()] for values in chosen])
    best = candidates[highest_ucb(inputs, rises, candidates, (before, float(epoch)), pending)]
    pairs = zip(domains.items(), best, strict=True)
    return {name: float(f"{domain.value(float(unit)):.6g}") for (name, domain), unit in pairs}


def history(sweep: Sweep, state: RunState, stratum: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the training data of the Gaussian process: inputs and rises, one row a trial and interval.

    Inputs are the values scaled to their ranges, the metric before and the epoch at the end; a rise is the gain in the
    metric, standardised within its interval.
    """
    domains = changeable_ranges(sweep)
    interval: int = sweep.scheduler.interval  # type: ignore[union-attr]
    sign = 1.0 if sweep.mode == "max" else -1.0
    inputs, rises = [], []
    for trial in peers(state, stratum):
        for end in range(interval, trial.epoch + 1, interval):
            value, before = trial.means[end - 1][sweep.metric], _start(sweep, state, trial, end - interval)
            if value is None or before is None:
                continue
            config = _config_at(trial, end)
            inputs.append([*(domain.unit(config[name]) for name, domain in domains.items()), before, end])
            rises.append(sign * (value - before))
    known, found = np.array(inputs, float).reshape(-1, len(domains) + 2), np.array(rises, float)
    for end in np.unique(known[:, -1]):
        here = found[known[:, -1] == end]
        found[known[:, -1] == end] = (here - here.mean()) / (here.std() or 1.0)
    return known, found


def _start(sweep: Sweep, state: RunState, trial: TrialState, epoch: int) -> float | None:
    """Return the metric before an interval: the donor's, where the trial was replaced; 0 before the first epoch."""
    if epoch == 0:
        return 0.0
    donor = next((change["donor"] for change in trial.changes if change["epoch"] == epoch), trial.trial_id)
    return state.trials[donor].means[epoch - 1][sweep.metric]


def _config_at(trial: TrialState, epoch: int) -> dict[str, Any]:
    """Return the config that an epoch was trained with."""
    changes = [change["values"] for change in trial.changes if change["epoch"] < epoch]
    return {**trial.config, **{name: value for values in changes for name, value in values.items()}}


def highest_ucb(
    inputs: np.ndarray, rises: np.ndarray, candidates: np.ndarray, now: tuple[float, float], pending: np.ndarray
) -> int:
    """Return the candidate with the highest upper confidence bound.

    pending: values that are being trained with; they are added with their predicted rise (constant liar). Without any
    known rise the first candidate is returned: the donor's own values.
    """
    if not len(inputs):
        return 0

    n, spread = candidates.shape[1], max(float(np.ptp(inputs[:, -2])), 1e-6)
    free, held = (0.1, 10.0), (NO_LENGTH_SCALE, NO_LENGTH_SCALE * 1.01)
    values = RBF([1.0] * n + [spread, NO_LENGTH_SCALE], [free] * n + [(0.1 * spread, 10 * spread), held])
    time = Matern([NO_LENGTH_SCALE] * (n + 1) + [now[1]], [held] * (n + 1) + [(1.0, 100.0 * now[1])], nu=0.5)
    model = GaussianProcessRegressor(values * time + WhiteKernel(0.1, (1e-3, 1.0)), random_state=0)
    at_now = np.column_stack([candidates, np.tile(now, (len(candidates), 1))])
    with warnings.catch_warnings():
        # a length at the end of its range is an answer, too
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(inputs, rises)
        if len(pending):
            there = np.column_stack([pending, np.tile(now, (len(pending), 1))])
            known = GaussianProcessRegressor(model.kernel_, optimizer=None)
            model = known.fit(np.vstack([inputs, there]), np.concatenate([rises, model.predict(there)]))
        mean, deviation = model.predict(at_now, return_std=True)
    return int(np.argmax(mean + UCB_WEIGHT * deviation))
