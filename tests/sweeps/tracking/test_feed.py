"""The feed from a ledger to a tracker: all of it, in order, and again only what a failure or a kill interrupted."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from ray import tune

from analysis.runs.run_folder import RunFolder
from search_spaces.definition import Asha, Sweep
from sweeps.planning.command import Command
from sweeps.planning.settings import Settings
from sweeps.record.state import read_state
from sweeps.trackers.table import check_trackers, make_tracker, read_spec
from sweeps.trackers.tensorboard_pages import complete
from sweeps.trackers.tracker import RunEnding, TrackedEpoch, TrackedRun, TrackedTrial
from sweeps.tracking import follow
from sweeps.tracking.companions import Companions
from sweeps.tracking.feed import Feed
from sweeps.tracking.follow import Files, Follower
from sweeps.tracking.position import Position, PositionFile
from tests.conftest import ROOT
from tests.support.played_runs import Killed, begin, noisy, play, resume
from trainables.errors import InputError

SWEEP = Sweep(
    question="Which rate?",
    scientific={"activation": tune.grid_search(["relu", "tanh"])},
    nuisance={"lr": tune.grid_search([0.001, 0.01, 0.5])},
    fixed={"dataset": "digits", "model": "mlp", "hidden_dims": [8], "epochs": 4},
    seeds=(0, 1),
    scheduler=Asha(grace=1, reduction=2),
)


@dataclass
class Kept:
    """Keeps what it is given. fail_at: numbers of the calls that fail."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)
    fail_at: set[int] = field(default_factory=set)
    count: int = 0
    written: list[tuple[Any, ...]] = field(default_factory=list)

    def _take(self, *what: Any) -> None:
        self.count += 1
        if self.count in self.fail_at:
            raise ConnectionError("gone")
        self.calls.append(what)

    def begin(self, run: TrackedRun) -> None:
        self._take("begin", run.sweep)

    def begin_trial(self, trial: TrackedTrial) -> None:
        self._take("begin_trial", trial.trial_id)

    def epoch(self, trial: TrackedTrial, epoch: TrackedEpoch) -> None:
        self._take("epoch", trial.trial_id, epoch.number, epoch.means["val_auc"])

    def end_trial(self, trial: TrackedTrial, status: str, reason: str, time: datetime) -> None:
        self._take("end_trial", trial.trial_id, status)

    def flush(self) -> None:
        self.written += self.calls
        self.calls = []

    def end(self, ending: RunEnding) -> None:
        self._take("end", ending.status, ending.best)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    run, plan = begin(tmp_path_factory.mktemp("results"), SWEEP)
    play(run, SWEEP, plan, noisy)
    return run


def expected(run: RunFolder) -> dict[str, list[Any]]:
    """Return what a tracker should have of each trial: its means, and how it ended."""
    trials = read_state(run.ledger).trials.values()
    return {t.trial_id: [[mean["val_auc"] for mean in t.means], t.status] for t in trials}


