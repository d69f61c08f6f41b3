"""The table of schedulers: each line works, and what has no line is refused."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from ray import tune

from search_spaces.definition import Asha, Median, Pbt, Rule, Sweep
from search_spaces.sweep_json import from_data, to_data
from sweeps.schedulers.decision import Decision
from sweeps.schedulers.table import SCHEDULERS, change_scheduler, make_judge, name_of
from trainables.errors import InputError

SWEEP = Sweep("?", {"activation": tune.grid_search(["relu"])})


@dataclass(frozen=True)
class Forgotten(Rule):
    """A rule that nobody has put into the table."""


@pytest.mark.parametrize("name", SCHEDULERS)
def test_each_scheduler_is_made_judged_named_and_kept(name: str) -> None:
    sweep = replace(SWEEP, scheduler=change_scheduler("fifo", name, {}))
    judge, entry = make_judge(sweep, 9), SCHEDULERS[name]
    assert name_of(sweep.scheduler) == name
    assert (judge is None) == (entry.judge is None)
    assert from_data(to_data(sweep)).scheduler == sweep.scheduler
    if judge is not None:
        assert "val_auc" in judge.reason(Decision(True, 3, 0.5, 0.6, 4), "val_auc")
        assert make_judge(replace(sweep, replicates="apart"), 9) is None


def test_every_rule_has_a_line() -> None:
    """A rule without a line would be accepted and never asked."""
    lined = {entry.options for entry in SCHEDULERS.values()}
    assert {rule for rule in Rule.__subclasses__() if rule.__module__ != __name__} <= lined
    with pytest.raises(InputError, match="no line in the table of schedulers"):
        make_judge(replace(SWEEP, scheduler=Forgotten()), 9)
    with pytest.raises(InputError, match="no line in the table of schedulers"):
        name_of(Forgotten())


def test_a_reason_is_worded_by_its_own_rule() -> None:
    reasons = {}
    for rule in (Asha(), Median()):
        judge = make_judge(replace(SWEEP, scheduler=rule), 9)
        assert judge is not None
        reasons[type(rule)] = judge.reason(Decision(True, 3, 0.5, 0.6, 4), "val_auc")
    assert reasons == {
        Asha: "rung 3: val_auc 0.5000 below the cutoff 0.6000 of 4 peers",
        Median: "epoch 3: best val_auc 0.5000 below the median 0.6000 of 4 peers' means",
    }


def test_a_changed_scheduler_keeps_what_it_can() -> None:
    assert change_scheduler(Asha(2, 4), "hyperband", {}) == Asha(2, 4, None, None)
    assert change_scheduler(Asha(2, 4), "median", {"grace": 3}) == Median(3)
    assert change_scheduler(Pbt(3), "pb2", {}) == Pbt(3, explore="bandit")
    assert change_scheduler(Asha(2, 4), None, {"reduction": 3.0}) == Asha(2, 3.0)
    assert change_scheduler(Asha(), "fifo", {}) == "fifo"
    for name, options in (("asah", {}), ("fifo", {"grace": 2}), ("median", {"reduction": 2.0}), ("asha", {"grace": 0})):
        with pytest.raises(InputError):
            change_scheduler("fifo", name, options)


def test_options_may_follow_the_name() -> None:
    assert change_scheduler("fifo", "asha:grace=2:reduction=4", {}) == Asha(2, 4)
    assert change_scheduler("fifo", "asha:stratify=none", {}) == Asha(stratify=())
    assert change_scheduler("fifo", "asha:stratify=lr,model:brackets=none", {}) == Asha(1, 3, ("lr", "model"), None)
    assert change_scheduler("fifo", "asha:grace=2", {"grace": 3}) == Asha(3)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("asha:grace", "write OPTION=VALUE"),
        ("asha:grace=0", "greater than or equal to 1"),
        ("asha:reduction=inf", "finite"),
        ("asha:grce=1", "did you mean 'grace'"),
        ("asha:grace=2:grace=4", "given twice"),
        ("fifo:grace=1", "has no options"),
        ("hyperband:brackets=2", "has no effect with hyperband"),
        ("pbt:explore=bandit", "has no effect with pbt"),
        ("nosuch:grace=1", "unknown scheduler 'nosuch'"),
    ],
)
def test_an_option_that_is_wrong_is_named(name: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        change_scheduler("fifo", name, {})
