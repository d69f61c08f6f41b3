"""Losses of steps and histograms: there where they are asked for, and without an effect on what is trained."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from ray import tune

from search_spaces.definition import Sweep
from sweeps.planning.notes import check_recording
from sweeps.planning.settings import Settings
from tests.support.short_training import small_config, started, trained, untimed
from trainables.errors import InputError
from trainables.training.gradients import Recording, histogram, record
from trainables.training.loop import steps_of
from trainables.training.replicates import epoch_row


@pytest.fixture(autouse=True)
def nothing_recorded() -> Iterator[None]:
    yield
    record(Recording())


def rows(recording: Recording, **values: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    record(recording)
    _, metrics = trained(**values)
    return [epoch_row(one) for one in metrics], [{**untimed(one), "recorded": None} for one in metrics]


def test_steps_and_histograms_stand_in_the_rows_and_change_no_result() -> None:
    plain, without = rows(Recording())
    found, with_them = rows(Recording(steps=True, histograms=2), epochs=2)
    assert with_them == without
    assert not {"step_losses", "histograms"} & set(plain[0])
    steps = steps_of(1257, small_config().batch_size)
    assert [len(row["step_losses"]) for row in found] == [steps, steps]
    assert found[0]["step_losses"][0] > found[1]["step_losses"][-1]
    assert "histograms" not in found[0]
    parameters = dict(started(small_config()).model.named_parameters())
    assert set(found[1]["histograms"]) == {f"{kind}/{name}" for kind in ("weights", "gradients") for name in parameters}
    for name, parameter in parameters.items():
        counts = [count for _, _, count in found[1]["histograms"][f"weights/{name}"]]
        assert sum(counts) == parameter.numel()


def test_a_histogram_counts_as_numpy_does() -> None:
    values = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    counts, edges = np.histogram(values.numpy(), bins=30)
    found = histogram(values)
    assert [count for _, _, count in found] == counts.tolist()
    assert [left for left, _, _ in found] == pytest.approx(edges[:-1], rel=1e-4)
    assert histogram(torch.full((3,), 2.0)) == [[2.0, 2.0, 3.0]]
    assert histogram(torch.tensor([math.nan, math.inf])) == []


@pytest.mark.parametrize("asked", [{"log_steps": True}, {"log_histograms": 3}])
def test_steps_of_one_fused_network_cannot_be_kept(asked: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="--fuse on"):
        Settings(fuse="on", **asked)


def test_a_training_function_has_no_steps_that_we_see() -> None:
    sweep = Sweep("?", {"c": tune.grid_search([1, 2])}, trainable="my.py:train")
    with pytest.raises(InputError, match="--log-steps has no effect"):
        check_recording(sweep, True, 0)
    check_recording(sweep, False, 0)
