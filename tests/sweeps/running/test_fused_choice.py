"""`run.json` says for each shape of network how its replicates are trained, also after a resume."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from search_spaces.definition import Sweep
from sweeps.record.ledger import read_ledger
from sweeps.record.state import fold
from sweeps.running import recorder as recorder_module
from sweeps.running.recorder import Recorder
from tests.support.played_runs import begin, report, resume

SWEEP = Sweep(
    "?", {"activation": "relu"}, {}, {"dataset": "digits", "model": "mlp", "epochs": 3}, seeds=(0, 1), scheduler="fifo"
)
MEASURED = {"key": "abc", "fused": True, "reason": "measured", "apart": 0.02, "together": 0.01}


def test_each_shape_is_written_once_and_kept_by_a_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, plan = begin(tmp_path, SWEEP)
    state = fold(read_ledger(run.ledger))
    (trial,) = state.trials.values()
    recorder = Recorder(run, SWEEP, state, {}, plan.epochs)
    recorder.started(trial.trial_id)
    written: list[Path] = []
    write = recorder_module.write_atomically
    monkeypatch.setattr(
        recorder_module, "write_atomically", lambda path, content: (written.append(path), write(path, content))
    )
    for other in ({}, {}, {"key": "def", "fused": False}):
        text = json.dumps({**MEASURED, **other})
        recorder.epoch(trial.trial_id, {**report(trial, 0.5, (0, 1)), "fused": text})
    recorder.close()
    expected = {name: value for name, value in MEASURED.items() if name != "key"}
    fused = {"abc": expected, "def": {**expected, "fused": False}}
    assert run.read_description()["fused"] == fused
    assert written.count(run.description) == 2
    resume(run, SWEEP)
    assert run.read_description()["fused"] == fused
