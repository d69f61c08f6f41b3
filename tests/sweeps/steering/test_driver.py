"""Requests that another process leaves in a run's folder: the driver takes them up, as lines of the ledger."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray import tune

from analysis.terminal.exit_codes import ExitCode
from search_spaces.definition import Resources, Sweep
from sweeps.planning.settings import Settings
from sweeps.record.ledger import read_ledger
from sweeps.record.state import read_state
from sweeps.running import tuner
from sweeps.running.interrupt import Brake, Interrupt
from sweeps.running.recorder import Recorder
from sweeps.running.tuner import _JobSearcher
from sweeps.steering.driver import Steering
from sweeps.steering.requests import EndRun, StopTrial, leave_request
from sweeps.tracking.notify import Notifier
from tests.support.played_runs import begin, outcome, report
from trainables.errors import InputError
from trainables.worker.train_trial import Job

SWEEP = Sweep(
    question="Which activation is best?",
    scientific={"activation": tune.grid_search(["relu", "tanh"])},
    nuisance={"lr": tune.grid_search([1e-3, 1e-2])},
    fixed={"dataset": "digits", "model": "mlp", "epochs": 3},
    seeds=(0,),
    scheduler="fifo",
)


def refused(text: str) -> str:
    raise InputError(f"{text}: no")


@pytest.fixture
def steered(tmp_path: Path) -> Iterator[tuple[Recorder, Steering, list[str]]]:
    run, plan = begin(tmp_path, SWEEP)
    state, said = read_state(run.ledger), list[str]()
    recorder = Recorder(run, SWEEP, state, {}, plan.epochs)
    brake = Brake(Interrupt(), Settings(), state, time.monotonic())
    yield recorder, Steering(recorder, brake, said.append, refused, began=time.time() - 60), said
    recorder.close()


def look(steering: Steering) -> None:
    steering.due = 0.0
    steering.check()


def train(recorder: Recorder, trial_id: str) -> bool:
    trial = recorder.state.trials[trial_id]
    return recorder.epoch(trial_id, report(trial, 0.7, trial.config["seeds"]))


def test_a_running_trial_stops_at_its_next_report(steered: tuple[Recorder, Steering, list[str]]) -> None:
    recorder, steering, said = steered
    trial = recorder.state.trials["0001"]
    recorder.started("0001")
    assert train(recorder, "0001")
    leave_request(recorder.run, StopTrial(trial_id="0001"))
    look(steering)
    assert trial.status == "running"
    assert not train(recorder, "0001")
    assert (trial.status, trial.stop_reason) == ("stopped", "stopped by request after epoch 2")
    assert said == ["trial 0001 is stopped by request"]
    # once, and the ledger alone says the same
    look(steering)
    events = [event["event"] for event in read_ledger(recorder.run.ledger) if event.get("trial_id") == "0001"]
    assert events == ["planned", "started", "epoch", "stop_requested", "epoch", "stopped"]
    assert outcome(read_state(recorder.run.ledger)) == outcome(recorder.state)
    assert list(recorder.run.requests.iterdir()) == []


def test_a_trial_at_its_last_epoch_completes(steered: tuple[Recorder, Steering, list[str]]) -> None:
    recorder, steering, _ = steered
    recorder.started("0001")
    assert train(recorder, "0001")
    assert train(recorder, "0001")
    leave_request(recorder.run, StopTrial(trial_id="0001"))
    look(steering)
    train(recorder, "0001")
    assert recorder.state.trials["0001"].status == "completed"


def test_a_trial_that_has_not_begun_is_never_handed_out(steered: tuple[Recorder, Steering, list[str]]) -> None:
    recorder, steering, _ = steered
    jobs = [json.dumps({"trial_id": name}) for name in ("0001", "0002")]
    searcher = _JobSearcher(jobs, None, Resources(), None, recorder.skips)
    leave_request(recorder.run, StopTrial(trial_id="0001"))
    look(steering)
    assert searcher.suggest("a") == {"job": jobs[1]}
    trial = recorder.state.trials["0001"]
    assert (trial.status, trial.stop_reason) == ("stopped", "stopped by request after epoch 0")


def test_a_trial_that_a_searcher_proposed_is_not_handed_out_either(
    steered: tuple[Recorder, Steering, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ray would be asked
    monkeypatch.setattr(tuner, "slots", lambda resources: 2)
    recorder, steering, _ = steered
    left = [Job("0001", {}, ""), Job("0002", {}, "")]
    searcher = _JobSearcher([], lambda: left.pop(0) if left else None, Resources(), None, recorder.skips)
    leave_request(recorder.run, StopTrial(trial_id="0001"))
    look(steering)
    handed = searcher.suggest("a")
    assert handed
    assert json.loads(handed["job"])["trial_id"] == "0002"
    assert recorder.state.trials["0001"].status == "stopped"


def test_a_link_in_the_place_of_the_requests_is_refused(steered: tuple[Recorder, Steering, list[str]]) -> None:
    recorder = steered[0]
    elsewhere = recorder.run.path.parent / "elsewhere"
    elsewhere.mkdir()
    recorder.run.requests.symlink_to(elsewhere)
    with pytest.raises(InputError, match="is a link"):
        leave_request(recorder.run, EndRun())
    assert list(elsewhere.iterdir()) == []


def test_the_end_of_a_run_is_a_halt_to_be_resumed(steered: tuple[Recorder, Steering, list[str]]) -> None:
    recorder, steering, _ = steered
    assert not steering.brake()
    leave_request(recorder.run, EndRun())
    look(steering)
    assert steering.brake()
    assert steering.brake.halt
    assert steering.brake.halt.code == ExitCode.UNFINISHED
    assert [event["event"] for event in read_ledger(recorder.run.ledger)][-1] == "end_requested"


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b'{"kind": "end"}', b'{"kind": "stop_trial"}', b'{"kind": "stop_trial", "trial_id": 3}',
        b'{"kind": "stop_trial", "trial_id": "../0001"}', b'{"kind": "end_run", "more": 1}', b" " * 9000 + b"{}",
    ],
)  # fmt: skip
def test_a_file_that_is_no_request_changes_nothing(
    content: bytes, steered: tuple[Recorder, Steering, list[str]]
) -> None:
    recorder, steering, said = steered
    before = recorder.run.ledger.read_bytes()
    recorder.run.requests.mkdir()
    (recorder.run.requests / "1.json").write_bytes(content)
    look(steering)
    assert (recorder.run.ledger.read_bytes(), said, steering.brake()) == (before, [], False)
    assert list(recorder.run.requests.iterdir()) == []


def test_a_link_and_a_request_of_an_earlier_time_are_dropped(steered: tuple[Recorder, Steering, list[str]]) -> None:
    recorder, steering, _ = steered
    elsewhere = recorder.run.path / "elsewhere.json"
    elsewhere.write_text('{"kind": "end_run"}')
    recorder.run.requests.mkdir()
    (recorder.run.requests / "1.json").symlink_to(elsewhere)
    leave_request(recorder.run, EndRun())
    steering.began = time.time() + 60
    look(steering)
    assert not steering.brake()
    assert elsewhere.exists()
    assert list(recorder.run.requests.iterdir()) == []


def test_the_driver_looks_at_each_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The heartbeat that Tune's callback gives is where requests are looked for."""
    from sweeps.running import execution, tuner

    found: list[object] = []
    monkeypatch.setattr(tuner, "run_trials", lambda *arguments: found.extend(arguments[7]))
    run, plan = begin(tmp_path, SWEEP)
    state = read_state(run.ledger)
    console, notifier = SimpleNamespace(), Notifier(None, run, print)
    one = execution._Execution(SWEEP, plan, run, Settings(quiet=True), console, Interrupt(), 0.0, notifier)  # type: ignore[arg-type]
    brake, watch = Brake(Interrupt(), Settings(), state, 0.0), SimpleNamespace(check=lambda: None)
    one._train(state, run.metadata(), SWEEP.resources, brake, None, watch)  # type: ignore[arg-type]
    assert any(getattr(step, "__self__", None).__class__ is Steering for step in found)


def test_a_folder_or_a_request_that_the_disk_refuses_ends_no_run(
    steered: tuple[Recorder, Steering, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder, steering, said = steered
    leave_request(recorder.run, StopTrial(trial_id="0001"))

    def refuse(*of: Any, **named: Any) -> None:
        raise PermissionError("another user's")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "iterdir", refuse)
        look(steering)
    assert said == []
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse)
        look(steering)
        look(steering)
    assert said == ["trial 0001 is stopped by request"]
    assert list(recorder.run.requests.iterdir())
