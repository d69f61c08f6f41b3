"""How replicates are trained is chosen by measurement, remembered by shape, and never stands in the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.short_training import CPU, digits, small_config, splits
from trainables.data.normalization import normalization_of
from trainables.fused import choice
from trainables.fused.choice import Choice, choose
from trainables.fused.together import together
from trainables.image_classifier import ImageTraining
from trainables.trainable import Fuse
from trainables.training.loop import start
from trainables.training.replicates import one_by_one

INFO = digits().info


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SWEEPS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "fused"


def chosen(fuse: Fuse = "auto", **values: Any) -> Choice | None:
    config = small_config(**{"seeds": (0, 1), "epochs": 40, **values})
    return choose(fuse, config, INFO, splits(), [start(config, seed, INFO, CPU) for seed in config.seeds])


def test_on_and_off_are_obeyed_and_nothing_is_measured(cache: Path) -> None:
    on, off = chosen("on"), chosen("off")
    assert on is not None
    assert off is not None
    assert (on.way, off.way) == (together, one_by_one)
    assert chosen("on", seeds=(0,)) is None
    assert not cache.exists()


def test_what_cannot_be_fused_trains_apart_also_with_on(cache: Path) -> None:
    found = chosen("on", stochastic="bayes_by_backprop")
    assert found is not None
    assert found.way is one_by_one
    assert not cache.exists()


def test_a_short_trial_is_not_measured(cache: Path) -> None:
    found = chosen(epochs=2, batch_size=1024)
    assert found is not None
    assert (found.fused, found.apart) == (False, None)
    assert not cache.exists()


@pytest.mark.parametrize(("apart", "joint"), [(1.0, 0.5), (1.0, 0.99), (1.0, 3.0)])
def test_the_quicker_way_is_chosen_and_remembered(
    apart: float, joint: float, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([apart, joint] * choice.ROUNDS)
    monkeypatch.setattr(choice, "_seconds", lambda run, device: next(times))
    found = chosen()
    assert found is not None
    assert found.fused == (joint < 0.95 * apart)
    assert found.apart is not None
    assert found.together == pytest.approx(found.apart * joint)
    assert json.loads((cache / f"{found.key}.json").read_text()) == vars(found)
    # an equal trial measures nothing: there are no more times
    assert chosen(lr=0.5) == found
    with pytest.raises(StopIteration):
        chosen(batch_size=64)


def test_of_two_workers_that_measure_at_the_same_time_both_take_the_first(cache: Path) -> None:
    first, second = (Choice("abc", fused, "measured", 1.0, 0.9) for fused in (True, False))
    path = cache / "abc.json"
    assert choice._remember(path, first) == first
    assert choice._remember(path, second) == first
    assert [file.name for file in cache.iterdir()] == ["abc.json"]


@pytest.mark.parametrize("damaged", ["", '{"key": "abc"', "[1]"])
def test_a_damaged_entry_is_replaced_and_does_not_part_the_workers(damaged: str, cache: Path) -> None:
    first, second = (Choice("abc", fused, "measured", 1.0, 0.9) for fused in (True, False))
    path = cache / "abc.json"
    cache.mkdir(parents=True)
    path.write_text(damaged)
    assert choice._remember(path, first) == first
    assert choice._remember(path, second) == first


def test_a_real_measurement_leaves_the_states_as_they_are(cache: Path) -> None:
    config = small_config(seeds=(0, 1), epochs=40)
    states = [start(config, seed, INFO, CPU) for seed in config.seeds]
    before = [{name: value.clone() for name, value in state.model.state_dict().items()} for state in states]
    found = choose("auto", config, INFO, splits(), states)
    assert found is not None
    assert found.apart
    assert found.together
    for state, values in zip(states, before, strict=True):
        assert state.epoch == 0
        assert all(torch.equal(value, state.model.state_dict()[name]) for name, value in values.items())


def test_a_cache_that_cannot_be_written_only_costs_a_measurement(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    found = chosen()
    assert found is not None
    assert found.reason == "measured"


def test_reports_say_how_replicates_were_trained() -> None:
    for seeds, fuse in (((0, 1), "on"), ((0, 1), "off"), ((0,), "on")):
        training = ImageTraining(small_config(seeds=seeds), digits(), normalization_of("dataset", digits()))
        reports = list(training.train(fuse))
        about = reports[0].fused
        assert (about and about["fused"]) == (None if len(seeds) == 1 else fuse == "on")
