"""Jobs on a real Ray head: submitted, followed, left, stopped, resumed; and what is refused before anything is sent."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
import tomllib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from cluster.check_command import parse
from cluster.job_files import PACKAGES, code_files, packed
from cluster.jobs import Jobs, SubmittedJob
from cluster.submit import _show_list, _show_status, complete
from sweeps.record.ledger import read_ledger
from tests.conftest import ROOT
from tests.support.own_parts import write_parts
from tests.support.ray_head import Head
from trainables.errors import InputError
from trainables.user_code.in_use import forget_sources

SWEEP = [
    "activations", "--set", "model=mlp", "--set", "activation=relu,tanh", "--scheduler", "fifo", "--no-report",
    "--no-measure",
]  # fmt: skip
DEADLINE = 120  # seconds
EPOCHS = 80


def submit(head: Head, storage: Path, name: str, *more: str) -> tuple[int, str, str]:
    """As a user who has copied the token and set nothing: that there is one is enough."""
    words = [*SWEEP, "--storage", str(storage), "--name", name, "--address", head.dashboard, *more]
    unset = {name: value for name, value in head.environment.items() if name != "RAY_AUTH_MODE"}
    return replace(head, environment=unset).run("cluster.submit", *words)


def job_of(text: str) -> str:
    return re.findall(r"submitted (\S+):", text)[0]


def test_names_that_others_gave_their_jobs_steer_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    name = "a[/b]\x1b[31m"
    job = SubmittedJob(name, "FAILED", name, name, name, name, 1.0, 2.0, 1)
    _show_list([job], json_=False)
    _show_status(SimpleNamespace(get=lambda job_id: job, log=lambda job_id: ""), name, json_=False)  # type: ignore[arg-type]
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert out.count(r"a[/b]\x1b[31m") >= 5


@pytest.mark.slow
def test_a_job_is_stopped_resumed_left_followed_to_its_end_and_listed(head: Head, tmp_path: Path) -> None:
    more = ["--set", "lr=0.01,0.001", "--epochs", str(EPOCHS), "--seeds", "1"]
    code, out, errors = submit(head, tmp_path, "long", *more)
    assert code == 0, out + errors
    assert re.search(r"sent \d+ files, \d[\d,]* kB", out)
    job, ledger = job_of(out), tmp_path / "activations" / "long" / "ledger.jsonl"
    code, _, errors = submit(head, tmp_path, "long", *more)
    assert code == 2
    assert f"under way as job {job}" in errors
    deadline = time.monotonic() + DEADLINE
    while not (ledger.exists() and ledger.read_text().count('"event":"epoch"') > 10):
        assert time.monotonic() < deadline
        time.sleep(0.05)  # between two looks at the ledger
    code, out, errors = head.run("cluster.submit", "--stop", job, "--address", head.dashboard)
    assert code == 0, out + errors
    assert f"{job}: stopped" in out
    before = Counter(event["event"] for event in read_ledger(ledger))
    assert before["interrupted"] in (1, 2)
    assert (ledger.parent / "trials.parquet").exists()
    job = _leave(head, [*SWEEP, "--storage", str(tmp_path), "--name", "long", *more])
    code, out, errors = head.run("cluster.submit", "--status", job, "--follow", "--address", head.dashboard)
    assert code == 0, out + errors
    assert "resuming: " in out
    assert "4 trials × 1 seed," in out
    ends = [event["trial_id"] for event in read_ledger(ledger) if event["event"] == "completed"]
    assert sorted(ends) == ["0001", "0002", "0003", "0004"]
    epochs = pd.read_parquet(ledger.parent / "epochs.parquet")
    assert epochs.groupby("trial_id")["epoch"].apply(list).map(lambda e: e == list(range(1, EPOCHS + 1))).all()
    assert list(pd.read_parquet(ledger.parent / "trials.parquet")["status"]) == ["completed"] * 4
    assert len(json.loads((ledger.parent / "run.json").read_text())["provenance"]["git"]["commit"]) == 40
    _, shown, _ = head.run("cluster.submit", "--list", "--json", "--address", head.dashboard)
    known = {entry["id"]: entry for entry in json.loads(shown)}
    assert (known[job]["status"], known[job]["exit_code"]) == ("SUCCEEDED", 0)
    assert (known[job]["sweep"], known[job]["run"]) == ("activations", "long")
    assert sorted(entry["status"] for entry in known.values() if entry["run"] == "long") == ["STOPPED", "SUCCEEDED"]


def _leave(head: Head, words: list[str]) -> str:
    """Submit, follow, and press Ctrl-C: the job goes on. Returns its id."""
    process = head.command("cluster.submit", *words, "--address", head.dashboard, "--follow")
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("Running entrypoint"):
            break
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, errors
    job = job_of("".join(lines))
    assert f"the job {job} goes on" in out
    assert f"--status {job} --follow" in out
    return job


@pytest.mark.slow
@pytest.mark.parametrize("token", ["0" * 64, ""], ids=["wrong", "missing"])
def test_a_wrong_token_is_one_line(head: Head, tmp_path: Path, token: str) -> None:
    changes = {"RAY_AUTH_TOKEN": token} if token else {"HOME": str(tmp_path)}
    code, _, errors = head.run("cluster.submit", "--list", "--address", head.dashboard, **changes)
    assert code == 2
    assert errors.startswith("error: the token is missing or wrong")
    assert len(errors.splitlines()) == 1


def test_a_connection_that_is_lost_says_that_the_job_goes_on() -> None:
    """As when the tunnel closes."""

    class Lost:
        async def tail_job_logs(self, job_id: str) -> AsyncIterator[str]:
            yield "first line\n"
            raise RuntimeError("WebSocket connection closed unexpectedly")

    jobs, seen = object.__new__(Jobs), list[str]()
    jobs.address, jobs.client = "http://127.0.0.1:8265", Lost()
    with pytest.raises(InputError, match=r"the job goes on: when it is back, .* --status a --follow"):
        jobs.follow("a", seen.append)
    assert seen == ["first line\n"]


@pytest.mark.slow
def test_an_unknown_job_is_one_line(head: Head) -> None:
    code, _, errors = head.run("cluster.submit", "--status", "nobody", "--address", head.dashboard)
    assert code == 2
    assert "there is no job nobody" in errors


REFUSED = [
    ([], "the first word must be the sweep's name"),
    (["--epochs", "2"], "the first word must be the sweep's name"),
    (["smoke"], "--storage is needed"),
    (["smoke", "--storage", "results"], "give the whole path"),
    (["smoke", "--storage", "/x", "--data-root=data"], "give the whole path"),
    (["smok", "--storage", "/x"], "did you mean 'smoke'"),
    (["smoke", "--storage", "/x", "--epoch", "2"], "--epochs"),
    (["smoke", "--storage", "/x", "--epochs", "two"], "--epochs two: must be a whole number"),
    (["smoke", "--storage", "/x", "--set", "activaton=relu"], "did you mean 'activation'"),
    (["smoke", "--storage", "/x", "--scheduler", "ashaa"], "did you mean 'asha'"),
    (["smoke", "--storage", "/x", "--time-budget", "soon"], "write 90s"),
    (["smoke", "--storage", "/x", "--overrides", "none.yaml"], "cannot be read"),
    (["smoke", "--storage", "/x", "--resume"], "resumed by itself"),
    (["smoke", "--storage", "/x", "--dry-run"], "run it here"),
    (["none.py", "--storage", "/x"], "not a file"),
]


@pytest.mark.parametrize(("words", "reason"), REFUSED)
def test_what_could_not_run_is_refused_before_it_is_sent(words: list[str], reason: str) -> None:
    with pytest.raises(InputError, match=re.escape(reason)):
        complete(words)


def test_a_name_is_made_up() -> None:
    command, about = complete(["smoke", "--storage", "s3://bucket/results"])
    assert command.words() == ["smoke", "--storage", "s3://bucket/results", "--name", about["run"]]
    assert (about["sweep"], about["storage"]) == ("smoke", "s3://bucket/results")


def test_code_travels_and_nothing_else() -> None:
    found = {path.relative_to(ROOT).as_posix() for path in code_files()}
    assert {"sweeps/run.py", "cluster/start.py", "search_spaces/activations.py", "analysis/page/style.css"} <= found
    assert not [name for name in found if "__pycache__" in name or name.split("/")[0] not in PACKAGES]
    assert not [name for name in found if (ROOT / name).is_symlink()]
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(PACKAGES) == set(build["packages"])


def test_an_installed_package_travels_whole_though_git_ignores_it(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text(".venv/")
    package = tmp_path / ".venv" / "sweeps" / "__pycache__"
    package.mkdir(parents=True)
    (package / "run.pyc").touch()
    (package.parent / "run.py").touch()
    assert [path.name for path in code_files(tmp_path / ".venv")] == ["run.py"]


def test_named_files_travel_under_a_name_of_their_own(tmp_path: Path) -> None:
    mine, overrides = tmp_path / "mine.py", tmp_path / "o.yaml"
    mine.write_text('from sweeps import Sweep\n\nSWEEP = Sweep("?", {"activation": "relu"})\n')
    overrides.write_text("epochs: 2")
    with packed(parse([str(mine), "--overrides", str(overrides), "--epochs", "2"])) as files:
        assert files.words[0] == "given/mine.py"
        assert parse(files.words) == parse(["given/mine.py", "--epochs", "2", "--overrides", "given/o.yaml"])
        assert (files.folder / "given/mine.py").read_text() == mine.read_text()
        assert files.files == len([path for path in files.folder.rglob("*") if path.is_file()])


def test_a_command_to_notify_travels_as_a_file_and_not_in_the_jobs_command(tmp_path: Path) -> None:
    told = tmp_path / "told"
    notify = f"printf 'secret %s' \"$(cat)\" > {told}"
    with packed(parse(["smoke", "--notify", notify])) as files:
        assert "secret" not in " ".join(files.words)
        assert files.files == len([path for path in files.folder.rglob("*") if path.is_file()])
        sent = parse(files.words).notify
        subprocess.run(["/bin/sh", "-c", str(sent)], input=b"{}", cwd=files.folder, check=True)
    assert told.read_text() == "secret {}"


def test_code_of_a_users_own_travels_to_where_the_job_looks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lab").mkdir()
    net, _ = write_parts(tmp_path / "lab")
    Path(net).write_text("from my_parts import Squareplus\n" + Path(net).read_text())
    forget_sources()
    with packed(parse(["smoke", "--set", "model=lab/my_net.py:MyNet", "--set", "model.width=4,8"])) as files:
        assert {path.name for path in (files.folder / "lab").iterdir()} == {"my_net.py", "my_parts.py"}
        assert (files.folder / "lab/my_net.py").read_text() == Path(net).read_text()
    with pytest.raises(InputError, match="only files below this folder are sent"):
        packed(parse(["smoke", "--set", f"model={net}:MyNet"])).__enter__()
    (tmp_path / "sweeps.py").write_text(Path(net).read_text().partition("\n")[2])
    with pytest.raises(InputError, match=r"sweeps.py is a package of ours"):
        packed(parse(["smoke", "--set", "model=sweeps.py:MyNet"])).__enter__()


def test_data_left_in_the_code_is_refused_by_name(tmp_path: Path) -> None:
    package = tmp_path / "trainables"
    package.mkdir()
    (package / "scan.npz").write_bytes(bytes(2_000_000))
    (package / "code.py").write_text("x = 1")
    with (
        pytest.raises(InputError, match=r"trainables/scan.npz \(2.0 MB\)"),
        packed(parse(["smoke"]), tmp_path, limit_mb=1),
    ):
        pass
    with packed(parse(["smoke"]), tmp_path) as files:
        assert files.files == 2
