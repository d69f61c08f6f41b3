"""Resuming, extending, retrying and reusing, on runs whose trials have been played instead of trained."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ray import tune
from rich.console import Console

from analysis import table
from analysis.runs.run_folder import RunFolder
from analysis.weights.weights_table import forget
from search_spaces.definition import Sweep
from search_spaces.sweep_json import to_data
from sweeps.messages import print_resumed
from sweeps.planning.begin import create_run, resume_run
from sweeps.planning.overrides import override
from sweeps.planning.plan import make_plan
from sweeps.planning.settings import Settings
from sweeps.record.ledger import Ledger, read_ledger
from sweeps.record.state import RunState, fold
from trainables.errors import InputError

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


def change_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainables.parts.planned.training_digest", lambda model: "another")


def test_a_resume_knows_its_trials_whatever_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made(tmp_path)
    before = state_of(folder).trials
    change_the_code(monkeypatch)
    resumed = resume_run(folder, SWEEP, make_plan(SWEEP, None, NOW), retry_failed=True)
    assert (resumed.finished, resumed.unfinished, resumed.added, resumed.foreign) == (2, 1, 0, 0)
    assert "the training code has changed" in resumed.notes[0]
    after = state_of(folder).trials
    assert [trial.folder for trial in after.values()] == [trial.folder for trial in before.values()]
    assert [trial.key for trial in after.values()] == [trial.key for trial in before.values()]
    assert [trial.mixed for trial in after.values()] == [False, True, False]  # the failed one goes on from its epoch 1
    again = resume_run(folder, SWEEP, make_plan(SWEEP, None, NOW))
    assert (again.unfinished, again.added, again.foreign) == (1, 0, 0)


def test_what_has_not_begun_gets_the_key_of_the_code_that_will_train_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(SWEEP, None, NOW)
    folder = create_run(SWEEP, "s", plan, Settings(storage=tmp_path, name="first"), NOW)
    change_the_code(monkeypatch)
    other = make_plan(SWEEP, None, NOW)
    resume_run(folder, SWEEP, other)
    assert [trial.key for trial in state_of(folder).trials.values()] == [trial.key for trial in other.trials]
    assert {trial.key for trial in plan.trials}.isdisjoint(trial.key for trial in other.trials)


@pytest.mark.parametrize("old", [False, True], ids=["of today", "of 0.1.0"])
def test_a_moved_folder_of_equal_images_is_the_same_data(tmp_path: Path, old: bool) -> None:
    places = [tmp_path / name for name in ("here", "there", "other")]
    for place, seed in zip(places, (0, 0, 1), strict=True):
        write_images(place, seed)
    sweeps = [replace(SWEEP, fixed={**SWEEP.fixed, "dataset": f"folder:{p}", "image_size": 8}) for p in places]
    folder = made(tmp_path / "results", sweeps[0])
    if old:
        as_of_0_1_0(folder)
    moved = resume_run(folder, sweeps[1], make_plan(sweeps[1], None, NOW))
    assert (moved.finished, moved.added, moved.foreign) == (3, 0, 0)
    assert any("with the same content" in note for note in moved.notes)
    assert {trial.config["dataset"] for trial in state_of(folder).trials.values()} == {f"folder:{places[1]}"}
    other = resume_run(folder, sweeps[2], make_plan(sweeps[2], None, NOW))
    assert (other.finished, other.added, other.foreign) == (0, 3, 3)


def write_images(folder: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for label in ("a", "b"):
        (folder / label).mkdir(parents=True)
        for number in range(20):
            pixels = rng.integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number}.png")


def as_of_0_1_0(folder: RunFolder) -> None:
    """Write a run's ledger and run.json as version 0.1.0 did: keys with the digest of all code, and no digests."""
    about = folder.read_description()
    del about["provenance"]["code_files"]
    about["provenance"]["code_digest"] = "f" * 16
    folder.description.write_text(json.dumps(about))
    lines = []
    for event in map(json.loads, folder.ledger.read_text().splitlines()):
        if event["event"] == "planned":
            data = event.pop("data")
            del event["code"], event["weights"]
            text = json.dumps(event["config"], sort_keys=True, separators=(",", ":"))
            event["key"] = hashlib.sha256(f"{text}\n{data}\n{'f' * 16}".encode()).hexdigest()[:12]
        lines.append(json.dumps(event) + "\n")
    folder.ledger.write_text("".join(lines))


def test_a_run_of_0_1_0_is_gone_on_with(tmp_path: Path) -> None:
    folder = made(tmp_path)
    as_of_0_1_0(folder)
    resumed = resume_run(folder, SWEEP, make_plan(SWEEP, None, NOW))
    assert (resumed.finished, resumed.added, resumed.foreign) == (3, 0, 0)
    assert "the training code has changed" in resumed.notes[0]


def test_a_field_that_came_with_an_upgrade_makes_no_new_trials(tmp_path: Path) -> None:
    folder = made(tmp_path)
    lines = [json.loads(line) for line in folder.ledger.read_text().splitlines()]
    for event in lines:
        event.get("config", {}).pop("min_delta", None)
        event["key"] = "of the old one"
    folder.ledger.write_text("".join(json.dumps(event) + "\n" for event in lines))
    resumed = resume_run(folder, SWEEP, make_plan(SWEEP, None, NOW))
    assert (resumed.finished, resumed.added, resumed.foreign) == (3, 0, 0)


def test_run_json_holds_what_every_command_asked(tmp_path: Path) -> None:
    folder = made(tmp_path)
    larger = replace(
        SWEEP, scientific={**SWEEP.scientific, "model": tune.grid_search(["cnn", "mlp"])}, seeds=(0, 1, 2),
        fixed={"epochs": 2},
    )  # fmt: skip
    resume_run(folder, larger, make_plan(larger, None, NOW))
    about = folder.read_description()
    assert about["roles"]["scientific"] == {"activation": ["relu", "tanh", "gelu"], "model": ["mlp", "cnn"]}
    assert about["seeds"] == [0, 1, 2]
    assert about["trials"] == 9
    assert about["definition"] == about["resumes"][0]["definition"] == json.loads(json.dumps(to_data(larger)))
    other = replace(SWEEP, fixed={**SWEEP.fixed, "batch_size": 64})
    resume_run(folder, other, make_plan(other, None, NOW))
    assert len(folder.read_description()["resumes"]) == 2


def test_a_resume_by_another_metric_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    folder = made(tmp_path)
    before = {path: path.read_bytes() for path in (folder.ledger, folder.description)}
    other = replace(SWEEP, metric="val_loss", mode="min")
    with pytest.raises(InputError, match="goes by metric val_auc, not val_loss"):
        resume_run(folder, other, make_plan(other, None, NOW))
    assert {path: path.read_bytes() for path in before} == before


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
