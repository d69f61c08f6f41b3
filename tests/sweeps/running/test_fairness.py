"""Only peers are compared, and a killed run decides as one that was not; on runs that are played."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ray import tune

from analysis.runs.run_folder import RunFolder
from search_spaces.definition import Asha, Median, Optuna, Pbt, Sweep
from sweeps.planning.begin import resume_run
from sweeps.planning.plan import make_plan
from sweeps.record.ledger import _lines, read_ledger
from sweeps.record.state import RunState, fold
from sweeps.running.recorder import Recorder
from tests.support.played_runs import NOW, Killed, begin, noisy, outcome, play, resume

RATES = tune.grid_search([0.3, 0.1, 0.01, 0.003, 0.001])
SWEEP = Sweep(
    "?",
    {"activation": tune.grid_search(["relu", "tanh"])},
    {"lr": RATES},
    {"model": "mlp", "epochs": 7},
    seeds=(0, 1),
    metric="val_acc",
    scheduler=Asha(1, 2),
)
KINDS: dict[str, dict[str, Any]] = {
    "asha": {},
    "hyperband": {"scheduler": Asha(1, 2, None, None)},
    "median": {"scheduler": Median(1, min_peers=2)},
    "pbt": {"scheduler": Pbt(2)},
    "pb2": {"scheduler": Pbt(3, explore="bandit")},
    "optuna": {"searcher": Optuna(), "samples": 4, "nuisance": {"lr": tune.loguniform(1e-3, 0.5)}},
    "apart": {"replicates": "apart", "scheduler": "fifo"},
    "apart, asha": {"replicates": "apart"},
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No event files, no configs on the disk, and no checkpoints to hand over: what is played has none."""
    monkeypatch.setattr("sweeps.running.recorder.write_epoch", lambda *_: None)
    monkeypatch.setattr("sweeps.running.recorder.Recorder._copy_checkpoint", lambda *_: True)


