"""Resuming, extending, retrying and reusing, on runs whose trials have been played instead of trained."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from ray import tune
from rich.console import Console

from analysis import table
from analysis.runs.run_folder import RunFolder
from analysis.weights.weights_table import forget
from search_spaces.definition import Sweep
from sweeps.messages import print_resumed
from sweeps.planning.begin import create_run, resume_run
from sweeps.planning.overrides import override
from sweeps.planning.plan import make_plan
from sweeps.planning.reuse import take_finished
from sweeps.planning.settings import Settings
from sweeps.record.ledger import Ledger, read_ledger
from sweeps.record.state import RunState, fold

NOW = datetime(2026, 1, 1)
SWEEP = Sweep(
    "?",
    {"activation": tune.grid_search(["relu", "tanh", "gelu"])},
    {"lr": tune.grid_search([0.1])},
    {"model": "mlp", "epochs": 2},
    seeds=(0, 1),
    scheduler="fifo",
)
ENDS = ("completed", "failed", "stopped")


def made(storage: Path, sweep: Sweep = SWEEP, name: str = "first") -> RunFolder:
    """A run whose trials have ended in three ways: completed, failed, stopped at a rung."""
    folder = create_run(sweep, "s", make_plan(sweep, None, NOW), Settings(storage=storage, name=name), NOW)
    ledger = Ledger(folder.ledger)
    for trial, end in zip(state_of(folder).trials.values(), ENDS, strict=False):
        folder.trial(trial.folder).path.mkdir()
        (folder.trial(trial.folder).path / "mark").write_text(trial.trial_id)
        (folder.tensorboard / trial.folder).mkdir(parents=True)
        (folder.tensorboard / trial.folder / "events").write_text(trial.trial_id)
        ledger.append("started", trial_id=trial.trial_id)
        values = {"attempt": 1, "memory_mb": 1.0, "replicates": [{}, {}], "mean": {"val_auc": 0.5}}
        ledger.append("epoch", trial_id=trial.trial_id, epoch=1, **values)
        ledger.append(end, trial_id=trial.trial_id, reason="", **({"rung": 1} if end == "stopped" else {}))
    ledger.close()
    return folder


def state_of(folder: RunFolder) -> RunState:
    return fold(read_ledger(folder.ledger))


def test_failed_trials_are_tried_again_only_when_asked(tmp_path: Path) -> None:
    folder = made(tmp_path)
    plan = make_plan(SWEEP, None, NOW)
    assert resume_run(folder, SWEEP, plan).requeued == 0
    assert [trial.status for trial in state_of(folder).trials.values()] == list(ENDS)
    resumed = resume_run(folder, SWEEP, plan, retry_failed=True)
    assert (resumed.finished, resumed.unfinished, resumed.requeued, resumed.added) == (2, 1, 1, 0)
    trials = list(state_of(folder).trials.values())
    assert [trial.status for trial in trials] == ["completed", "planned", "stopped"]
    assert trials[1].epoch == 1  # it goes on from its checkpoint


def test_a_larger_grid_adds_only_what_is_new(tmp_path: Path) -> None:
    folder = made(tmp_path)
    larger = replace(SWEEP, nuisance={"lr": tune.grid_search([0.01, 0.1])})
    resumed = resume_run(folder, larger, make_plan(larger, None, NOW))
    assert (resumed.finished, resumed.added, resumed.foreign) == (3, 3, 0)
    ids = [trial.trial_id for trial in state_of(folder).trials.values()]
    assert ids == ["0001", "0002", "0003", "0004", "0005", "0006"]


def test_replicates_apart_share_their_trials_number_when_extended(tmp_path: Path) -> None:
    apart = replace(SWEEP, replicates="apart")
    folder = made(tmp_path, apart)
    larger = replace(apart, seeds=(0, 1, 2))
    resume_run(folder, larger, make_plan(larger, None, NOW))
    ids = sorted(state_of(folder).trials)
    assert ids == [f"{n:04d}.{place}" for n in (1, 2, 3) for place in (0, 1, 2)]


def test_a_whole_trial_is_reused_and_one_that_peers_stopped_is_not(tmp_path: Path) -> None:
    first = made(tmp_path)
    plan = make_plan(SWEEP, None, NOW)
    second = create_run(SWEEP, "s", plan, Settings(storage=tmp_path, name="second"), NOW)
    reused = take_finished(second, plan.trials, tmp_path)
    assert reused.taken == {str(first.path): 1}
    trials = list(state_of(second).trials.values())
    assert [trial.status for trial in trials] == ["completed", "planned", "planned"]
    assert (second.trial(trials[0].folder).path / "mark").read_text() == "0001"
    assert (second.tensorboard / trials[0].folder / "events").read_text() == "0001"
    assert take_finished(second, plan.trials, tmp_path).count == 0  # once is enough


def test_changed_code_is_named_as_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path)
    monkeypatch.setattr("sweeps.planning.trials.code_digest", lambda: "another")
    monkeypatch.setattr("sweeps.planning.reuse.code_digest", lambda: "another")
    plan = make_plan(SWEEP, None, NOW)
    second = create_run(SWEEP, "s", plan, Settings(storage=tmp_path, name="second"), NOW)
    reused = take_finished(second, plan.trials, tmp_path)
    assert reused.count == 0
    assert any("the training code has changed" in reason for reason in reused.reasons)


def test_what_is_trained_on_is_measured_anew(tmp_path: Path) -> None:
    folder = made(tmp_path)
    keys = [trial.key for trial in state_of(folder).trials.values()]
    empty = dict.fromkeys(table.columns("weights"))
    rows = [
        {**empty, **dict.fromkeys(table.IDENTITY, ""), "replicate": 0, "seed": 0, "stage": "best", "epoch": 1,
         "tensor": "0.weight", "position": 0, "module_type": "Linear", "shape": [1], "trial_key": key}
        for key in keys
    ]  # fmt: skip
    table.write(folder.weights_table, "weights", rows, {})
    forget(folder, {keys[1]})
    assert table.read_arrow(folder.weights_table, "weights")["trial_key"].to_pylist() == [keys[0], keys[2]]


def test_a_resume_says_what_is_new_of_the_trials_that_it_adds(tmp_path: Path) -> None:
    folder = made(tmp_path)
    more = override(SWEEP, [], [], {"epochs": SWEEP.fixed["epochs"] + 4})
    resumed = resume_run(folder, more, make_plan(more, None, NOW))
    assert resumed.added
    assert resumed.news == (f"epochs {SWEEP.fixed['epochs'] + 4} (so far {SWEEP.fixed['epochs']})",)
    text = io.StringIO()
    print_resumed(Console(file=text, width=200), resumed)
    assert f"{resumed.added} new with epochs " in text.getvalue()
    assert resume_run(folder, more, make_plan(more, None, NOW)).news == ()
