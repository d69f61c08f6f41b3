"""Gauges of a run among Ray's metrics: `ray_sweeps_…` in Prometheus, drawn by cluster/grafana/sweeps.json."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.console import Console

from analysis.parallel.ray_private import dashboard_url
from sweeps.record.progress import STATUSES, Tally
from sweeps.record.state import RunState
from trainables.errors import at_end

if TYPE_CHECKING:
    from analysis.runs.run_folder import RunFolder
    from search_spaces.definition import Sweep

TAGS = ("sweep", "run")
GAUGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "sweeps_trials": ("Trials by status.", ("status",)),
    "sweeps_best_metric": ("The best mean over replicates that a trial has reached.", ("metric",)),
    "sweeps_epochs_total": ("Epochs of all replicates in the ledger, those before a resume included.", ()),
    "sweeps_epochs_per_second": ("Epochs of all replicates since the last value, a second.", ()),
    "sweeps_overhead_share": (
        "Share of the time of running trials that went into neither training nor evaluating, since this driver began; "
        "an epoch under way counts in full until it is reported.",
        (),
    ),
}
# Seconds between two looks at how many trials run.
LOOK_SECONDS = 1.0
# Seconds between two publishings; Ray itself sends them on every 10 seconds.
PUBLISH_SECONDS = 5.0
Set = Callable[[str, float, dict[str, str]], None]


@dataclass
class Gauges:
    """The counts, best value and pace of a run, as metrics. publish(name, value, tags) sends one."""

    state: RunState
    metric: str
    mode: str
    publish: Set
    now: Callable[[], float] = time.monotonic
    # seconds of all running trials together, since this driver began
    running_seconds: float = 0.0
    # seconds of these that went into training and evaluating
    busy_seconds: float = 0.0
    # epochs of all replicates
    epochs: int = 0
    # time and epochs at the last publishing
    before: tuple[float, int] = (0.0, 0)
    # epochs of each trial
    counted: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.looked = self.now()
        self.tally = Tally(self.state, self.metric, self.mode)
        # entries of `state.changed`
        self._read = 0
        self._count_epochs()
        self.busy_seconds = 0.0
        self.before = self.looked, self.epochs

    def update(self, *, final: bool = False) -> None:
        """Publish what is due, at most once a second. To be called often."""
        now = self.now()
        if now - self.looked < LOOK_SECONDS and not final:
            return
        self.running_seconds += (now - self.looked) * self.state.count("running")
        self.looked = now
        if final or now - self.before[0] >= PUBLISH_SECONDS:
            self._publish_all(now)

    def _count_epochs(self) -> None:
        """Take in the epochs since the last look."""
        changed = self.state.changed
        for trial_id in dict.fromkeys(changed[self._read :]):
            trial, known = self.state.trials[trial_id], self.counted.get(trial_id, 0)
            self.epochs += (trial.epoch - known) * len(trial.config["seeds"])
            self.busy_seconds += trial.history.seconds(known)
            self.counted[trial_id] = trial.epoch
        self._read = len(changed)

    def _publish_all(self, now: float) -> None:
        self.tally.update()
        self._count_epochs()
        for status in STATUSES:
            unproposed = self.state.total - len(self.state.trials) if status == "planned" else 0
            self.publish("sweeps_trials", self.state.count(status) + unproposed, {"status": status})
        if best := self.tally.best():
            self.publish("sweeps_best_metric", best[0].value, {"metric": self.metric})
        epochs, (then, had) = self.epochs, self.before
        self.publish("sweeps_epochs_total", epochs, {})
        if now > then:
            self.publish("sweeps_epochs_per_second", max(0, epochs - had) / (now - then), {})
        self.before = now, epochs
        share = self.overhead_share()
        if share is not None:
            self.publish("sweeps_overhead_share", share, {})

    def overhead_share(self) -> float | None:
        """Return the share of the trials' time that went into neither training nor evaluating; None before any ran."""
        if self.running_seconds <= 0:
            return None
        return min(1.0, max(0.0, 1 - self.busy_seconds / self.running_seconds))


@contextmanager
def published(
    view: Callable[[], None],
    run: RunFolder,
    sweep: Sweep,
    state: RunState,
    address: str | None,
    console: Console | None,
) -> Iterator[Callable[[], None]]:
    """Return what to call at every step: the view's update, and on a cluster (an address) the gauges too.

    A run on this machine has no dashboard, and so no gauges. console: told where the dashboard is; None: nobody.
    """
    if address is None:
        yield view
        return
    if console is not None:
        console.print(dashboard_line(), markup=False, highlight=False, soft_wrap=True)
    gauges = Gauges(state, sweep.metric, sweep.mode, _ray_gauges({"sweep": run.sweep, "run": run.run_id}))

    def step() -> None:
        view()
        gauges.update()

    with at_end(lambda: gauges.update(final=True)):
        yield step


def _ray_gauges(tags: dict[str, str]) -> Set:
    from ray.util.metrics import Gauge

    made: dict[str, Any] = {
        name: Gauge(name, description=text, tag_keys=(*TAGS, *more)) for name, (text, more) in GAUGES.items()
    }

    def publish(name: str, value: float, more: dict[str, str]) -> None:
        made[name].set(value, tags={**tags, **more})

    return publish


def dashboard_line() -> str:
    """Return a line on where the dashboard of the joined cluster is."""
    url = dashboard_url()
    if not url:
        return 'the cluster has no dashboard: pip install "ray[default]" on its head'
    return f"dashboard: http://{url} on the cluster's head; from elsewhere through `ray dashboard cluster/cluster.yaml`"
