"""Names and places: a run is found by its exact place, and no name leads out of the folder that it is joined to."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.runs import sync
from analysis.runs.find import find_run, find_runs, new_run, refuse_other_storage, run_to_resume
from analysis.runs.remote import Remote
from analysis.runs.run_folder import DEFAULT_STORAGE, RunFolder, plain_name
from cluster.start import command
from cluster.submit import complete, same_storage
from search_spaces.find import find_sweep
from search_spaces.sweep_json import to_data
from sweeps.planning.reuse import _copy_files
from sweeps.planning.settings import Settings
from trainables.errors import InputError

ABOUT = {"metric": "val_auc", "mode": "max", "roles": {"scientific": {}, "nuisance": {}, "fixed": {}}}
BAD = ["a/b", "../x", "..", ".", "", " ", "/abs", ".hidden", "-x", "a\\b", "a\nb", "a\0b", "\x1b[31mred", "x" * 300]


def make(storage: Path, sweep: str, name: str, *, ledger: bool = True) -> RunFolder:
    run = RunFolder(storage / sweep / name)
    run.path.mkdir(parents=True)
    run.description.write_text(json.dumps({**ABOUT, "sweep": sweep, "run_id": name}))
    if ledger:
        run.ledger.touch()
    return run


@given(st.text())
def test_a_plain_name_stays_in_its_folder(name: str) -> None:
    try:
        plain_name(name, "the name")
    except InputError:
        return
    path = os.path.join("/folder", name)
    assert os.path.normpath(path) == path
    assert os.path.dirname(path) == "/folder"
    assert len(os.fsencode(name)) <= 200


@pytest.mark.parametrize("name", BAD)
def test_every_door_refuses_what_is_no_plain_name(name: str, tmp_path: Path) -> None:
    doors: list[Callable[[], object]] = [
        lambda: Settings(name=name),
        lambda: new_run(tmp_path, "smoke", name),
        lambda: new_run(tmp_path, name, "first"),
        lambda: RunFolder(tmp_path).trial(name),
        lambda: complete(["smoke", "--storage", "/nfs", f"--name={name}"]),
        lambda: command(["smoke", "--storage", str(tmp_path), f"--name={name}"]),
    ]
    for door in doors:
        with pytest.raises(ValueError, match=r"take letters|means the newest run|are needed|is empty"):
            door()


def test_latest_is_no_name_of_a_run() -> None:
    with pytest.raises(ValueError, match="means the newest run"):
        Settings(name="latest")


def test_a_run_is_resumed_by_its_exact_place(tmp_path: Path) -> None:
    first = make(tmp_path, "activations", "first")
    os.utime(make(tmp_path, "smoke", "first").description, (2e9, 2e9))  # the newest of that name
    assert run_to_resume("activations", tmp_path, "", "first") == first
    assert run_to_resume("activations", tmp_path, "", None) == first
    with pytest.raises(InputError, match=r"no run .*activations/second"):
        run_to_resume("activations", tmp_path, "", "second")
    with pytest.raises(InputError, match="is a run of the sweep smoke, not of activations"):
        run_to_resume("activations", tmp_path, "smoke/first", None)
    with pytest.raises(InputError, match="2 runs are called 'first': say smoke/first or activations/first"):
        find_run("first", tmp_path)
    assert find_run("activations/first", tmp_path) == first


def test_a_storage_that_has_no_effect_beside_a_runs_place_is_refused(tmp_path: Path) -> None:
    run = make(tmp_path / "one", "activations", "first")
    for storage in (DEFAULT_STORAGE, tmp_path / "one", str(tmp_path / "two" / ".." / "one")):
        refuse_other_storage(run, storage)
    for storage in (tmp_path / "two", "memory://other"):
        with pytest.raises(InputError, match=r"which is not in --storage .*: leave --storage out"):
            refuse_other_storage(run, storage)


def test_a_run_that_is_repeated_on_a_cluster_is_resumed_by_its_own_sweeps_name(tmp_path: Path) -> None:
    earlier = make(tmp_path, "smoke", "earlier")
    about = {**ABOUT, "sweep": "smoke", "definition": to_data(find_sweep("smoke")[1])}
    earlier.description.write_text(json.dumps(about))
    words = [str(earlier.path), "--name", "again", "--storage", str(tmp_path)]
    assert "--resume" not in command(words)
    make(tmp_path, "smoke", "again")
    assert command(words)[-1] == "--resume"


def test_a_start_that_was_killed_is_never_the_newest_run(tmp_path: Path) -> None:
    whole = make(tmp_path, "smoke", "whole")
    os.utime(make(tmp_path, "smoke", "empty", ledger=False).description, (2e9, 2e9))
    assert find_run("latest", tmp_path) == whole
    assert run_to_resume("smoke", tmp_path, "", None) == whole


def test_a_folder_is_a_run_by_its_own_name_from_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make(tmp_path, "smoke", "first")
    monkeypatch.chdir(run.path)
    assert (find_run(".").sweep, find_run(".").run_id) == ("smoke", "first")
    with pytest.raises(InputError, match="no run"):
        find_run("x" * 5000)
    # as a path it is the folder one stands in
    with pytest.raises(InputError, match="the run's name is empty"):
        find_run("")
    with pytest.raises(InputError, match="the run's name is empty"):
        find_runs([""])


@pytest.mark.parametrize(
    "content",
    ["[]", "null", "3", "{}", '{"metric": 3}', "[" * 100_000, '{"metric": "m", "mode": "up", "roles": {}}', "\udcff",
     '{"metric": "m", "mode": "max", "roles": []}', '{"metric": "m", "mode": "max", "roles": {"scientific": []}}'],
)  # fmt: skip
def test_a_damaged_description_is_one_line(content: str, tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.description.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match="is not a run"):
        run.read_description()


def test_a_strangers_folder_does_not_say_where_files_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEPS_CACHE", str(tmp_path / "cache"))
    run = make(tmp_path / "given", "smoke", "first")
    (tmp_path / "given" / sync.HOME).write_text("s3://attacker/bucket")
    assert sync.remote_of(run) is None
    assert sync.where(run) == str(run.path)
    ours = make(sync.folder_of("s3://bucket/results"), "smoke", "first")
    assert sync.where(ours) == "s3://bucket/results/smoke/first"


def test_links_are_neither_uploaded_nor_copied(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "key").write_text("hunter2")
    run = make(tmp_path / "results", "smoke", "first")
    trial = run.trial("t").path
    trial.mkdir(parents=True)
    (trial / "config.json").write_text("{}")
    (trial / "notes.txt").symlink_to(secret)
    (trial / "seed_0").symlink_to(tmp_path / "private")
    assert set(sync._files_here(run)) == {"run.json", "trials/t/config.json"}
    _copy_files(trial, tmp_path / "copy")
    assert [path.name for path in (tmp_path / "copy").rglob("*")] == ["config.json"]
    run.trial("u").path.symlink_to(tmp_path / "private")
    with pytest.raises(InputError, match="is a link"):
        _copy_files(run.trial("u").path, tmp_path / "other")


def test_names_from_a_bucket_stay_inside_the_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["../../x", "trials/../../../y", "/etc/z", "trials//a", "run.json"]
    stamp = sync.Stamp(2, 1)
    monkeypatch.setattr(Remote, "read", lambda self, name: b"{}")
    monkeypatch.setattr(Remote, "all_stamps", lambda self: dict.fromkeys(names, stamp))
    run = RunFolder(tmp_path / "results" / "smoke" / "first")
    sync.pull(run, Remote("s3://bucket", None, "bucket"), whole=True)  # type: ignore[arg-type]
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"run.json", "ledger.jsonl", ".synced.json"}


@pytest.mark.parametrize("storage", ["/nfs/results/", "/nfs//results", "/nfs/../nfs/results", "file:///nfs/results"])
def test_one_storage_has_one_spelling(storage: str) -> None:
    assert same_storage(storage) == "/nfs/results"
    assert same_storage("s3://bucket/results/") == same_storage("s3://bucket//results") == "s3://bucket/results"
