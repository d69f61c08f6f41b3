"""The table of searchers: each line works, its options may follow the name, and what is wrong is named."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ray import tune

from search_spaces.definition import Optuna, Sweep
from search_spaces.named_options import find_name
from search_spaces.sweep_json import from_data, to_data
from sweeps.searchers.table import SEARCHERS, change_searcher
from trainables.errors import InputError

SWEEP = Sweep("?", {"activation": tune.grid_search(["relu"])})
TWO = ("val_auc", "val_loss")


@pytest.mark.parametrize("name", SEARCHERS)
def test_each_searcher_is_made_named_and_kept(name: str) -> None:
    sweep = replace(SWEEP, searcher=change_searcher("grid", name, ()))
    assert find_name("searcher", SEARCHERS, sweep.searcher) == name
    assert from_data(to_data(sweep)).searcher == sweep.searcher


def test_options_may_follow_the_name() -> None:
    assert change_searcher("grid", "optuna:gp", ("val_auc",)) == Optuna("gp")
    assert change_searcher("grid", "optuna:sampler=nsga2", TWO) == Optuna("nsga2", TWO)
    assert change_searcher("grid", "optuna:tpe:metrics=val_loss,val_acc", ()) == Optuna("tpe", ("val_loss", "val_acc"))
    assert change_searcher(Optuna("gp", TWO), "optuna", ()) == Optuna("gp", TWO)
    assert change_searcher(Optuna("gp"), None, TWO) == Optuna("gp", TWO)
    assert change_searcher(Optuna("gp"), "random", ()) == "random"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("optunaa", "did you mean 'optuna'"),
        ("optuna:tep", "'tpe', 'gp' or 'nsga2'"),
        ("optuna:tpe:gp", "given twice"),
        ("optuna:smapler=gp", "did you mean 'sampler'"),
        ("optuna:metrics=test_auc", "nothing is ever selected by train or test"),
        ("grid:gp", "has no options"),
        ("", "unknown searcher"),
    ],
)
def test_an_option_that_is_wrong_is_named(name: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        change_searcher("grid", name, ())


def test_several_metrics_need_a_searcher_that_can() -> None:
    with pytest.raises(InputError, match="several metrics need --searcher optuna"):
        change_searcher("random", None, TWO)
