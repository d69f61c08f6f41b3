"""Population based training on runs that are played: what is compared, replaced and handed on, also across crashes."""

from __future__ import annotations

import json
import math
import random
import shutil
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ray import tune

from analysis.runs.run_folder import RunFolder
from search_spaces.definition import Pbt, Sweep
from search_spaces.domains import Range
from sweeps.planning.begin import create_run
from sweeps.planning.plan import make_plan
from sweeps.planning.settings import Settings
from sweeps.planning.trials import Plan
from sweeps.record.ledger import read_ledger
from sweeps.record.state import RunState, fold
from sweeps.record.table_rows import trials_table
from sweeps.running.execution import in_populations
from sweeps.running.recorder import Recorder
from sweeps.schedulers.pb2 import highest_ucb, history
from sweeps.schedulers.pbt import perturb
from tests.support.short_training import digits
from trainables.config import make_config
from trainables.errors import InputError
from trainables.training.checkpoint import load_donor_state
from trainables.training.loop import start
from trainables.training.replicates import METRICS
from trainables.worker.train_trial import Job

NOW = datetime(2026, 1, 1)
EPOCHS = 9
SWEEP = Sweep(
    "?",
    {"activation": tune.grid_search(["relu", "tanh"])},
    {"lr": tune.grid_search([1e-4, 1e-3, 1e-2, 1e-1]), "batch_size": tune.grid_search([32, 64])},
    {"model": "mlp", "epochs": EPOCHS},
    seeds=(0, 1),
    scheduler=Pbt(interval=2, quantile=0.25),
)


class Killed(Exception):
    """The driver died here."""


def gain(trial_id: str, epoch: int, lr: float) -> float:
    """What an epoch brings: most at a rate of 0.003; a little noise that belongs to the trial and epoch."""
    noise = random.Random(f"{trial_id}/{epoch}").random()
    return 0.05 - 0.02 * abs(math.log10(lr / 0.003)) + 0.002 * noise


def level_of(job: Job) -> float:
    """What the weights that a job begins with are worth: here that is all that a checkpoint holds."""
    folder = Path(job.folder)
    own = [folder / f"attempt-{number}" / "checkpoint.pt" for number in range(job.known_attempts, 0, -1)]
    found = [folder / "donor.pt"] if job.donor_epoch and job.donor_epoch == job.known_epochs else own
    return next((float(path.read_text()) for path in found if path.is_file()), 0.0)


def play(folder: RunFolder, plan: Plan, sweep: Sweep, workers: int = 2, kill_after: int = 10**9, seed: int = 0) -> None:
    """Run what the ledger lacks on workers of which now one and now another is faster; die after so many reports."""
    state = fold(read_ledger(folder.ledger))
    recorder = Recorder(folder, sweep, state, {}, EPOCHS)
    assert isinstance(sweep.scheduler, Pbt)
    give = in_populations(sweep, plan, folder, state)
    busy: list[Any] = []
    chance, reports, more = random.Random(seed), 0, True
    try:
        while busy or more:
            while more and len(busy) < workers:
                job = give()
                if job == "wait":
                    assert busy
                    break
                more = job is not None
                if job is not None:
                    recorder.started(job.trial_id)
                    attempt = job.known_attempts + 1
                    place = Path(job.folder) / f"attempt-{attempt}"
                    place.mkdir(parents=True)
                    busy.append([job, attempt, job.known_epochs, level_of(job)])
            if not busy:
                continue
            slot = chance.choice(busy)
            job, attempt, epoch, level = slot
            slot[2:] = epoch, level = epoch + 1, level + gain(job.trial_id, epoch, job.config["lr"])
            (Path(job.folder) / f"attempt-{attempt}" / "checkpoint.pt").write_text(str(level))
            recorder.epoch(job.trial_id, report(attempt, epoch, level))
            if epoch in (job.until, EPOCHS):
                busy.remove(slot)
            reports += 1
            if reports >= kill_after:
                raise Killed
    finally:
        recorder.ledger.close()


def report(attempt: int, epoch: int, value: float) -> dict[str, Any]:
    means = dict.fromkeys(METRICS, value)
    cost = {"images_trained": 1, "train_seconds": 1.0, "eval_seconds": 1.0}
    rows = [{"seed": seed, "epoch": epoch, "stop_reason": "", "is_best": True, **means, **cost} for seed in (0, 1)]
    more = {"finite": True, "checkpoint": True, "note": "", "memory_mb": 1.0}
    return {"attempt": attempt, "epoch": epoch, "replicates": rows, "metrics": list(METRICS), **more}


