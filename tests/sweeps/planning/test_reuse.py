"""Trials taken from earlier runs, on runs whose trials have been played instead of trained."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from analysis.runs.run_folder import RunFolder
from sweeps.messages import print_plan
from sweeps.planning.begin import create_run, resume_run
from sweeps.planning.plan import make_plan
from sweeps.planning.reuse import take_finished
from sweeps.planning.settings import Settings
from sweeps.record.epoch_events import EpochEvents
from sweeps.record.ledger import Ledger
from tests.whole.test_resume import NOW, SWEEP, change_the_code, made, state_of


def test_a_whole_trial_is_reused_and_one_that_peers_stopped_is_not(tmp_path: Path) -> None:
    first = made(tmp_path)
    plan = make_plan(SWEEP, None, NOW)
    second = create_run(SWEEP, "s", plan, Settings(storage=tmp_path, name="second"), NOW)
    reused = take_finished(second, plan.trials, tmp_path)
    assert reused.taken == {str(first.path): 1}
    trials = list(state_of(second).trials.values())
    assert [trial.status for trial in trials] == ["completed", "planned", "planned"]
    assert (second.trial(trials[0].folder).path / "mark").read_text() == "0001"
    assert [path.name for path in second.tensorboard.iterdir()] == ["0001 activation=relu lr=0.1"]
    assert take_finished(second, plan.trials, tmp_path).count == 0  # once is enough


def test_a_dry_run_says_what_would_be_reused_from_where(tmp_path: Path) -> None:
    plan = make_plan(SWEEP, None, NOW)

    def dry_run(settings: Settings, resumed: RunFolder | None = None) -> str:
        console = Console(file=io.StringIO(), width=400)
        print_plan(console, SWEEP, plan, settings, resumed)
        return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]

    assert "no trial of earlier runs could be reused" in dry_run(Settings(storage=tmp_path, reuse=True))
    first = made(tmp_path)
    assert "--reuse takes them from there" in dry_run(Settings(storage=tmp_path))
    assert f"would reuse 1 trial from {first.path}\n" in dry_run(Settings(storage=tmp_path, reuse=True))
    # nothing is taken from the run itself that is resumed, nor for a trial that has begun there
    assert "no trial of earlier runs could be reused" in dry_run(Settings(storage=tmp_path, reuse=True), first)
    empty = create_run(SWEEP, "s", plan, Settings(storage=tmp_path, name="second"), NOW)
    assert f"would reuse 1 trial from {first.path}\n" in dry_run(Settings(storage=tmp_path, reuse=True), empty)


def test_reuse_looks_through_a_ledger_once_and_a_damaged_epoch_costs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    longer = replace(SWEEP, fixed={**SWEEP.fixed, "epochs": 4})
    plan = make_plan(longer, None, NOW)
    first = create_run(longer, "s", plan, Settings(storage=tmp_path, name="first"), NOW)
    ledger = Ledger(first.ledger)
    for trial in state_of(first).trials.values():
        first.trial(trial.folder).path.mkdir()
        ledger.append("started", trial_id=trial.trial_id)
        for epoch in (1, 2, 3, 4):
            values = {"attempt": 1, "memory_mb": 1.0, "replicates": [{}, {}], "mean": {"val_auc": epoch / 10}}
            ledger.append("epoch", trial_id=trial.trial_id, epoch=epoch, **values)
        ledger.append("completed", trial_id=trial.trial_id, reason="trained all 4 epochs")
    ledger.close()
    lines = first.ledger.read_bytes().splitlines(keepends=True)
    (second_epoch,) = [n for n, line in enumerate(lines) if b'"0001"' in line and b'"epoch":2' in line]
    lines[second_epoch] = lines[second_epoch][:70] + b"\n"
    first.ledger.write_bytes(b"".join(lines))
    second = create_run(longer, "s", plan, Settings(storage=tmp_path, name="second"), NOW)
    looks: list[Path] = []
    find = EpochEvents._find
    monkeypatch.setattr(EpochEvents, "_find", lambda self: (looks.append(self.ledger), find(self)))
    assert take_finished(second, plan.trials, tmp_path).count == 3
    assert looks == [first.ledger]
    there, here = state_of(first).trials, state_of(second).trials
    assert [trial.means for trial in here.values()] == [trial.means for trial in there.values()]
    assert [mean["val_auc"] for mean in here["0001"].means] == [0.1, None, 0.3, 0.4]
    assert [(trial.status, trial.stop_reason, trial.attempts) for trial in here.values()] == [
        ("completed", "trained all 4 epochs", 1)
    ] * 3


def test_changed_code_is_named_as_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path)
    change_the_code(monkeypatch)
    plan = make_plan(SWEEP, None, NOW)
    second = create_run(SWEEP, "s", plan, Settings(storage=tmp_path, name="second"), NOW)
    reused = take_finished(second, plan.trials, tmp_path)
    assert reused.count == 0
    assert any("the training code has changed" in reason for reason in reused.reasons)


def test_a_trial_that_two_states_of_the_code_have_trained_is_not_reused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made(tmp_path)
    plan = make_plan(SWEEP, None, NOW)
    change_the_code(monkeypatch)
    resume_run(folder, SWEEP, make_plan(SWEEP, None, NOW), retry_failed=True)
    ledger = Ledger(folder.ledger)
    ledger.append("completed", trial_id="0002", reason="")
    ledger.close()
    second = create_run(SWEEP, "s", plan, Settings(storage=tmp_path, name="second"), NOW)
    assert take_finished(second, plan.trials, tmp_path).taken == {str(folder.path): 1}  # 0001, all of the first code