def reached(state: RunState) -> dict[str, tuple[str, int]]:
    return {name: (trial.status, trial.epoch) for name, trial in state.trials.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_ledger_ends_as_the_whole_one(kind: str, tmp_path: Path) -> None:
    sweep = replace(SWEEP, **KINDS[kind])
    folder, plan = begin(tmp_path / "calm", sweep)
    calm = play(folder, sweep, plan, noisy)
    assert calm.ended
    expected, lines = outcome(calm), folder.ledger.read_bytes().splitlines(keepends=True)
    first = next(n for n, line in enumerate(lines) if b'"event":"started"' in line)
    places = range(first, len(lines), {"asha": 2, "pb2": 11}.get(kind, 5))
    for place in places:
        cut = RunFolder(tmp_path / str(place) / "s" / "run")
        cut.path.mkdir(parents=True)
        shutil.copy(folder.description, cut.description)
        cut.ledger.write_bytes(b"".join(lines[:place]))
        assert outcome(play(cut, sweep, resume(cut, sweep), noisy)) == expected, place


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_is_killed_again_and_again_ends_as_an_undisturbed_one(kind: str, tmp_path: Path) -> None:
    sweep = replace(SWEEP, **KINDS[kind])
    folder, plan = begin(tmp_path / "calm", sweep)
    expected = outcome(play(folder, sweep, plan, noisy))
    wild, plan = begin(tmp_path / "wild", sweep)
    chance, kills = random.Random(kind), 0
    while True:
        try:
            state = play(wild, sweep, plan, noisy, chance.randint(1, 8))
            break
        except Killed:
            kills += 1
            plan = resume(wild, sweep)
    assert kills >= 5
    assert outcome(state) == outcome(fold(read_ledger(wild.ledger))) == expected


@pytest.mark.parametrize("kind", ["asha", "median"])
def test_a_trial_that_diverged_is_nobodys_peer_before_or_after_a_resume(kind: str, tmp_path: Path) -> None:
    sweep = replace(SWEEP, **KINDS[kind])
    folder, plan = begin(tmp_path, sweep)
    state = play(folder, sweep, plan, noisy)
    diverged = [name for name, trial in state.trials.items() if trial.status == "diverged"]
    assert diverged
    stops = [e for e in read_ledger(folder.ledger) if e["event"] == "stopped"]
    assert stops
    finite = {
        (event["trial_id"], event["epoch"])
        for event in read_ledger(folder.ledger)
        if event["event"] == "epoch" and event.get("finite", True)
    }
    for stop in stops:
        stratum = state.trials[stop["trial_id"]].stratum
        there = [name for name, trial in state.trials.items() if trial.stratum == stratum]
        assert stop["peers"] < sum((name, stop["rung"]) in finite for name in there)


def test_a_resume_reads_the_ledger_once_and_no_line_of_it_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state that the resume hands on is that of its ledger, and all that the recorder needs."""
    folder, plan = begin(tmp_path, SWEEP)
    with pytest.raises(Killed):
        play(folder, SWEEP, plan, noisy, 20)
    epoch = next(line for line in folder.ledger.read_text().splitlines() if '"event":"epoch"' in line)
    with folder.ledger.open("a") as file:
        file.write(epoch.replace('"trial_id":"', '"trial_id":"nobody') + "\n")
    reads: list[Path] = []
    monkeypatch.setattr(
        "sweeps.record.ledger._lines", lambda path, *rest, real=_lines: (reads.append(path), real(path, *rest))[1]
    )
    resumed = resume_run(folder, SWEEP, make_plan(SWEEP, None, NOW))
    Recorder(folder, SWEEP, resumed.state, {}, plan.epochs).close()
    assert len(reads) == 1
    again = fold(read_ledger(folder.ledger))
    assert outcome(resumed.state) == outcome(again)
    assert (resumed.state.reports, resumed.state.counts) == (again.reports, again.counts)
    assert again.left_out == resumed.state.left_out == 1


def test_trials_that_a_command_does_not_plan_are_nobodys_peers(tmp_path: Path) -> None:
    """The old trials are far better: with them in the rungs every new one would be stopped at the first."""
    old, new = (
        replace(SWEEP, fixed={**SWEEP.fixed, "weight_decay": 0.0}),
        replace(SWEEP, fixed={**SWEEP.fixed, "weight_decay": 0.1}),
    )

    def values(config: dict[str, Any], epoch: int) -> float:
        return noisy(config, epoch) + (0.0 if config["weight_decay"] else 5.0)

    folder, plan = begin(tmp_path / "both", old)
    play(folder, old, plan, values)
    both = play(folder, new, resume(folder, new), values)
    alone, plan = begin(tmp_path / "alone", new)
    alone_state = play(alone, new, plan, values)
    last = list(both.trials.values())[len(alone_state.trials) :]
    assert [(t.status, t.epoch) for t in last] == [(t.status, t.epoch) for t in alone_state.trials.values()]
    assert both.foreign == {t.trial_id for t in list(both.trials.values())[: len(last)]}
    assert outcome(fold(read_ledger(folder.ledger))) == outcome(both)


def test_a_population_does_not_wait_for_trials_that_a_command_does_not_plan(tmp_path: Path) -> None:
    old = replace(SWEEP, **KINDS["pbt"])
    folder, plan = begin(tmp_path, old)
    with pytest.raises(Killed):
        play(folder, old, plan, noisy, 5)
    new = replace(old, fixed={**SWEEP.fixed, "weight_decay": 0.1})
    state = play(folder, new, resume(folder, new), noisy)
    assert state.ended
    ends = {trial.status for name, trial in state.trials.items() if name not in state.foreign}
    assert ends == {"completed", "diverged"}
    assert state.generations


def test_a_run_that_is_extended_by_a_dataset_compares_within_each(tmp_path: Path) -> None:
    folder, plan = begin(tmp_path, SWEEP)
    play(folder, SWEEP, plan, noisy)
    larger = replace(SWEEP, scientific={**SWEEP.scientific, "data_fraction": tune.grid_search([1.0, 0.5])})

    def values(config: dict[str, Any], epoch: int) -> float:
        return noisy(config, epoch) - (0.4 if config["data_fraction"] < 1 else 0.0)

    state = play(folder, larger, resume(folder, larger), values)
    assert len({trial.stratum for trial in state.trials.values()}) == 4
    parts = {
        share: sorted(
            (t.config["activation"], t.config["lr"], t.status, t.epoch)
            for t in state.trials.values()
            if t.config["data_fraction"] == share
        )
        for share in (1.0, 0.5)
    }
    assert parts[1.0] == parts[0.5]


@pytest.mark.parametrize("kind", ["asha", "median", "hyperband"])
def test_no_trial_is_stopped_at_its_own_last_epoch(kind: str, tmp_path: Path) -> None:
    varied = {"lr": tune.grid_search([0.003, 0.001, 0.01, 0.1, 0.2]), "epochs": tune.grid_search([1, 2, 4, 5, 8])}
    sweep = replace(SWEEP, **KINDS[kind], nuisance=varied, fixed={"model": "mlp"}, scientific={"activation": "relu"})
    folder, plan = begin(tmp_path, sweep)
    state = play(folder, sweep, plan, noisy)
    stops = [e for e in read_ledger(folder.ledger) if e["event"] == "stopped"]
    assert stops
    for stop in stops:
        assert stop["rung"] < state.trials[stop["trial_id"]].config["epochs"]


def test_of_replicates_that_run_apart_no_single_one_is_stopped(tmp_path: Path) -> None:
    sweep = replace(SWEEP, replicates="apart")
    folder, plan = begin(tmp_path, sweep)
    state = play(folder, sweep, plan, noisy)
    settings: dict[str, set[tuple[str, int]]] = {}
    for name, trial in state.trials.items():
        settings.setdefault(name.split(".")[0], set()).add((trial.status, trial.epoch))
    assert len(settings) == 10
    assert all(len(ends) == 1 for ends in settings.values())
    assert any("stops nothing" in note for note in plan.notes)


def test_a_run_of_optuna_has_ended_only_when_all_that_is_expected_has(tmp_path: Path) -> None:
    sweep = replace(SWEEP, **KINDS["optuna"])
    folder, plan = begin(tmp_path, sweep)
    assert not fold(read_ledger(folder.ledger)).ended
    with pytest.raises(Killed):
        play(folder, sweep, plan, noisy, 9)
    state = fold(read_ledger(folder.ledger))
    assert 0 < len(state.trials) < state.total == 8
    assert not state.ended
    assert play(folder, sweep, resume(folder, sweep), noisy).ended


def test_a_search_that_repeats_itself_takes_what_is_untried(tmp_path: Path) -> None:
    grid = tune.grid_search([round(0.001 * n, 4) for n in range(1, 25)])
    sweep = replace(SWEEP, **{**KINDS["optuna"], "nuisance": {"lr": grid}, "samples": 20}, scheduler="fifo")
    sweep = replace(sweep, fixed={"model": "mlp", "epochs": 1}, seeds=(0,))
    folder, plan = begin(tmp_path, sweep)
    state = play(folder, sweep, plan, noisy)
    counts = [sum(t.config["activation"] == name for t in state.trials.values()) for name in ("relu", "tanh")]
    assert counts == [20, 20]
    assert len({trial.key for trial in state.trials.values()}) == 40
