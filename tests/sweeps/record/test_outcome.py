"""A run from Python hands back its table, its best trial with its network, and prints its summary."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
import torch
from rich.console import Console

from analysis.runs.run_folder import RunFolder
from analysis.terminal.exit_codes import ExitCode
from sweeps.planning.command import Command
from sweeps.record.outcome import Halt, Outcome
from sweeps.record.state import RunState, TrialState
from sweeps.summary import print_outcome
from tests.support.trained_run import train_run
from trainables.data.datasets import load
from trainables.errors import InputError

CONFIG = {"model": "mlp", "hidden_dims": (8,), "epochs": 2, "seeds": (0, 3)}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    configs = [{**CONFIG, "lr": lr} for lr in (1e-6, 0.01)]
    run = train_run(tmp_path_factory.mktemp("outcome") / "s" / "r", load("digits"), configs)
    ended = TrialState("0001", "key0001", "f", {}, 1, 1, status="completed")
    return Outcome(run, RunState({"0001": ended}), None, 3.0)


def printed(outcome: Outcome, command: Command | None, seconds: float | None = None) -> str:
    text = StringIO()
    print_outcome(Console(file=text, width=200), outcome, command, seconds=seconds)
    return text.getvalue()


def test_its_trials_are_the_table(outcome: Outcome) -> None:
    pd.testing.assert_frame_equal(outcome.trials, pd.read_parquet(outcome.run.trials_table))
    assert len(outcome.trials) == 4


def test_its_best_is_the_trial_with_the_best_mean_and_loads_as_it_was_kept(outcome: Outcome) -> None:
    means = outcome.trials.groupby("trial_id")["val_auc"].mean()
    best = outcome.best
    assert best.trial_id == means.idxmax() == "0002"
    first, other = best.load(), best.load(3)
    assert (first.seed, other.seed) == (0, 3)
    assert not first.model.training
    kept = outcome.trials.query("trial_id == '0002' and seed == 0")["best_epoch"].item()
    assert first.epoch == kept
    weights = [next(iter(trained.model.state_dict().values())) for trained in (first, other)]
    assert not torch.equal(*weights)
    with pytest.raises(InputError, match="kept no weights of seed 7: choose one of 0, 3"):
        best.load(7)


def test_a_run_without_an_ended_trial_says_so(tmp_path: Path) -> None:
    empty = Outcome(RunFolder(tmp_path / "s" / "r"), RunState(), None, 1.0)
    for name in ("trials", "best"):
        with pytest.raises(InputError, match="no trial has ended yet"):
            getattr(empty, name)


def test_its_summary_is_printed_without_a_command(outcome: Outcome) -> None:
    text = printed(outcome, None, 75.0)
    assert "0.01" in text
    assert f"1:15 in all; results in {outcome.run.path}" in text
    assert "0:03 in all" in printed(outcome, None)


def test_one_that_ended_early_says_how_to_go_on(outcome: Outcome) -> None:
    halted = Outcome(outcome.run, outcome.state, None, 3.0, halt=Halt("time is used up", ExitCode.UNFINISHED))
    assert "ended early: time is used up. The same call with Settings(reuse=True)" in printed(halted, None)
    text = printed(halted, Command(sweep="s"))
    assert "ended early: time is used up. To go on:\n  python -m sweeps.run s" in text
    assert "--resume" in text