def got(calls: list[tuple[Any, ...]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for kind, *rest in calls:
        if kind == "begin_trial":
            found.setdefault(rest[0], [[], ""])
        elif kind == "epoch":
            values = found[rest[0]][0]
            assert len(values) >= rest[1] - 1, "an epoch was left out"
            values[rest[1] - 1 :] = [rest[2]]
        elif kind == "end_trial":
            found[rest[0]][1] = rest[1]
    return found


def test_a_tracker_gets_every_epoch_and_every_ending(played: RunFolder) -> None:
    kept = Kept()
    feed = Feed(played, Position(), lambda: kept, lambda position: None)
    assert feed.step()
    assert not feed.step()
    feed.end([], {})
    assert got(kept.written) == expected(played)
    assert kept.written[0] == ("begin", "s")
    best = max(value for values, _ in expected(played).values() for value in values if value is not None)
    assert kept.written[-1] == ("end", "completed", pytest.approx(best))


@pytest.mark.parametrize("fail_at", [{1}, {2}, {5, 9, 30}, {40}])
def test_what_a_failure_interrupts_comes_again_and_nothing_is_left_out(played: RunFolder, fail_at: set[int]) -> None:
    kept, position = Kept(fail_at=fail_at), Position()
    feed = Feed(played, position, lambda: kept, lambda position: None)
    failures = 0
    while True:
        try:
            feed.step()
            break
        except ConnectionError:
            failures += 1
            kept.calls = []
    assert failures == len([number for number in fail_at if number <= kept.count])
    assert got(kept.written) == expected(played)


def test_a_position_goes_on_where_it_was_and_another_ledger_begins_anew(tmp_path: Path) -> None:
    run, plan = begin(tmp_path, SWEEP)
    with pytest.raises(Killed):
        play(run, SWEEP, plan, noisy, kill_after=5)
    first, second = Kept(), Kept()
    file = PositionFile(run, read_spec("a.b:C"))
    with file.held() as position:
        Feed(run, position, lambda: first, file.save).step()
        with pytest.raises(InputError, match="another process"), PositionFile(run, read_spec("a.b:C")).held():
            pass
    play(run, SWEEP, resume(run, SWEEP), noisy)
    with file.held() as position:
        Feed(run, position, lambda: second, file.save).step()
    epochs = [call[1:3] for call in first.written + second.written if call[0] == "epoch"]
    assert len(epochs) == len(set(epochs)) == sum(len(values) for values, _ in expected(run).values())
    run.ledger.write_bytes(run.ledger.read_bytes().replace(b'"time":"202', b'"time":"201'))
    with file.held() as position:
        assert position == Position()


def test_a_run_that_cannot_be_written_is_refused_in_a_line(played: RunFolder, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "s" / "run")
    run.path.mkdir(parents=True)
    run.trackers.write_text("a file where the folder should be")
    with pytest.raises(InputError, match="cannot be written"), PositionFile(run, read_spec("mlflow")).held():
        pass


def test_the_past_of_a_trial_is_what_was_sent_before(tmp_path: Path) -> None:
    run, plan = begin(tmp_path, SWEEP)
    with pytest.raises(Killed):
        play(run, SWEEP, plan, noisy, kill_after=3)
    file, pasts = PositionFile(run, read_spec("a.b:C")), []
    with file.held() as position:
        Feed(run, position, Kept, file.save).step()
    play(run, SWEEP, resume(run, SWEEP), noisy)

    class Remembers(Kept):
        def begin_trial(self, trial: TrackedTrial) -> None:
            pasts.append((trial.trial_id, [epoch.number for epoch in trial.past()]))

    with file.held() as position:
        Feed(run, position, Remembers, file.save).step()
    known = {trial_id: past for trial_id, past in pasts if past}
    assert sum(map(len, known.values())) <= 3
    assert all(past == list(range(1, len(past) + 1)) for past in known.values())
    assert known


OWN = """
import json, os, signal, sys, time
from pathlib import Path

class Mine:
    def __init__(self, target=""):
        self.file = Path(target)
    def begin(self, run):
        pass
    def epoch(self, trial, epoch):
        marker = Path(str(self.file) + ".failed")
        if not marker.exists():
            marker.touch()
            {failure}
        with self.file.open("a") as file:
            file.write(json.dumps([trial.trial_id, epoch.number, epoch.means["val_auc"]]) + "\\n")
"""


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        ("raise RuntimeError('full')", "RuntimeError: full"),
        ("sys.exit(4)", "SystemExit: 4"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "has ended (-9)"),
    ],
    ids=["raises", "exits", "is killed"],
)
def test_a_failing_tracker_is_said_once_and_catches_up(
    played: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sweeps.tracking.companions.FIRST_WAIT", 0.05)
    (tmp_path / "mine.py").write_text(OWN.replace("{failure}", failure))
    lines: list[str] = []
    out = tmp_path / "out.jsonl"
    with Companions(played, [f"mine.py:Mine={out}"], "none", lines.append):
        deadline = time.monotonic() + 60
        # the run goes on until the tracker has caught up
        while not out.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    last = {(row[0], row[1]): row[2] for row in rows}
    wanted = {(t, n + 1): v for t, (values, _) in expected(played).items() for n, v in enumerate(values)}
    assert last == wanted
    assert sum(said in line for line in lines) == 1, lines


def test_a_tracker_that_hangs_is_ended_and_the_run_says_how_to_send_it(
    played: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sweeps.tracking.companions.SILENT_AT_END", 8.0)
    (tmp_path / "mine.py").write_text(OWN.replace("{failure}", "time.sleep(600)"))
    lines: list[str] = []
    with Companions(played, [f"mine.py:Mine={tmp_path / 'out'}"], "none", lines.append):
        pass
    assert any("has not answered" in line for line in lines), lines
    assert "python -m sweeps.track" in lines[-1]


def test_a_killed_command_is_gone_on_with(played: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN.replace("{failure}", "os.kill(os.getpid(), signal.SIGKILL)"))
    out = tmp_path / "out.jsonl"
    words = [sys.executable, "-m", "sweeps.track", str(played.path), "--to", f"mine.py:Mine={out}", "--files", "none"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    first, second, third = (
        subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True) for _ in range(3)
    )
    assert first.returncode == -signal.SIGKILL
    assert (second.returncode, third.returncode) == (0, 0), second.stderr + third.stderr
    rows = out.read_text().splitlines()
    assert len(rows) == len(set(rows)) == sum(len(values) for values, _ in expected(played).values())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mlfow", "did you mean 'mlflow'"),
        ("mlflow=", "mlflow= and what follows"),
        ("wandb=a b", "wandb=PROJECT"),
        ("mlflow=somewhere", "write a URI"),
        ("mine.py:Nothing", "no tracker"),
        ("mine.py:Needs", "may ask for target alone"),
        ("mine.py:Mine=x", "takes no target"),
        ("mine.py:Aimed", "Aimed=TARGET"),
        ("mine.py:Absent", "Absent"),
        ("absent.py:Mine", "no such file"),
    ],
)
def test_a_tracker_that_cannot_be_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code = """
        class Nothing: pass
        class Needs:
            def __init__(self, secret): pass
            def epoch(self, trial, epoch): pass
        class Aimed:
            def __init__(self, target): pass
            def epoch(self, trial, epoch): pass
        class Mine:
            def epoch(self, trial, epoch): pass
    """
    (tmp_path / "mine.py").write_text(textwrap.dedent(code))
    with pytest.raises(InputError, match=said):
        check_trackers((text,))


