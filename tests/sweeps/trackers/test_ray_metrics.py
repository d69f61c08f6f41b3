"""Gauges of a run: what they say of a state, that Ray exports them, and that the Grafana board asks for them."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from cluster.sample import take_sample
from sweeps.record.progress import STATUSES
from sweeps.record.state import RunState, TrialState
from sweeps.trackers.ray_metrics import GAUGES, TAGS, Gauges, published
from tests.conftest import ROOT
from tests.support.ray_head import Head

BOARD = json.loads((ROOT / "cluster" / "grafana" / "sweeps.json").read_text())


def trial(number: int, status: str, epochs: int = 0, val: float = 0.5) -> TrialState:
    found = TrialState(f"{number:04d}", f"key{number}", f"folder{number}", {"seeds": [0, 1], "epochs": 9}, 1, 1)
    found.status = status
    for _ in range(epochs):
        add_epoch(found, val)
    return found


def add_epoch(found: TrialState, val: float, seconds: float = 1.0) -> None:
    rows = [{"train_seconds": seconds * 0.75, "eval_seconds": seconds * 0.25} for _ in range(2)]
    found.history.append(found.epoch + 1, rows)
    found.means.append({"val_auc": val})


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def gauges(state: RunState) -> tuple[Gauges, Clock, dict[Any, float]]:
    clock, values = Clock(), dict[Any, float]()

    def publish(name: str, value: float, more: dict[str, str]) -> None:
        assert set(more) == set(GAUGES[name][1])
        values[(name, *more.values())] = value

    return Gauges(state, "val_auc", "max", publish, clock), clock, values


def test_values_are_those_of_the_state() -> None:
    trials = [trial(1, "completed", 3, 0.7), trial(2, "running", 1, 0.9), trial(3, "running"), trial(4, "planned")]
    state = RunState({t.trial_id: t for t in trials}, expected=6)
    found, clock, values = gauges(state)
    for _ in range(10):
        clock.time += 1.0
        found.update()
        if clock.time == 104:
            add_epoch(trials[1], 0.8, seconds=2.0)
            add_epoch(trials[2], 0.6, seconds=4.0)
            state.changed += ["0002", "0003"]
    assert {status: values["sweeps_trials", status] for status in STATUSES if values["sweeps_trials", status]} == {
        "completed": 1, "running": 2, "planned": 3,
    }  # fmt: skip
    assert values["sweeps_best_metric", "val_auc"] == 0.9
    assert values["sweeps_epochs_total",] == 2 * (3 + 2 + 1)
    assert values["sweeps_epochs_per_second",] == 0  # since the look 5 seconds earlier
    # 10 seconds of two trials; two replicates of 2 s and two of 4 s; what was there before does not count
    assert values["sweeps_overhead_share",] == pytest.approx(1 - (4 + 8) / 20)


def test_the_rate_is_that_since_the_last_value() -> None:
    only = trial(1, "running", 1)
    state = RunState({"0001": only})
    found, clock, values = gauges(state)
    for _ in range(5):
        clock.time += 1.0
        add_epoch(only, 0.5)
        state.changed.append("0001")
        found.update()
    assert values["sweeps_epochs_per_second",] == pytest.approx(2 * 5 / 5)


def test_nothing_is_published_more_often_than_every_few_seconds() -> None:
    found, clock, values = gauges(RunState({"0001": trial(1, "running")}))
    for _ in range(49):
        clock.time += 0.1
        found.update()
    assert not values
    clock.time += 1.2
    found.update()
    assert ("sweeps_trials", "running") in values
    assert ("sweeps_best_metric", "val_auc") not in values


def test_a_run_on_this_machine_has_none() -> None:
    def view() -> None: ...

    nothing: Any = None
    with published(view, nothing, nothing, RunState(), None, None) as step:
        assert step is view


def expressions() -> list[str]:
    queries = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]
    return queries + [entry["definition"] for entry in BOARD["templating"]["list"] if "definition" in entry]


def test_the_board_asks_for_gauges_that_exist_by_tags_that_they_have() -> None:
    asked = set()
    for query in expressions():
        (name,) = re.findall(r"ray_(\w+)", query)
        labels = set(re.findall(r"(\w+)=~?\"", query)) | set(",".join(re.findall(r"by \(([^)]*)\)", query)).split(", "))
        assert labels - {""} <= {*TAGS, *GAUGES[name][1]}, query
        asked.add(name)
    assert asked == set(GAUGES)
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(ids) == len(set(ids))


@pytest.mark.slow
def test_ray_exports_the_gauges_of_a_run_and_the_monitor_names_its_trial(head: Head, tmp_path: Path) -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    words = ["smoke", "--set", "activation=relu", "--set", "lr=0.01", "--seeds", "1", "--scheduler", "fifo"]
    run = head.command("sweeps.run", *words, "--epochs", "5000", "--storage", str(tmp_path), "--address", head.gcs)
    wanted, found, deadline = {f"ray_{name}" for name in GAUGES}, dict[str, Any](), time.monotonic() + 90
    while not wanted <= set(found) and time.monotonic() < deadline and run.poll() is None:
        time.sleep(0.5)  # between two scrapes; Ray sends values on every 10 seconds
        try:
            text = urllib.request.urlopen(head.metrics, timeout=5).read().decode()
        except (OSError, urllib.error.URLError):
            continue
        found = {family.name: family for family in parser.text_string_to_metric_families(text)}
    workers = {worker.trial for worker in take_sample().workers}
    run.terminate()
    out, errors = run.communicate(timeout=60)
    assert wanted <= set(found), (wanted - set(found), out, errors)
    assert run.returncode == 143, out + errors
    assert f"dashboard: {head.dashboard} on the cluster's head" in out
    assert "0001" in workers
    (best,) = found["ray_sweeps_best_metric"].samples
    assert best.labels["sweep"] == "smoke"
    assert best.labels["metric"] == "val_auc"
    assert 0.5 < best.value <= 1
    trials = {sample.labels["status"]: sample.value for sample in found["ray_sweeps_trials"].samples}
    assert set(trials) == set(STATUSES)
    assert sum(trials.values()) == 1
