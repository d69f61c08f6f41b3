"""Estimates how long a sweep will take: measures a few trials, then simulates the whole run many times.

The simulation uses the sweep's own rule of stopping on made-up values: each trial has a quality of its own, and noise.
So it knows what early stopping saves for so many trials on so many slots.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from search_spaces.definition import Resources, Sweep
from sweeps.planning.notes import batch_of
from sweeps.planning.trials import Plan, PlannedTrial
from sweeps.schedulers.table import make_judge
from trainables.trainable import trainable_of
from trainables.user_code.in_use import sources_in_use, use_sources
from trainables.user_code.source import Source

if TYPE_CHECKING:
    from sweeps.planning.settings import Settings
    from trainables.training.cost import Cost

# Trials that are measured, from the cheapest to the costliest.
PROBED = 4
SIMULATIONS = 30
# Epochs in all simulations at most.
SIMULATED_EPOCHS = 200_000
# CPU seconds of a trial's statistics and figures.
DRAWING = 0.2
# CPU seconds of the complexity of one weight of one replicate: 19 s for a ResNet-18
WEIGHING = 1.7e-6
# Seconds of writing the report.
REPORT = 2.5


@dataclass(frozen=True)
class TimeEstimate:
    """Seconds of wall time: the median, and the range of nine simulations in ten, widened by the noise of measuring."""

    seconds: float
    low: float
    high: float
    slots: int
    # Of a trial with all its replicates: cheapest and costliest.
    epoch_seconds: tuple[float, float]
    measured: int


def estimate(sweep: Sweep, plan: Plan, settings: Settings) -> TimeEstimate:
    """Measure and simulate. Starts Ray, as the run will, and ends it."""
    import tempfile
    import time
    from pathlib import Path

    from sweeps.running.ray_session import check_bundle, ray_session

    trials = plan.trials or plan.examples
    chosen = sample_by_cost(trials, PROBED)
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        with ray_session(settings.address, Path(folder) / "probe.log") as cluster:
            resources = gpu_share(check_bundle(sweep.resources, cluster), plan, cluster.gpus)
            slots = max(1, min(resources.slots(cluster.cpus, cluster.gpus), settings.max_concurrent or 10**9))
            costs = measure_trials(chosen, plan, resources, slots)
            longest = max(cost.seconds for cost in costs.values())
            # what Ray and its workers take to start
            starting = time.monotonic() - began - longest * max(1.0, len(costs) / slots)
    starting = max(starting, 1.0)
    return simulate(sweep, plan, costs, slots, starting + finishing(plan, settings, cluster.cpus, starting))


def finishing(plan: Plan, settings: Settings, cpus: float, starting: float) -> float:
    """Return the seconds of what follows the training: measuring weights by new workers, curves, the report."""
    trials = _all_trials(plan)
    work = sum(DRAWING + WEIGHING * trial.parameters * len(trial.config.seeds) for trial in trials)
    return (starting + work / max(cpus, 1)) * settings.measure + REPORT * settings.report


def _all_trials(plan: Plan) -> list[PlannedTrial]:
    """Return the plan's trials; where a searcher makes them, as many as it will, like the plan's examples."""
    return list(plan.trials) or [plan.examples[n % len(plan.examples)] for n in range(plan.proposed)]


def sample_by_cost(trials: Sequence[PlannedTrial], count: int) -> list[PlannedTrial]:
    """Return up to `count` trials at equal steps of rank from the cheapest to the costliest, by operations."""
    ordered = sorted(trials, key=lambda trial: trial.macs)
    places = np.unique(np.linspace(0, len(ordered) - 1, count).round().astype(int))
    return [ordered[place] for place in places]


def measure_trials(chosen: Sequence[PlannedTrial], plan: Plan, resources: Resources, slots: int) -> dict[str, Cost]:
    """Return the cost of each trial by key, as many measured at a time as will run at a time."""
    import ray

    name, shared, sources = plan.planner.trainable.name, ray.put(plan.prepared.shared), sources_in_use()
    task = ray.remote(num_cpus=resources.cpus, num_gpus=resources.gpus or 0)(_measure)
    threads = max(1, int(resources.cpus))
    every = [chosen[number % len(chosen)] for number in range(max(len(chosen), slots))][: 4 * PROBED]
    found = ray.get([task.remote(name, _values(trial), shared, threads, sources) for trial in every])
    return {trial.key: cost for trial, cost in zip(every, found, strict=True)}


def gpu_share(resources: Resources, plan: Plan, gpus: float) -> Resources:
    """Decide `--gpus-per-trial auto`: measure the costliest trials; as many share a GPU as their peak memory allows.

    Returns the resources with a whole GPU where no memory can be measured, and with none where there is no GPU.
    """
    import ray

    from trainables.training.cost import share_of_gpu

    if resources.gpus is not None or not gpus:
        return Resources(resources.cpus, resources.gpus or 0.0)
    task = ray.remote(num_cpus=resources.cpus, num_gpus=1)(_measure)
    threads = max(1, int(resources.cpus))
    name, shared, sources = plan.planner.trainable.name, ray.put(plan.prepared.shared), sources_in_use()
    costs = ray.get([task.remote(name, _values(trial), shared, threads, sources) for trial in costliest(plan)])
    return Resources(resources.cpus, max(share_of_gpu(cost.peak_memory, cost.total_memory) for cost in costs))


def costliest(plan: Plan) -> list[PlannedTrial]:
    """Return those that may need most of a GPU's memory: with the most MACs a batch, and with most parameters."""
    trials = plan.trials or plan.examples
    found = [max(trials, key=lambda t: t.macs * batch_of(t)), max(trials, key=lambda t: t.parameters)]
    return found[:1] if found[0] is found[1] else found


