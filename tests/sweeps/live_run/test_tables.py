"""Tables of a followed run: the best of each value has the interval of its replicates."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scipy import stats

from benchmarks.played_runs import play_run
from sweeps.live_run.followed_run import FollowedRun
from sweeps.live_run.tables import best_so_far


def test_the_best_so_far_has_the_interval_of_its_seeds(tmp_path: Path) -> None:
    run = play_run(tmp_path, 10, epochs=3, seeds=4, open_trials=2)
    followed = FollowedRun(run)
    followed.look()
    epochs = [event for line in run.ledger.read_text().splitlines() if (event := json.loads(line))["event"] == "epoch"]
    rows = best_so_far(followed).rows
    assert rows
    for _, value, trial, epoch, _ in rows:
        (event,) = [one for one in epochs if (one["trial_id"], str(one["epoch"])) == (trial.text, epoch.text)]
        seeds = [row["val_auc"] for row in event["replicates"]]
        assert value.sort == pytest.approx(sum(seeds) / 4)
        low, high = stats.t.interval(0.95, 3, sum(seeds) / 4, stats.sem(seeds))
        assert value.below == f"{low:.4f} to {high:.4f}"


def test_two_seeds_say_nothing_of_chance(tmp_path: Path) -> None:
    followed = FollowedRun(play_run(tmp_path, 6, epochs=2, seeds=2))
    followed.look()
    assert {row[1].below for row in best_so_far(followed).rows} == {""}
