"""What a checkpoint brings back, and what the config says in its place; where a trial that is tried again goes on."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from analysis.runs.run_folder import RunFolder
from sweeps.record.attempts import collect_attempts, reopen_attempts
from sweeps.record.state import TrialState
from tests.support.short_training import CPU, digits, splits
from trainables.config import make_config
from trainables.training.checkpoint import load_checkpoint, load_donor_state, save_checkpoint
from trainables.training.cost import peak_memory_mb, reset_peak_memory
from trainables.training.loop import start, train
from trainables.worker.attempt_folder import last_attempt, new_attempt


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
def test_what_a_population_changed_is_what_is_trained_with(tmp_path: Path, optimizer: str) -> None:
    """As a worker begins: the trial's own checkpoint is loaded first, then the donor's."""
    data = digits()
    common = {"model": "mlp", "hidden_dims": (32, 16, 8), "optimizer": optimizer, "seeds": (0,), "epochs": 4}
    reads = {"momentum": (0.9, 0.1)} if optimizer == "sgd" else {}
    old = make_config({**common, "lr": 0.1, "weight_decay": 0.001, **{name: pair[0] for name, pair in reads.items()}})
    new = make_config({**common, "lr": 0.02, "weight_decay": 0.5, **{name: pair[1] for name, pair in reads.items()}})
    for name, seed in (("own.pt", 0), ("donor.pt", 1)):
        state = start(old, seed, data.info, CPU)
        state.seed = 0
        list(islice(train(old, data.info, splits(), state), 1))
        save_checkpoint(tmp_path / name, [state])
    states, donors = (load_checkpoint(tmp_path / name, new, data, CPU) for name in ("own.pt", "donor.pt"))
    expected = start(new, 0, data.info, CPU).optimizer.param_groups
    for step in ("after its own checkpoint", "after the donor's"):
        for group, wanted in zip(states[0].optimizer.param_groups, expected, strict=True):
            found = {name: value for name, value in group.items() if name != "params"}
            assert found == {name: value for name, value in wanted.items() if name != "params"}, step
        load_donor_state(states, donors)
    assert states[0].optimizer.state_dict()["state" if optimizer != "muon" else "parts"]  # its momentum is kept


def test_a_trial_that_is_tried_again_goes_on_from_its_checkpoint_in_a_new_attempt(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "sweep" / "run")
    trial = TrialState("0001", "key", "one", {"seeds": (0,)}, 1, 1, status="failed", attempt=2)
    folder = run.trial("one")
    for number in (1, 2, 3):  # the third died before its first report
        assert new_attempt(folder.path) == number
        (folder.attempt(number) / "checkpoint.pt").write_bytes(b"state %d" % number)
    collect_attempts(run, trial, "failed")
    assert last_attempt(folder.path) == 0
    for _ in range(2):  # a crash between this and the ledger's line repeats it
        reopen_attempts(run, trial)
        assert (folder.attempt(2) / "checkpoint.pt").read_bytes() == b"state 2"
        assert not (folder.checkpoint / "checkpoint.pt").exists()
    assert new_attempt(folder.path) == 3


@pytest.mark.parametrize("status", ["completed", "stopped", "diverged"])
def test_a_trial_that_is_not_tried_again_keeps_no_checkpoint(tmp_path: Path, status: str) -> None:
    run = RunFolder(tmp_path / "sweep" / "run")
    trial = TrialState("0001", "key", "one", {"seeds": (0,)}, 1, 1, attempt=1)
    attempt = run.trial("one").path / f"attempt-{new_attempt(run.trial('one').path)}"
    (attempt / "checkpoint.pt").write_bytes(b"state")
    (attempt / "seed_0").mkdir()
    (attempt / "seed_0" / "best_model.safetensors").write_bytes(b"weights")
    collect_attempts(run, trial, status)
    assert [path.relative_to(run.trial("one").path).as_posix() for path in run.path.rglob("*") if path.is_file()] == [
        "seed_0/best_model.safetensors"
    ]


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux alone keeps a peak that can be reset")
def test_a_trials_peak_of_memory_is_its_own() -> None:
    reset_peak_memory()
    before = peak_memory_mb()
    block = bytearray(b"x") * 200 * 2**20
    large = peak_memory_mb()
    del block
    assert large > before + 150
    reset_peak_memory()
    assert peak_memory_mb() < large - 150