@pytest.mark.parametrize("uri", ["https://me:s3cret@host/", "postgresql+psycopg2://me:s3cret@host/db"])
def test_a_password_is_refused_and_not_repeated(uri: str) -> None:
    """The command is kept in run.json, printed, and seen in the list of processes."""
    pytest.importorskip("mlflow")
    with pytest.raises(InputError, match="no password") as raised:
        check_trackers((f"mlflow={uri}",))
    assert "s3cret" not in str(raised.value)


def test_options_of_a_command_name_trackers_once() -> None:
    assert Command(sweep="smoke", track=("mlflow", "wandb=offline")).words()[1:] == [
        "--track", "mlflow", "--track", "wandb=offline",
    ]  # fmt: skip
    for wrong in ({"track": ("nothing",)}, {"track": ("mlflow", "mlflow")}, {"track_files": "pictures"}):
        with pytest.raises(InputError):
            Settings(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["report.html", "trackers", "tensorboard", "trials/private"])
def test_a_run_with_a_link_that_leads_out_of_it_is_neither_sent_nor_written_to(name: str, tmp_path: Path) -> None:
    """A file of the user's, or a folder, behind a name of somebody else's run."""
    run, plan = begin(tmp_path / "results", SWEEP)
    play(run, SWEEP, plan, noisy)
    private = tmp_path / "private"
    private.mkdir()
    (private / "key").write_text("secret")
    shutil.rmtree(run.path / name, ignore_errors=True)
    (run.path / name).symlink_to(private / "key" if name.endswith("html") else private)
    follower = Follower(run, read_spec("a.b:C"), Files(), lambda line: None, lambda seconds: False)
    with pytest.raises(InputError, match="leads out of the run"):
        follower.follow()
    with pytest.raises(InputError, match="leads out of the run"):
        complete(run)
    assert [path.name for path in private.iterdir()] == ["key"]


