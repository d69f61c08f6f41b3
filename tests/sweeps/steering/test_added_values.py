"""Values that are added to a grid of a run that goes on: the same trials as those of a command with all of them."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray import tune

from analysis import table
from analysis.runs.run_folder import RunFolder
from search_spaces.definition import Asha, Optuna, Pbt, Sweep
from sweeps.planning.begin import record_extension, with_added
from sweeps.planning.overrides import add_values
from sweeps.planning.plan import make_plan
from sweeps.planning.settings import Settings
from sweeps.record.ledger import read_ledger
from sweeps.record.state import RunState, read_state
from sweeps.running import execution
from sweeps.running.interrupt import Brake, Interrupt
from sweeps.running.recorder import Recorder
from sweeps.steering.driver import Steering
from sweeps.steering.requests import AddValues, leave_request
from sweeps.tracking.notify import Notifier
from tests.support.played_runs import NOW, begin, resume
from trainables.errors import InputError
from trainables.worker.train_trial import Job

SWEEP = Sweep(
    question="Which activation is best?",
    scientific={"activation": tune.grid_search(["relu", "tanh"])},
    nuisance={"lr": tune.grid_search([1e-3, 1e-2])},
    fixed={"dataset": "digits", "model": "mlp", "epochs": 2},
    seeds=(0,),
    scheduler=Asha(),
)
ALL = replace(SWEEP, nuisance={"lr": tune.grid_search([1e-3, 1e-2, 0.1, 0.3])})


def settings(state: RunState) -> list[tuple[str, float]]:
    """The settings of all trials, each as often as it is there."""
    return sorted((trial.config["activation"], trial.config["lr"]) for trial in state.trials.values())


def planned(sweep: Sweep) -> list[tuple[str, float]]:
    return sorted((trial.config.activation, trial.config.lr) for trial in make_plan(sweep, None, NOW).trials)


class Driver:
    """A driver of a run without Ray: its recorder, and the jobs that were added."""

    def __init__(self, storage: Path, sweep: Sweep = SWEEP) -> None:
        self.run, self.plan = begin(storage, sweep)
        self.state, self.said, self.jobs = read_state(self.run.ledger), list[str](), deque[Job]()
        self.recorder = Recorder(self.run, sweep, self.state, self.run.metadata(), self.plan.epochs)
        notifier = Notifier(None, self.run, print)
        self.execution = execution._Execution(
            sweep, self.plan, self.run, Settings(quiet=True), SimpleNamespace(), Interrupt(), 0.0, notifier,  # type: ignore[arg-type]
        )  # fmt: skip
        brake = Brake(Interrupt(), Settings(), self.state, time.monotonic())
        add = partial(self.execution._add_values, self.recorder, self.jobs)
        self.steering = Steering(self.recorder, brake, self.said.append, add, began=time.time() - 60)

    def ask(self, values: str) -> None:
        """Leave a request and let the driver look."""
        leave_request(self.run, AddValues(values=values))
        self.steering.due = 0.0
        self.steering.check()


def test_added_values_are_trials_as_those_of_one_command(tmp_path: Path) -> None:
    driver = Driver(tmp_path)
    driver.ask("lr=0.1,0.3,0.01")
    assert settings(driver.state) == planned(ALL)
    assert [job.trial_id for job in driver.jobs] == ["0005", "0006", "0007", "0008"]
    assert driver.said == ["lr=0.1,0.3,0.01 is added by request: 4 more trials"]
    events = [event["event"] for event in read_ledger(driver.run.ledger)]
    assert events == ["planned"] * 4 + ["values_added"] + ["planned"] * 4
    for trial_id in driver.state.trials:
        driver.recorder.failed(trial_id, "no worker")
    driver.recorder.write_tables()
    driver.recorder.close()
    about = driver.run.read_description()
    assert about["trials"] == 8
    assert about["roles"]["nuisance"]["lr"] == [0.001, 0.01, 0.1, 0.3]
    again, texts = with_added(SWEEP, about)
    assert texts == ["lr=0.1,0.3,0.01"]
    plan = resume(driver.run, again)
    assert [trial.trial_id for trial in plan.trials] == [f"{number:04d}" for number in range(1, 9)]
    assert read_state(driver.run.ledger).ended
    assert sorted(table.read(driver.run.trials_table, "trials")["lr"].unique()) == [0.001, 0.01, 0.1, 0.3]


@pytest.mark.parametrize("lines", [0, 1, 2, 4])
def test_a_driver_that_is_killed_while_it_adds_loses_nothing(tmp_path: Path, lines: int) -> None:
    """run.json is written, and so many lines of the ledger; a resume by the first command has all trials."""
    driver = Driver(tmp_path)
    written: list[str] = []

    def record(event: str, **fields: Any) -> None:
        if len(written) == lines:
            raise KeyboardInterrupt
        written.append(event)
        driver.recorder.record(event, **fields)

    extension = execution.extended(SWEEP, driver.plan, driver.state, "lr=0.1,0.3")
    with pytest.raises(KeyboardInterrupt):
        record_extension(driver.run, driver.state, extension, "lr=0.1,0.3", record)
    driver.recorder.close()
    again, _ = with_added(SWEEP, driver.run.read_description())
    resume(driver.run, again)
    assert settings(read_state(driver.run.ledger)) == planned(ALL)


def test_a_second_addition_counts_on(tmp_path: Path) -> None:
    driver = Driver(tmp_path)
    driver.ask("activation=gelu")
    driver.ask("lr=0.1")
    assert list(driver.state.trials) == [f"{number:04d}" for number in range(1, 10)]
    both = replace(
        SWEEP,
        scientific={"activation": tune.grid_search(["relu", "tanh", "gelu"])},
        nuisance={"lr": tune.grid_search([1e-3, 1e-2, 0.1])},
    )
    assert settings(driver.state) == planned(both)
    again, texts = with_added(SWEEP, driver.run.read_description())
    assert texts == ["activation=gelu", "lr=0.1"]
    assert planned(again) == planned(both)
    driver.recorder.close()


def test_replicates_that_run_apart_have_ids_of_their_own(tmp_path: Path) -> None:
    driver = Driver(tmp_path, replace(SWEEP, seeds=(0, 5), replicates="apart", scheduler="fifo"))
    known = list(driver.state.trials)
    driver.ask("lr=0.1")
    new = [name for name in driver.state.trials if name not in known]
    first = known[0].partition(".")[2]
    assert first == "0"
    assert new == ["0005.0", "0005.1", "0006.0", "0006.1"]
    driver.recorder.close()


HOSTILE = [
    "lr", "lr=", "=1", "lr=0.01", "lr=-1", "lr=nan", "lr=inf", "lr=1e400", "lr=0.1\n{}", "nothing=1", "epochs=9",
    "dataset=mnist", "model=cnn", "weights=/etc/passwd", "activation=evil.py:Evil", "activation=/tmp/evil.py:Evil",
    "activation=<script>", "activation=__import__('os')", "seeds=0:5", 'lr="0.1', "lr=" + ",".join(["0.1"] * 190),
    "lr=\x1b[31m", "activation=relu,tanh",
]  # fmt: skip


def test_what_is_no_value_of_a_grid_is_refused_in_one_line_and_changes_nothing(tmp_path: Path) -> None:
    driver = Driver(tmp_path)
    about, trials = driver.run.description.read_bytes(), dict(driver.state.trials)
    hostile = [text for text in HOSTILE if text != "lr=" + ",".join(["0.1"] * 190)]
    for text in hostile:
        driver.ask(text)
        assert driver.run.description.read_bytes() == about, text
    assert driver.state.trials == trials
    assert not driver.jobs
    assert len(driver.said) == len(hostile)
    assert all("\n" not in line and line.isprintable() for line in driver.said)
    refused = [event["reason"] for event in read_ledger(driver.run.ledger) if event["event"] == "refused"]
    assert len(refused) == len(hostile)
    # the same value many times is one
    driver.ask(HOSTILE[-3])
    assert len(driver.jobs) == 2
    driver.recorder.close()


@pytest.mark.parametrize(
    "change",
    [
        lambda sweep: replace(sweep, searcher=Optuna(), scheduler="fifo"),
        lambda sweep: replace(sweep, scheduler=Pbt(), nuisance={"lr": tune.uniform(0.1, 0.2)}),
        lambda sweep: replace(sweep, searcher="random", samples=3),
    ],
)
def test_a_run_whose_settings_are_drawn_takes_none(change: Callable[[Sweep], Sweep]) -> None:
    with pytest.raises(InputError, match="no grid of this run, whose grids are: none"):
        add_values(change(SWEEP), "lr=0.5")


def test_code_of_a_user_is_never_read_for_a_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("evil.py").write_text("open('ran', 'w')\ndef Evil(): ...\n")
    driver = Driver(tmp_path)
    driver.ask("activation=evil.py:Evil")
    assert "code of your own" in driver.said[0]
    assert not Path("ran").exists()
    driver.recorder.close()


def test_a_description_that_holds_nonsense_adds_nothing(tmp_path: Path) -> None:
    run = begin(tmp_path, SWEEP)[0]
    for added in ("lr=0.1", [3, None, "lr", "epochs=4", "activation=x.py:Y"], {"lr": 1}):
        description({"added": added}, run)
        assert with_added(SWEEP, run.read_description()) == (SWEEP, [])


def description(more: dict[str, Any], run: RunFolder) -> None:
    run.description.write_text(json.dumps({**run.read_description(), **more}))
