"""A line for each epoch, each printed once."""

from __future__ import annotations

import io
from pathlib import Path

from ray import tune
from rich.console import Console

from search_spaces.definition import Sweep
from sweeps.record.ledger import read_ledger
from sweeps.record.state import RunState
from sweeps.screen.live import make_view
from tests.support.played_runs import begin, noisy, play


def test_each_epoch_and_ending_is_printed_once(tmp_path: Path) -> None:
    sweep = Sweep(
        question="Which?",
        scientific={"activation": tune.grid_search(["relu", "tanh"])},
        fixed={"dataset": "digits", "model": "mlp", "hidden_dims": [8], "epochs": 3, "lr": 0.01},
        seeds=(0, 1),
        scheduler="fifo",
    )
    run, plan = begin(tmp_path, sweep)
    play(run, sweep, plan, noisy)
    console = Console(file=io.StringIO(), width=80)
    state = RunState()
    view = make_view(state, "val_auc", "max", ("activation",), console, False, verbose=True)
    with view:
        for event in read_ledger(run.ledger):
            state.apply(event)
            view.update()
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 2 * 3 + 2
    assert lines[0].startswith("0001 activation=relu epoch 1/3: val_auc 0.")
    assert lines[0].endswith("; 4.00 s")
    assert "0002 completed: trained all 3 epochs" in lines