def begin(storage: Path, sweep: Sweep = SWEEP) -> tuple[RunFolder, Plan]:
    plan = make_plan(sweep, None, NOW)
    return create_run(sweep, "s", plan, Settings(storage=storage, name="run"), NOW), plan


def generations(folder: RunFolder) -> list[dict[str, Any]]:
    found = [event for event in read_ledger(folder.ledger) if event["event"] == "generation"]
    for event in found:
        del event["time"]
    return sorted(found, key=lambda event: (event["stratum"], event["epoch"]))


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No event files: what is played has no losses to draw."""
    monkeypatch.setattr("sweeps.running.recorder.write_epoch", lambda *_: None)


@pytest.mark.usefixtures("quiet")
def test_the_worst_of_each_population_go_on_from_its_best(tmp_path: Path) -> None:
    folder, plan = begin(tmp_path)
    play(folder, plan, SWEEP)
    state = fold(read_ledger(folder.ledger))
    assert all(trial.status == "completed" and trial.epoch == EPOCHS for trial in state.trials.values())
    found = generations(folder)
    assert len({event["stratum"] for event in found}) == 4  # activations times batch sizes
    assert [event["epoch"] for event in found] == [2, 4, 6, 8] * 4
    for event in found:
        (change,) = event["replaced"]  # a quarter of four
        peers = [t for t in state.trials.values() if t.stratum == event["stratum"]]
        values = {t.trial_id: t.means[event["epoch"] - 1]["val_auc"] for t in peers}
        assert change["trial_id"] == min(values, key=lambda name: values[name] or 0)
        assert change["donor"] == max(values, key=lambda name: values[name] or 0)
        assert change["value"] == values[change["trial_id"]]
        assert change["donor_value"] == values[change["donor"]]
        assert 1e-4 <= change["values"]["lr"] <= 1e-1
    rows = trials_table(folder, state.trials.values(), {}).to_pylist()
    assert sum(bool(row["changes"]) for row in rows) >= 2 * 4
    for trial in state.trials.values():
        assert not (folder.trial(trial.folder).path / "donor.pt").exists()
        assert trial.attempts == 1  # to wait is no failure


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("explore", ["perturb", "bandit"])
def test_a_run_that_is_killed_again_and_again_decides_as_one_that_was_not(tmp_path: Path, explore: Any) -> None:
    sweep = replace(SWEEP, scheduler=Pbt(interval=2, explore=explore))
    calm, plan = begin(tmp_path / "calm", sweep)
    play(calm, plan, sweep, workers=3, seed=5)
    wild, plan = begin(tmp_path / "wild", sweep)
    chance, kills = random.Random(3), 0
    while True:
        try:
            play(wild, plan, sweep, kill_after=chance.randint(1, 30), seed=kills)
            break
        except Killed:
            kills += 1
    assert kills > 5
    assert generations(wild) == generations(calm)
    assert sum(event["event"] == "epoch" for event in read_ledger(wild.ledger)) == 16 * EPOCHS


@pytest.mark.usefixtures("quiet")
def test_what_a_crash_left_between_two_lines_is_done_at_the_next_start(tmp_path: Path) -> None:
    """Cut after each line in turn: the last epoch of a trial, or of its population, may be all that was written."""
    folder, plan = begin(tmp_path)
    play(folder, plan, SWEEP)
    lines = folder.ledger.read_bytes().splitlines(keepends=True)
    kinds = [json.loads(line)["event"] for line in lines]
    places = [n for n, kind in enumerate(kinds) if kind in ("generation", "completed", "waiting")]
    for place in random.Random(1).sample(places, 12):
        copy = RunFolder(tmp_path / f"cut{place}" / "run")
        shutil.copytree(folder.path, copy.path)
        for trial in fold(read_ledger(folder.ledger)).trials.values():  # its files are not yet moved up there
            (copy.trial(trial.folder).attempt(9)).mkdir(exist_ok=True)
            (copy.trial(trial.folder).attempt(9) / "checkpoint.pt").write_text("0.5")
        copy.ledger.write_bytes(b"".join(lines[:place]))
        play(copy, plan, SWEEP)
        state = fold(read_ledger(copy.ledger))
        assert all(trial.status == "completed" and trial.epoch == EPOCHS for trial in state.trials.values())


def test_weights_come_from_the_donor_and_rates_from_the_config() -> None:
    data = digits()
    config = make_config({"model": "mlp", "optimizer": "sgd", "lr": 0.1, "seeds": (0, 1), "epochs": 4})
    other = config.model_copy(update={"lr": 0.01, "weight_decay": 0.5})
    device = torch.device("cpu")
    donors = [start(config, seed + 10, data.info, device) for seed in (0, 1)]
    for donor, seed in zip(donors, (0, 1), strict=True):
        donor.seed, donor.epoch = seed, 2
    states = [start(other, seed, data.info, device) for seed in (1, 0)]  # in another order
    load_donor_state(states, donors)
    for state in states:
        donor = donors[state.seed]
        for name, tensor in state.model.state_dict().items():
            assert torch.equal(tensor, donor.model.state_dict()[name])
        assert state.epoch == 2
        state.schedule.set(0, 1)
        assert [(group["lr"], group["weight_decay"]) for group in state.optimizer.param_groups] == [(0.01, 0.5)]


def test_values_are_multiplied_or_drawn_anew_within_their_range() -> None:
    domains = {"lr": Range(1e-4, 1.0, log=True), "dropout": Range(0.0, 0.5, log=False)}
    rng = np.random.default_rng(0)
    kept = [perturb(domains, {"lr": 0.01, "dropout": 0.5}, 0.0, rng) for _ in range(200)]
    assert {value["lr"] for value in kept} == {0.008, 0.012}
    assert {value["dropout"] for value in kept} == {0.4, 0.5}  # 0.6 is beyond the range
    drawn = np.array([perturb(domains, {"lr": 0.01, "dropout": 0.5}, 1.0, rng)["lr"] for _ in range(2000)])
    assert drawn.min() >= 1e-4
    assert drawn.max() <= 1.0
    assert np.log10(drawn).mean() == pytest.approx(-2, abs=0.1)  # evenly on the logarithm


@pytest.mark.usefixtures("quiet")
def test_the_bandit_finds_the_rate_that_paid(tmp_path: Path) -> None:
    rule = Pbt(interval=2, explore="bandit")
    sweep = replace(SWEEP, nuisance={"lr": tune.loguniform(1e-4, 1e-1)}, samples=8, scheduler=rule)
    folder, plan = begin(tmp_path, sweep)
    play(folder, plan, sweep)
    state = fold(read_ledger(folder.ledger))
    stratum = next(iter(state.generations))
    inputs, rises = history(sweep, state, stratum)
    assert inputs.shape == (8 * 4, 3)
    assert len(rises) == 8 * 4
    assert inputs[:, 0].min() >= 0
    assert inputs[:, 0].max() <= 1
    tried = [
        change["values"]["lr"] for event in generations(folder) if event["epoch"] > 2 for change in event["replaced"]
    ]
    assert len(tried) == 2 * 2 * 3
    assert sum(0.001 < lr < 0.009 for lr in tried) > len(tried) / 2  # best is 0.003, the range has three decades


def test_what_was_just_given_to_one_trial_is_hoped_for_less() -> None:
    """Two rates paid alike and two did not: the second trial gets the one of the two that the first did not."""
    rates = np.repeat([0.0, 0.25, 0.5, 0.75, 1.0], 3)
    inputs = np.column_stack([rates, np.zeros(15), np.tile([2.0, 4.0, 6.0], 5)])
    rises = np.where(np.isin(rates, [0.25, 0.75]), 1.0, -1.0)
    candidates, now = np.array([[0.25], [0.5], [0.75]]), (0.0, 6.0)
    first = highest_ucb(inputs, rises, candidates, now, np.empty((0, 1)))
    assert first in (0, 2)
    assert highest_ucb(inputs, rises, candidates, now, candidates[[first] * 3]) == 2 - first


def test_what_has_no_population_is_refused() -> None:
    for changed, reason in (
        ({"nuisance": {"batch_size": tune.grid_search([32, 64])}}, "nothing to change"),
        ({"nuisance": {"lr": tune.grid_search([0.1, 0.2])}}, "needs 3 or more"),
        ({"replicates": "apart"}, "together"),
        ({"nuisance": {"lr": tune.grid_search([0.1, 0.2, 0.3]), "kl_weight": tune.uniform(0, 1)}}, "no effect"),
    ):
        with pytest.raises(InputError, match=reason):
            make_plan(replace(SWEEP, **changed), None, NOW)  # type: ignore[arg-type]


def test_state_is_the_same_live_and_read_back(tmp_path: Path) -> None:
    folder, _ = begin(tmp_path)
    state = fold(read_ledger(folder.ledger))
    changed = RunState(dict(state.trials))
    changed.apply(
        {"event": "generation", "stratum": "x", "epoch": 2, "members": 2,
         "replaced": [{"trial_id": "0001", "donor": "0002", "values": {"lr": 0.5}}]}
    )  # fmt: skip
    assert changed.trials["0001"].config_now["lr"] == 0.5
    assert changed.trials["0001"].config["lr"] == 1e-4
    assert changed.generations == {"x": 2}
