"""Runs that are kept at a URI: an S3 server on loopback, and a file system that can only rename (fsspec's memory)."""

from __future__ import annotations

import contextlib
import http.server
import io
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest
from ray import tune
from rich.console import Console

from analysis.runs.find import find_run, find_runs, run_to_resume, runs_in
from analysis.runs.remote import Remote, check_writable, open_remote
from analysis.runs.run_folder import RunFolder
from analysis.runs.sync import folder_of, pull, push_back, remote_of, where
from cluster.start import has_begun
from search_spaces.definition import Sweep
from sweeps.messages import print_plan
from sweeps.planning.begin import create_run, resume_run
from sweeps.planning.plan import make_plan
from sweeps.planning.reuse import take_finished
from sweeps.planning.settings import Settings
from sweeps.record.ledger import Ledger, read_ledger
from sweeps.record.state import fold
from sweeps.running import upload as module
from sweeps.running.upload import BackgroundUpload, Upload
from tests.conftest import ROOT
from tests.whole.test_sweep import VOLATILE
from trainables.atomic_files import write_atomically
from trainables.errors import InputError

DEADLINE = 420
NOW = datetime(2026, 1, 1)
GRID = Sweep(
    "?",
    {"activation": tune.grid_search(["relu", "tanh"])},
    {"lr": tune.grid_search([0.1])},
    {"model": "mlp", "epochs": 2},
    scheduler="fifo",
)
COUNT = itertools.count()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of an S3 server with a bucket `kept`."""
    server_module = pytest.importorskip("moto.server")
    made = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    made.start()
    host, port = made.get_host_and_port()
    address = f"http://{host}:{port}"
    urllib.request.urlopen(urllib.request.Request(f"{address}/kept", method="PUT")).close()
    yield address
    made.stop()


@pytest.fixture(autouse=True)
def environment(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keys, the server, and copies of runs in a folder of each test."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "anybody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "anything")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("SWEEPS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "FIRST_WAIT", 0.01)


@pytest.fixture(params=["s3", "fsspec+memory"])
def uri(request: pytest.FixtureRequest) -> str:
    """A place of its own in each file system."""
    return f"{request.param}://kept/place-{next(COUNT)}"


def test_files_are_written_whole_read_listed_and_deleted(uri: str) -> None:
    remote = open_remote(uri)
    check_writable(remote)
    for content in (b"first", b"second one"):
        remote.write("a/b.txt", content)
        assert remote.read("a/b.txt") == content
    remote.write("c.txt", b"")
    assert {name: stamp.size for name, stamp in remote.all_stamps().items()} == {"a/b.txt": 10, "c.txt": 0}
    assert remote.stamps(["a/b.txt", "none"]).keys() == {"a/b.txt"}
    assert list(remote.folders()) == ["a"]
    remote.delete("a/b.txt")
    remote.delete("a/b.txt")
    assert remote.read("a/b.txt") is None
    remote.write("d/e", b"1")
    remote.delete_folder("d")
    assert remote.all_stamps().keys() == {"c.txt"}


def made(uri: str, name: str = "first") -> tuple[RunFolder, Remote]:
    """A run whose first trial has ended and whose second has a checkpoint."""
    plan = make_plan(GRID, None, NOW)
    run = create_run(GRID, "s", plan, Settings(storage=uri, name=name), NOW)
    remote = remote_of(run)
    assert remote
    ledger = Ledger(run.ledger)
    for trial in plan.trials:
        start(run, ledger, trial.trial_id)
    end(run, ledger, plan.trials[0].trial_id)
    ledger.close()
    return run, remote


def trial_folder(run: RunFolder, trial_id: str) -> Path:
    return run.trial(fold(read_ledger(run.ledger)).trials[trial_id].folder).path


def start(run: RunFolder, ledger: Ledger, trial_id: str) -> None:
    """As a worker and the driver do it: files, then the line of the ledger that speaks of them."""
    attempt = trial_folder(run, trial_id) / "attempt-1"
    (attempt / "seed_0").mkdir(parents=True)
    (attempt / "checkpoint.pt").write_bytes(b"state " * 9)
    (attempt / "seed_0" / "best_model.safetensors").write_text(f"weights of {trial_id}")
    ledger.append("started", trial_id=trial_id)
    values = {"attempt": 1, "memory_mb": 1.0, "replicates": [{}], "mean": {"val_auc": 0.5}}
    ledger.append("epoch", trial_id=trial_id, epoch=1, **values)
    ledger.append("checkpoint", trial_id=trial_id, epoch=1, attempt=1)


def end(run: RunFolder, ledger: Ledger, trial_id: str) -> None:
    folder = trial_folder(run, trial_id)
    shutil.move(folder / "attempt-1" / "seed_0", folder / "seed_0")
    shutil.rmtree(folder / "attempt-1")
    ledger.append("completed", trial_id=trial_id, reason="")


def assert_ledger_speaks_of_what_is_there(remote: Remote, here: RunFolder) -> None:
    """Every trial that the ledger there has ended has its weights there; one with a checkpoint has that, or weights."""
    lines = remote.read("ledger.jsonl")
    if lines is None:
        return
    assert here.ledger.read_bytes().startswith(lines)
    copy = here.path / ".there.jsonl"
    copy.write_bytes(lines)
    names = set(remote.all_stamps())
    for trial in fold(read_ledger(copy)).trials.values():
        ended, going = (f"trials/{trial.folder}/{place}seed_0/best_model.safetensors" for place in ("", "attempt-1/"))
        if trial.ended:
            assert ended in names
        elif trial.epoch:
            assert {ended, going} & names


def test_wherever_an_upload_breaks_off_the_ledger_speaks_only_of_what_is_there(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, remote = made(uri)
    plan = fold(read_ledger(run.ledger))
    write, left = Remote.write, 0

    def breaking(self: Remote, name: str, content: bytes) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise ConnectionAbortedError
        write(self, name, content)

    monkeypatch.setattr(Remote, "write", breaking)
    upload = Upload(run, remote)
    upload.begin()
    ledger = Ledger(run.ledger)
    for number in range(30):
        left = number % 5
        with contextlib.suppress(ConnectionAbortedError):
            upload.round()
        assert_ledger_speaks_of_what_is_there(remote, run)
        if number == 12:
            end(run, ledger, list(plan.trials)[1])
    ledger.close()
    assert remote.read("ledger.jsonl") == run.ledger.read_bytes()
    assert not [name for name in remote.all_stamps() if "attempt-" in name]


def test_the_ledger_is_no_longer_than_it_was_when_the_round_began(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run, remote = made(uri)
    before = run.ledger.read_bytes()
    write = Remote.write

    def growing(self: Remote, name: str, content: bytes) -> None:
        with run.ledger.open("ab") as file:
            file.write(b'{"event":"late"}\n')
        write(self, name, content)

    upload = Upload(run, remote)
    upload.begin()
    monkeypatch.setattr(Remote, "write", growing)
    upload.round()
    assert remote.read("ledger.jsonl") == before


@pytest.mark.parametrize("moment", ["before the ledger is read", "while files are sent"])
def test_checkpoints_there_are_those_of_the_ledger_there(
    uri: str, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """A worker that trains on in the middle of a round: what is there belongs together, so that a resume can use it."""
    run, remote = made(uri)
    checkpoint = trial_folder(run, "0002") / "attempt-1" / "checkpoint.pt"
    epochs = itertools.count(2)
    trains = [True]

    def train() -> None:
        if trains and trains.pop():
            epoch = next(epochs)
            write_atomically(checkpoint, b"state %d" % epoch)
            with run.ledger.open("a") as file:
                file.write(json.dumps({"event": "epoch", "trial_id": "0002", "epoch": epoch}) + "\n")

    write, read = Remote.write, module.whole_lines
    if moment == "while files are sent":
        monkeypatch.setattr(Remote, "write", lambda self, name, content: (train(), write(self, name, content))[1])
    else:
        monkeypatch.setattr(module, "whole_lines", lambda path: (train(), read(path))[1])
    train()
    upload = Upload(run, remote)
    trains.append(True)
    upload.begin()
    for _ in range(5):
        trains[:] = [True]
        upload.round()
        last = json.loads((remote.read("ledger.jsonl") or b"").splitlines()[-1])
        name = checkpoint.relative_to(run.path).as_posix()
        assert remote.read(name) == b"state %d" % last["epoch"]
    assert next(epochs) > 5


def test_only_what_changed_is_sent_again(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run, _ = made(uri)
    sent: list[str] = []
    write = Remote.write
    monkeypatch.setattr(Remote, "write", lambda self, name, content: (sent.append(name), write(self, name, content))[1])
    with BackgroundUpload(run):
        pass
    assert sent[-1] == "ledger.jsonl"
    assert "run.json" in sent
    sent.clear()
    run.trials_table.write_bytes(b"new")
    with BackgroundUpload(run):
        pass
    assert sent == ["trials.parquet"]


def test_a_run_goes_on_on_another_machine(uri: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run, remote = made(uri)
    with BackgroundUpload(run):
        pass
    monkeypatch.setenv("SWEEPS_CACHE", str(tmp_path / "another"))
    assert has_begun(uri, "s", "first")
    assert not has_begun(uri, "s", "second")
    with pytest.raises(InputError, match="exists: add --resume"):
        create_run(GRID, "s", make_plan(GRID, None, NOW), Settings(storage=uri, name="first"), NOW)
    shown = find_run("latest", uri, whole=False)
    assert not list(shown.path.rglob("*.safetensors"))
    there = find_run(f"{uri}/s/first")
    assert there == shown
    assert where(there) == f"{uri}/s/first"
    files = {path.relative_to(run.path) for path in run.path.rglob("*") if path.is_file()}
    assert files == {path.relative_to(there.path) for path in there.path.rglob("*") if path.is_file()}
    resumed = resume_run(there, GRID, make_plan(GRID, None, NOW))
    assert (resumed.finished, resumed.unfinished) == (1, 1)
    ledger = Ledger(there.ledger)
    end(there, ledger, "0002")
    ledger.close()
    with BackgroundUpload(there) as second:
        pass
    assert not second.problems
    monkeypatch.setenv("SWEEPS_CACHE", str(tmp_path / "cache"))
    pull(run, remote, whole=True)
    assert fold(read_ledger(run.ledger)).ended
    assert (trial_folder(run, "0002") / "seed_0" / "best_model.safetensors").read_text() == "weights of 0002"


def test_a_run_that_only_this_machine_has_is_named_and_goes_on(uri: str) -> None:
    """The storage was lost, or the first upload failed: without a word the work would be begun anew."""
    run, remote = made(uri)
    for look in (
        lambda: find_run("first", uri),
        lambda: find_run(f"{uri}/s/first"),
        lambda: run_to_resume("s", uri, "", None),
    ):
        with pytest.raises(InputError, match="only this machine has") as said:
            look()
        assert str(run.path) in str(said.value)
    with pytest.raises(InputError) as other:
        find_run(f"{uri}/s/second")
    assert "only this machine" not in str(other.value)
    found = run_to_resume("s", uri, str(run.path), None)
    with BackgroundUpload(found):
        pass
    assert remote.read("ledger.jsonl") == run.ledger.read_bytes()
    assert find_run("first", uri) == run


def test_a_bucket_that_does_not_exist_is_no_empty_one() -> None:
    for look in (lambda: list(runs_in("s3://none-such/folder")), lambda: find_run("s3://none-such/folder/s/first")):
        with pytest.raises(InputError, match="bucket none-such does not exist"):
            look()
    assert not list(runs_in("s3://kept/nothing-here-yet"))


def test_what_only_this_machine_has_wins_and_a_run_that_went_on_elsewhere_puts_it_aside(
    uri: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, remote = made(uri)
    with BackgroundUpload(run):
        pass
    with run.ledger.open("ab") as file:
        file.write(b'{"time":"","event":"here"}\n')
    run.trials_table.write_bytes(b"here")
    assert find_run("first", uri).ledger.read_bytes().endswith(b'"here"}\n')
    assert run.trials_table.read_bytes() == b"here"
    remote.write("ledger.jsonl", (remote.read("ledger.jsonl") or b"") + b'{"time":"","event":"there"}\n')
    with pytest.raises(InputError, match="another command goes on with this run"):
        BackgroundUpload(run).__enter__()
    assert find_run("first", uri).ledger.read_bytes().endswith(b'"there"}\n')
    assert "what only this machine had is kept in" in capsys.readouterr().err
    aside = next(run.path.parent.glob(".first.*"))
    assert (aside / "trials.parquet").read_bytes() == b"here"


def test_two_drivers_of_one_run_do_not_overwrite_each_other(uri: str) -> None:
    run, remote = made(uri)
    with BackgroundUpload(run) as first:
        remote.write("ledger.jsonl", b"of another driver\n")
        with run.ledger.open("ab") as file:
            file.write(b'{"time":"","event":"here"}\n')
    assert "another command goes on" in first.problems[0]
    assert str(run.path) in first.problems[0]
    assert remote.read("ledger.jsonl") == b"of another driver\n"


def test_an_answer_that_is_lost_is_not_another_driver(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run, remote = made(uri)
    write, lost = Remote.write, ["ledger.jsonl"]

    def losing(self: Remote, name: str, content: bytes) -> None:
        write(self, name, content)
        if name in lost:
            lost.remove(name)
            raise ConnectionAbortedError

    monkeypatch.setattr(Remote, "write", losing)
    upload = Upload(run, remote)
    upload.begin()
    with pytest.raises(ConnectionAbortedError):
        upload.round()
    upload.round()
    assert remote.read("ledger.jsonl") == run.ledger.read_bytes()


def test_an_upload_that_fails_in_the_end_names_the_copy_and_a_resume_sends_it(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, remote = made(uri)
    write = Remote.write
    said: list[str] = []
    monkeypatch.setattr(module, "PAUSE", 0.01)
    with BackgroundUpload(run, said.append) as failing:
        run.trials_table.write_bytes(b"table")

        def refuse(self: Remote, name: str, content: bytes) -> None:
            raise OSError("no room")

        monkeypatch.setattr(Remote, "write", refuse)
        deadline = time.monotonic() + DEADLINE
        run.epochs_table.write_bytes(b"table")
        while not said and time.monotonic() < deadline:
            time.sleep(0.01)  # between two looks
    assert len(said) == 1
    assert "no room" in said[0]
    assert "Nothing is lost" in failing.problems[0]
    assert str(run.path) in failing.problems[0]
    monkeypatch.setattr(Remote, "write", write)
    with BackgroundUpload(run) as again:
        pass
    assert not again.problems
    assert remote.read("epochs.parquet") == b"table"


def test_runs_there_are_listed_and_reused_and_what_analysis_writes_goes_back(uri: str) -> None:
    run, remote = made(uri)
    with BackgroundUpload(run):
        pass
    shutil.rmtree(folder_of(uri))
    assert [found.run_id for found in runs_in(uri)] == ["first"]
    assert [found.run_id for found in find_runs([uri])] == ["first"]
    shutil.rmtree(folder_of(uri))
    plan = make_plan(GRID, None, NOW)
    second = create_run(GRID, "s", plan, Settings(storage=uri, name="second"), NOW)
    assert take_finished(second, plan.trials, uri).count == 1
    assert (trial_folder(second, "0001") / "seed_0" / "best_model.safetensors").read_text() == "weights of 0001"
    run.weights_table.write_bytes(b"measured")
    push_back(run)
    assert remote.read("weights.parquet") == b"measured"


def test_a_dry_run_counts_what_has_finished_there_and_fetches_no_weights(uri: str) -> None:
    run, _ = made(uri)
    with BackgroundUpload(run):
        pass
    shutil.rmtree(folder_of(uri))
    console = Console(file=io.StringIO(), width=120)
    print_plan(console, GRID, make_plan(GRID, None, NOW), Settings(storage=uri))
    assert "1 of 2 have finished in earlier runs" in console.file.getvalue()  # type: ignore[attr-defined]
    assert not list(folder_of(uri).rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("s3://none-such/folder", "does not exist"),
        ("s3://kept/x?endpoint_override=http://127.0.0.1:1&scheme=http", "connect"),
        ("s3://kept/x?colour=red", "colour"),
        ("s3://me:secret@kept/x", "must hold no password"),
        ("s3://kept/x?secret_key=secret&access_key=me", "must hold no password"),
        ("strange://kept/x", "strange"),
        ("dropbox://kept/x", "cannot be opened"),
    ],
)
def test_storage_that_cannot_be_used_is_one_line_before_anything_is_made(bad: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        create_run(GRID, "s", make_plan(GRID, None, NOW), Settings(storage=bad, name="first"), NOW)
    assert why in str(refused.value)
    assert "secret@" not in str(refused.value)
    assert "\n" not in str(refused.value)
    written = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert not [path for path in written if path.name == "run.json" or b"secret" in path.read_bytes()]


def test_a_file_uri_is_a_folder(tmp_path: Path) -> None:
    run = create_run(GRID, "s", make_plan(GRID, None, NOW), Settings(storage=tmp_path.as_uri(), name="first"), NOW)
    assert run.path == tmp_path / "s" / "first"
    assert remote_of(run) is None
    assert find_run("first", tmp_path.as_uri()) == run


# each machine would measure for itself whether to train replicates together, which changes last digits
SWEEP = [
    "activations", "--set", "activation=relu,tanh", "--set", "lr=0.01", "--set", "model=mlp", "--seeds", "2",
    "--epochs", "16", "--set", "batch_size=8", "--scheduler", "fifo", "--quiet", "--fuse", "off",
]  # fmt: skip


def command(module: str, *words: str) -> list[str]:
    return [sys.executable, "-m", module, *words]


def under_way(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(*words: str) -> str:
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_sweep_killed_on_one_machine_is_finished_on_another(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second knows the bucket alone; the tables are those of a run in a folder, and every command reads them."""
    finish(*command("sweeps.run", *SWEEP, "--storage", str(tmp_path / "calm"), "--name", "calm"))
    monkeypatch.delenv("AWS_ENDPOINT_URL")  # the other way to name a server
    uri = f"s3://kept/sweeps?endpoint_override={server}&scheme=http"
    first = under_way(*command("sweeps.run", *SWEEP, "--storage", uri, "--name", "killed"))
    there = open_remote(uri).below("activations", "killed")
    deadline = time.monotonic() + DEADLINE
    while b'"event":"checkpoint"' not in (there.read("ledger.jsonl") or b""):
        assert first.poll() is None, first.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)  # between two looks
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert any(name.endswith("checkpoint.pt") for name in there.all_stamps())
    monkeypatch.setenv("SWEEPS_CACHE", str(tmp_path / "another"))
    words = command("cluster.start", *SWEEP, "--storage", uri, "--name", "killed")
    out = finish(*words)
    assert "resuming" in out
    assert "s3://kept/sweeps/activations/killed" in out
    monkeypatch.setenv("SWEEPS_CACHE", str(tmp_path / "third"))
    run_uri = f"s3://kept/sweeps/activations/killed?endpoint_override={server}&scheme=http"
    assert "relu" in finish(*command("sweeps.show", run_uri))
    assert "killed" in finish(*command("sweeps.list", "runs", "--storage", uri))
    assert "relu" in finish(*command("analysis.compare", "latest", "--storage", uri))
    finish(*command("sweeps.pull", run_uri, "--into", str(tmp_path / "home")))
    home, calm = tmp_path / "home" / "activations" / "killed", tmp_path / "calm" / "activations" / "calm"
    for name in ("trials", "epochs", "weights"):
        ours, theirs = (
            pd.read_parquet(folder / f"{name}.parquet").drop(columns=VOLATILE, errors="ignore")
            for folder in (home, calm)
        )
        pd.testing.assert_frame_equal(ours, theirs, check_exact=True)
    assert sorted(os.listdir(home / "trials")) == sorted(
        folder.rsplit("/", 1)[-1] for folder in open_remote(run_uri).below("trials").folders()
    )
    assert not [name for name in open_remote(run_uri).all_stamps() if "attempt-" in name]


class Refusing(http.server.BaseHTTPRequestHandler):
    """A server that knows nobody's keys."""

    def do_POST(self) -> None:
        body = b"<Error><Code>InvalidAccessKeyId</Code><Message>Nobody has this key.</Message></Error>"
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_PUT = do_GET = do_POST

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def test_keys_that_are_refused_are_one_line() -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as refusing:
        threading.Thread(target=refusing.serve_forever, daemon=True).start()
        uri = f"s3://kept/x?endpoint_override=http://127.0.0.1:{refusing.server_port}&scheme=http&region=us-east-1"
        with pytest.raises(InputError, match=r"Nobody has this key.*check .* the credentials"):
            create_run(GRID, "s", make_plan(GRID, None, NOW), Settings(storage=uri, name="first"), NOW)
        refusing.shutdown()