def test_samples_of_the_machine_are_not_read_at_every_look(played: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """They grow with the run, and a look comes every second."""
    reads: list[RunFolder] = []
    monkeypatch.setattr(follow, "read_samples", lambda run: reads.append(run) or [])
    monkeypatch.setattr(follow, "make_tracker", lambda spec, results: Kept())
    looks = iter([True] * 50)
    Follower(played, read_spec("a.b:D"), Files(), lambda line: None, lambda seconds: next(looks, False)).follow()
    # at the first look, and at the end
    assert len(reads) == 2


def send(run: RunFolder, text: str, kinds: tuple[str, ...] = ("report", "figures", "weights")) -> None:
    Follower(run, read_spec(text), Files(kinds), lambda line: None, lambda seconds: False).follow()


def test_mlflow_has_a_run_for_each_trial_and_nothing_twice(played: RunFolder, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    uri = f"sqlite:///{tmp_path / 'runs.db'}"
    (played.path / "report.html").write_text("<p>report</p>")
    (played.path / "evaluation" / "0001").mkdir(parents=True, exist_ok=True)

    def content() -> Any:
        client = mlflow.MlflowClient(tracking_uri=uri)
        (experiment,) = [one for one in client.search_experiments() if one.name == "s"]
        runs = client.search_runs([experiment.experiment_id], max_results=1000)
        metrics = {
            run.data.tags.get("trial", "sweep"): [
                m.value for m in client.get_metric_history(run.info.run_id, "val_auc")
            ]
            for run in runs
        }
        return client, {run.data.tags.get("trial", "sweep"): run for run in runs}, len(runs), metrics

    send(played, f"mlflow={uri}")
    client, runs, count, metrics = content()
    wanted = expected(played)
    assert count == len(wanted) + 1
    for trial_id, (values, status) in wanted.items():
        found = runs[trial_id]
        assert metrics[trial_id] == [value for value in values if value is not None]
        assert found.data.tags["status"] == status
        assert found.data.tags["mlflow.parentRunId"] == runs["sweep"].info.run_id
        assert found.info.status == ("FAILED" if status == "diverged" else "FINISHED")
        assert found.data.params["activation"] in ("relu", "tanh")
        assert "seed_1/val_auc" in found.data.metrics
    assert runs["0001"].data.tags["evaluation"].endswith("evaluation/0001")
    assert runs["sweep"].data.tags["mlflow.note.content"] == "Which rate?"
    assert "report.html" in [one.path for one in client.list_artifacts(runs["sweep"].info.run_id)]
    # a kill before the position was written: all comes again
    for path in played.trackers.glob("mlflow-*.json"):
        path.unlink()
    send(played, f"mlflow={uri}")
    assert content()[2:] == (count, metrics)


def test_files_of_wandb_hold_each_trial_once_and_whole(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    from tests.support.wandb_files import history, run_record

    sweep = replace(SWEEP, scheduler="fifo", nuisance={"lr": tune.grid_search([0.001])})
    run, plan = begin(tmp_path, sweep)
    with pytest.raises(Killed):
        play(run, sweep, plan, noisy, kill_after=2)
    file = PositionFile(run, read_spec("wandb=offline"))
    with file.held() as position:
        feed = Feed(run, position, lambda: make_tracker(read_spec("wandb=offline"), tmp_path), file.save)
        feed.step()
        feed.give_up()
    play(run, sweep, resume(run, sweep), noisy)
    send(run, "wandb=offline")
    send(run, "wandb=offline")
    folders = sorted((run.trackers / "wandb").glob("offline-run-*"))
    found = {}
    for folder in folders:
        about, config = run_record(folder)
        assert about.run_group == "run"
        assert about.project == "s"
        name = about.display_name.partition(" ")[0] if about.job_type == "trial" else "sweep"
        assert name not in found
        found[name] = [row["val_auc"] for row in history(folder) if "val_auc" in row]
        assert about.job_type == "sweep" or config["activation"] in ("relu", "tanh")
    assert found == {"sweep": [], **{name: values for name, (values, _) in expected(run).items()}}
    assert not [path for path in (run.trackers / "wandb").iterdir() if path.is_symlink()]


def test_the_tracker_of_the_docs_gets_all(played: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "tracking.md").read_text()
    code = page.partition('```python title="my_tracker.py"\n')[2].partition("```")[0]
    (tmp_path / "my_tracker.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    check_trackers(("my_tracker.py:Mine",))
    send(played, "my_tracker.py:Mine")
    lines = (tmp_path / "values.txt").read_text().splitlines()
    trials = read_state(played.ledger).trials.values()
    assert len(lines) == sum(trial.epoch + 1 for trial in trials)