def _values(trial: PlannedTrial) -> dict[str, Any]:
    values: dict[str, Any] = trial.config.model_dump(mode="json")
    return values


def _measure(name: str, values: Mapping[str, Any], shared: Any, threads: int, sources: Mapping[str, Source]) -> Cost:
    use_sources(sources)
    trainable = trainable_of(name)
    cost: Cost = trainable.measure(trainable.make(values), shared, threads)
    return cost


def simulate(sweep: Sweep, plan: Plan, costs: Mapping[str, Cost], slots: int, rest: float) -> TimeEstimate:
    """Simulate the run many times for its wall time. rest: seconds of all that is not training."""
    trials = _all_trials(plan)
    seconds = [epoch_seconds(trial, plan, costs) for trial in trials]
    epochs = sum(trial.config.epochs for trial in trials)
    count = max(3, min(SIMULATIONS, SIMULATED_EPOCHS // max(epochs, 1)))
    rng = np.random.default_rng(0)
    found = np.array([_simulate_once(sweep, trials, seconds, slots, plan.epochs, rng) for _ in range(count)])
    ratios = [max(cost.epoch_seconds) / min(cost.epoch_seconds) for cost in costs.values()]
    noise = 1 + max(0.15, float(np.median(ratios)) - 1)
    low, middle, high = np.quantile(found, [0.05, 0.5, 0.95])
    return TimeEstimate(
        float(middle + rest), float(low / noise + rest / 1.5), float(high * noise + rest * 1.5),
        slots, (min(seconds), max(seconds)), len(costs),
    )  # fmt: skip


def epoch_seconds(trial: PlannedTrial, plan: Plan, costs: Mapping[str, Cost]) -> float:
    """Return the seconds of a trial's epoch: measured, or scaled by operations and images from the nearest."""
    work = _work(trial, plan)
    known = {key: other for other in (*plan.trials, *plan.examples) if (key := other.key) in costs}
    nearest = min(known, key=lambda key: (key != trial.key, abs(np.log(_work(known[key], plan) / work))))
    scale = 1.0 if nearest == trial.key else work / _work(known[nearest], plan)
    return float(np.median(costs[nearest].epoch_seconds)) * scale * len(trial.config.seeds)


def _work(trial: PlannedTrial, plan: Plan) -> float:
    return plan.prepared.work(trial.config, trial.macs)


def _simulate_once(
    sweep: Sweep, trials: Sequence[PlannedTrial], seconds: Sequence[float], slots: int, epochs: int,
    rng: np.random.Generator,
) -> float:  # fmt: skip
    """Run trials in their order on `slots` workers, epoch by epoch; return when the last has ended."""
    judge, sign = make_judge(sweep, epochs), 1 if sweep.mode == "max" else -1
    quality = rng.standard_normal(len(trials))
    waiting = iter(range(len(trials)))
    running = [(seconds[number], number, 1) for number in itertools.islice(waiting, slots)]
    heapq.heapify(running)
    now = 0.0
    while running:
        now, number, epoch = heapq.heappop(running)
        trial = trials[number]
        value = sign * (quality[number] + 0.5 * rng.standard_normal())
        last = epoch >= trial.config.epochs
        decision = judge.judge(str(number), trial.stratum, epoch, value, trial.bracket) if judge and not last else None
        if (decision is None or not decision.stop) and not last:
            heapq.heappush(running, (now + seconds[number], number, epoch + 1))
        elif (following := next(waiting, None)) is not None:
            heapq.heappush(running, (now + seconds[following], following, 1))
    return now
