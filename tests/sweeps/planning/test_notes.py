"""Notes of a plan before it starts."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from ray import tune

from search_spaces.definition import Asha, Median, Optuna, Pbt, Sweep
from sweeps.planning.plan import make_plan

GRID = tune.grid_search([0.1, 0.01, 0.001, 0.0001])
FEW = tune.grid_search([0.01, 0.003])
SWEEP = Sweep("?", {"activation": tune.grid_search(["relu", "tanh"])}, {"lr": GRID}, {"model": "mlp", "epochs": 9})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"scheduler": "fifo", "nuisance": {"lr": FEW}}, []),
        ({"nuisance": {"lr": FEW}}, ["2 of 2 such groups have too few (2)"]),
        ({"nuisance": {"lr": FEW}, "scheduler": Median(min_peers=2)}, ["groups have too few (2)"]),
        ({"scheduler": Asha(stratify=())}, ["activation compete with one another"]),
        ({"scheduler": Asha(grace=9)}, ["asha stops nothing: epoch 9"]),
        ({"scheduler": Median(grace=12)}, ["median stops nothing: epoch 12"]),
        ({"scheduler": Pbt(interval=9)}, ["pbt changes nothing: epoch 9"]),
        ({"replicates": "apart"}, ["replicates apart are no complete settings"]),
        ({"replicates": "apart", "scheduler": "fifo"}, []),
        ({"samples": 5}, ["samples=5 has no effect"]),
        ({"samples": 5, "nuisance": {"lr": tune.loguniform(1e-4, 1e-1)}}, []),
        ({"samples": 40, "searcher": "random"}, []),
        ({"samples": 9, "searcher": Optuna()}, ["optuna tries 4 settings of each compared value, not 9"]),
        ({"samples": 4, "searcher": Optuna()}, []),
        ({"samples": 2, "searcher": Optuna()}, ["groups have too few (2)"]),
    ],
)
def test_notes(changes: dict[str, Any], expected: list[str]) -> None:
    notes = make_plan(replace(SWEEP, **changes), None, datetime(2026, 1, 1)).notes
    assert len(notes) == len(expected), notes
    for note, part in zip(notes, expected, strict=True):
        assert part in note
        assert "\n" not in note
