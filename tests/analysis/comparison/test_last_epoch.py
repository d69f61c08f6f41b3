"""Trials at their last epoch, against pandas and SciPy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from analysis import table
from analysis.compare import app
from analysis.comparison.compare_runs import ComparedRuns, compare_runs
from analysis.runs.run_folder import RunFolder
from tests.support.made_results import make_run

DECAYS = tuple(round(0.1 * step, 1) for step in range(8))


def score(config: Mapping[str, Any], seed: int, epoch: int) -> float:
    """Best at the second of four epochs, and worst at the last."""
    return 0.9 - 0.02 * (epoch - 2) ** 2 * (1 + (7 * config["weight_decay"]) % 1) + 0.001 * seed


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("results") / "decays" / "one"
    return make_run(folder, {"weight_decay": DECAYS}, {"lr": [0.01]}, score)


@pytest.fixture(scope="module")
def last(run: RunFolder) -> ComparedRuns:
    return compare_runs([run], epoch="last")


def test_metrics_and_gaps_are_those_of_the_last_epoch(run: RunFolder, last: ComparedRuns) -> None:
    epochs = table.read(run.epochs_table, "epochs")
    expected = epochs.sort_values("epoch").groupby(["trial_id", "seed"]).last()
    rows = last.results.trials.set_index(["trial_id", "seed"]).sort_index()
    for name in ("val_auc", "test_acc", "train_loss"):
        np.testing.assert_array_equal(rows[name], expected[name])
    np.testing.assert_allclose(rows["gap_acc"], expected["train_acc"] - expected["test_acc"])
    assert (rows["best_epoch"] == 4).all()
    assert set(compare_runs([run]).results.trials["best_epoch"]) == {2}


def test_measures_are_those_of_the_final_weights(run: RunFolder, last: ComparedRuns) -> None:
    weights = table.read(run.weights_table, "weights").query("stage == 'final' and module_type != 'BatchNorm2d'")
    sizes = weights["shape"].map(np.prod)
    sums = (weights["lmc"] * sizes).groupby([weights["trial_id"], weights["seed"]]).sum()
    expected = sums / sizes.groupby([weights["trial_id"], weights["seed"]]).sum()
    rows = last.results.trials.set_index(["trial_id", "seed"])
    np.testing.assert_allclose(rows["lmc"].sort_index(), expected.sort_index())
    assert rows["sharpness"].isna().all()

    means = rows.groupby("trial_id")[["lmc", "gap_acc", "test_acc"]].mean()
    found = {(one.measure, one.outcome): one.plain.rho for one in last.models}
    assert found["lmc", "test_acc"] == pytest.approx(stats.spearmanr(means["lmc"], means["test_acc"])[0])

    linear = weights[weights["module_type"] == "Linear"].groupby("trial_id")["lmc"].mean()
    part = {(one.part, one.measure, one.outcome): one.plain.rho for one in last.parts}
    validation = rows.groupby("trial_id")["val_auc"].mean()
    assert part["Linear", "lmc", "val_auc"] == pytest.approx(stats.spearmanr(linear, validation)[0])


def test_a_copied_run_is_read_by_the_names_in_its_tables(run: RunFolder, last: ComparedRuns, tmp_path: Path) -> None:
    copy = RunFolder(tmp_path / "elsewhere" / "another")
    copy.path.mkdir(parents=True)
    for file in (run.trials_table, run.epochs_table, run.weights_table):
        (copy.path / file.name).write_bytes(file.read_bytes())
    again = compare_runs([copy], epoch="last")
    np.testing.assert_array_equal(again.results.trials["lmc"], last.results.trials["lmc"])


def test_a_run_without_weights_has_metrics_alone(tmp_path: Path) -> None:
    run = make_run(tmp_path / "decays" / "two", {"weight_decay": DECAYS}, {"lr": [0.01]}, score)
    run.weights_table.unlink()
    compared = compare_runs([run], epoch="last")
    assert compared.results.trials["lmc"].isna().all()
    assert not compared.models


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--epoch", "lst"], "unknown epoch 'lst': did you mean 'last'?"),
        (["--epoch", "last", "--stopped", "equal-epochs"], "leave one of them out"),
    ],
)
def test_bad_words_are_answered(run: RunFolder, words: list[str], complaint: str) -> None:
    outcome = CliRunner().invoke(app, [str(run.path), *words])
    assert complaint in str(outcome.exception or outcome.output)


def test_the_command_says_which_epoch(run: RunFolder) -> None:
    text = " ".join(CliRunner().invoke(app, [str(run.path), "--epoch", "last"]).stdout.split())
    assert "at the last epoch of each trial" in text
