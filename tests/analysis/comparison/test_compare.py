"""Comparisons against pandas, SciPy and brute force."""

from __future__ import annotations

import io
import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pytest
from rich.console import Console
from scipy import stats
from typer.testing import CliRunner

from analysis import table
from analysis.compare import app
from analysis.comparison.correlations import associate_models, associate_parts, part_means, parts
from analysis.comparison.importance import importances
from analysis.comparison.judged_epoch import with_stopped
from analysis.comparison.results import Results, load
from analysis.comparison.sentences import answers, association_words, format_p, importance_words
from analysis.comparison.standings import Comparison, Difference, Standing, compare
from analysis.comparison.terminal import print_standings
from analysis.runs.run_folder import RunFolder
from analysis.statistics.estimates_and_tests import (
    benjamini_hochberg,
    friedman,
    holm,
    mean_interval,
    mean_ranks,
    paired_p,
    seeds_to_tell_apart,
)
from analysis.statistics.rank_correlation import _block_ranks, spearman
from tests.conftest import ROOT
from tests.support.made_results import REASONS, make_run
from trainables.errors import InputError
from trainables.json_values import as_json_value

LEVELS = {"relu": 0.90, "gelu": 0.93, "tanh": 0.80}
RATES = (0.001, 0.003, 0.01, 0.1)


def score(config: Mapping[str, Any], seed: int, epoch: int) -> float:
    """Best at a rate of 0.01; gelu above relu above tanh; seeds and epochs move a little."""
    level = LEVELS[config["activation"]] - 0.02 * abs(math.log10(config["lr"]) + 2)
    return float(level - 0.05 / epoch + 0.001 * seed * (1 if config["activation"] == "relu" else -1))


def status(config: Mapping[str, Any]) -> str:
    return (
        "stopped"
        if config["lr"] == 0.1
        else "failed"
        if (config["activation"], config["lr"]) == ("tanh", 0.001)
        else "completed"
    )


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return make_run(tmp_path / "s" / "a", {"activation": list(LEVELS)}, {"lr": list(RATES)}, score, status=status)


@pytest.fixture
def results(run: RunFolder) -> Results:
    return load([run])


# Statistics -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [[1.0, 2.0, 4.0], [0.1, 0.1, 0.5, 0.9], list(range(40))])
def test_the_interval_is_student_s(values: list[float]) -> None:
    found = mean_interval(values)
    low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    assert (found.mean, found.low, found.high) == pytest.approx((np.mean(values), low, high))
    assert found.half_width == pytest.approx((high - low) / 2)


@pytest.mark.parametrize(
    ("values", "mean", "n"),
    [
        ([], math.nan, 0),
        ([3.0], 3.0, 1),
        ([2.0, 4.0], 3.0, 2),
        ([0.5, 0.5, 0.5], 0.5, 3),  # no spread: nothing is known of chance
        ([math.nan, 3.0, 4.0, 5.0], math.nan, 4),
        ([None, 3.0, 4.0, 5.0], math.nan, 4),
    ],
)
def test_too_little_is_known_for_an_interval(values: list[float], mean: float, n: int) -> None:
    found = mean_interval(values)
    assert found.mean == pytest.approx(mean, nan_ok=True)
    assert found.n == n
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_paired_p_is_that_of_scipy() -> None:
    a, b = np.random.default_rng(1).normal(size=(2, 7))
    assert paired_p(a - b) == pytest.approx(stats.ttest_rel(a, b).pvalue)


@pytest.mark.parametrize("seeds", [1, 2, 3, 5])
def test_differences_that_are_equal_have_no_p(seeds: int) -> None:
    assert math.isnan(paired_p([1 / 156] * seeds))
    assert math.isnan(paired_p([0.0] * seeds))


@pytest.mark.parametrize(("size", "expected"), [(0.5, 34), (1.0, 10), (2.0, 5)])
def test_seeds_to_tell_apart_are_those_of_the_tables(size: float, expected: int) -> None:
    """Cohen (1988) and G*Power: paired t test, two-sided 5 %, power 80 %, effect sizes 0.5, 1 and 2."""
    unit = np.array([-1.0, 0.0, 1.0])  # standard deviation 1
    assert seeds_to_tell_apart(list(unit + size)) == expected
    assert seeds_to_tell_apart([0.1, 0.1, 0.1]) is None
    assert seeds_to_tell_apart(list(unit + 1e-3)) == 1000


def test_holm_is_its_definition() -> None:
    p = [0.01, 0.02, 0.03, 0.005, math.nan]
    assert holm(p) == pytest.approx([0.03, 0.04, 0.04, 0.02, math.nan], nan_ok=True)  # as R's p.adjust


def test_benjamini_hochberg_is_its_definition() -> None:
    p = np.random.default_rng(0).random(20) ** 2
    order = np.argsort(p)
    expected = np.empty(20)
    running = 1.0
    for place in range(19, -1, -1):
        running = min(running, p[order[place]] * 20 / (place + 1))
        expected[order[place]] = running
    found = benjamini_hochberg([*p, math.nan])
    assert found[:-1] == pytest.approx(expected)
    assert math.isnan(found[-1])


def test_spearman_is_that_of_scipy_with_ties() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 6, 30), rng.integers(0, 6, 30) + rng.integers(0, 3, 30)
    found, expected = spearman(x, y), stats.spearmanr(x, y)
    assert found.rho == pytest.approx(expected.statistic)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.low < found.rho < found.high


@pytest.mark.parametrize("n", [6, 7, 8, 9])
def test_a_perfect_order_of_few_has_the_exact_p(n: int) -> None:
    found = spearman(range(n), range(n))
    exact = 2 / math.factorial(n)
    assert found.p == pytest.approx(exact) if n <= 7 else 0 < found.p < 1e-3
    assert math.isnan(found.low)
    assert math.isnan(found.high)


@pytest.mark.parametrize("n", [6, 7, 8, 9])
def test_p_of_few_is_that_of_all_permutations(n: int) -> None:
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=(2, n))
    rank = stats.rankdata(x)

    def rho(z: Any, axis: int) -> Any:
        return np.moveaxis(stats.rankdata(z, axis=axis), axis, -1) @ (rank - rank.mean())

    expected = stats.permutation_test((y,), rho, permutation_type="pairings", n_resamples=np.inf, vectorized=True)
    # Ours are all of them up to 7, and 9,999 at random with a seed from 8.
    assert spearman(x, y).p == pytest.approx(expected.pvalue, abs=1e-12 if n < 8 else 0.01)


def test_few_independent_trials_show_nothing(tmp_path: Path) -> None:
    """180 correlations of random numbers over 4 or 5 trials: none is shown, let alone survives."""
    rng = np.random.default_rng(5)
    for n in (4, 5):
        assert all(math.isnan(spearman(*rng.normal(size=(2, n))).p) for _ in range(180))
    p = [spearman(*rng.normal(size=(2, 6))).p for _ in range(180)]
    assert min(p) >= 2 / math.factorial(6)
    assert not any(value < 0.05 for value in benjamini_hochberg(p))


def test_equal_settings_as_blocks_undo_what_a_curve_does() -> None:
    """Measure and outcome both an inverted U of the rate: linear adjustment of ranks leaves them related."""
    rng = np.random.default_rng(0)
    rate = np.repeat([0.0, 1.0, 2.0, 3.0], 12)
    bump = np.repeat([0.0, 1.0, 1.2, 0.1], 12)
    x, y = bump + 0.3 * rng.normal(size=48), bump + 0.3 * rng.normal(size=48)
    assert spearman(x, y, None, [rate]).rho > 0.6
    assert abs(spearman(x, y, rate).rho) < 0.3


def test_partial_spearman_is_that_of_the_inverse_correlation_matrix() -> None:
    rng = np.random.default_rng(1)
    z, w = rng.normal(size=(2, 40))
    x, y = z + rng.normal(size=40), z + w + rng.normal(size=40)
    inverse = np.linalg.inv(np.corrcoef([stats.rankdata(v) for v in (x, y, z, w)]))
    expected = -inverse[0, 1] / math.sqrt(inverse[0, 0] * inverse[1, 1])
    found = spearman(x, y, None, [z, w])
    assert found.rho == pytest.approx(expected)
    freedom = 40 - 2 - 2
    assert found.p == pytest.approx(2 * stats.t.sf(abs(expected) * math.sqrt(freedom / (1 - expected**2)), freedom))


@pytest.mark.parametrize("seed", range(5))
def test_ranks_within_blocks_are_those_of_scipy_block_by_block(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 40, 300)
    labels[:40] = np.arange(40)
    values = np.round(rng.normal(size=300), 1)
    expected = np.zeros(300)
    for label in range(40):
        inside = labels == label
        rank = stats.rankdata(values[inside]) / inside.sum()
        expected[inside] = rank - rank.mean()
    assert _block_ranks(values, labels) == pytest.approx(expected, abs=1e-14)


def test_results_read_the_columns_and_the_stages_that_are_asked_for(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"activation": ["relu", "tanh"]}, {}, lambda c, s, e: 0.8)
    results = load([run])
    everything = results.frame("weights")
    best = results.frame("weights", ["tensor", "lmc"], ["best"])
    assert list(best) == [*table.IDENTITY, "stage", "tensor", "lmc", "trial", "value", "block"]
    expected = everything[everything["stage"] == "best"].reset_index(drop=True)
    assert 0 < len(best) < len(everything)
    pd.testing.assert_frame_equal(best, expected[list(best)])


def test_a_trial_with_rows_of_several_settings_is_a_damaged_table(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"activation": ["relu", "tanh"]}, {}, lambda c, s, e: 0.8)
    trials = table.read_arrow(run.trials_table)
    same = pa.array(["0001"] * len(trials))
    index = trials.schema.get_field_index("trial_id")
    table.write_arrow(run.trials_table, trials.set_column(index, trials.schema.field(index), same))
    with pytest.raises(InputError, match="has rows of several settings"):
        load([run])


def test_a_column_that_an_earlier_version_lacks_is_null(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"activation": ["relu", "tanh"]}, {}, lambda c, s, e: 0.8)
    table.write_arrow(run.weights_table, table.read_arrow(run.weights_table, "weights").drop_columns(["alpha"]))
    assert load([run]).frame("weights", ["tensor", "alpha"])["alpha"].isna().all()
    associate_parts(load([run]), ("val_auc",))


def test_spearman_within_blocks_ignores_what_differs_between_them() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=40)
    y = -x + 0.1 * rng.normal(size=40)
    blocks = np.repeat(["a", "b"], 20)
    shift = np.where(blocks == "a", 0.0, 100.0)
    assert spearman(x + shift, y + shift).rho > 0.4
    found = spearman(x + shift, y + shift, blocks)
    single = [stats.spearmanr(x[blocks == b], y[blocks == b]).statistic for b in "ab"]
    assert found.rho == pytest.approx(np.mean(single), abs=1e-9)


def test_a_known_interval_holds_rho_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    rho = 6 / math.pi * math.asin(0.6 / 2)  # Spearman's for a bivariate Gaussian with correlation 0.6
    held = 0
    for _ in range(400):
        x = rng.normal(size=60)
        found = spearman(x, 0.6 * x + 0.8 * rng.normal(size=60))
        held += found.low <= rho <= found.high
    assert 0.92 <= held / 400 <= 0.98


@pytest.mark.parametrize(
    ("x", "y"), [([1, 2, 3], [1, 2, 3]), ([1, 1, 1, 1, 1], [1, 2, 3, 4, 5]), ([math.nan] * 6, list(range(6)))]
)
def test_a_correlation_that_means_nothing_is_nan(x: list[float], y: list[float]) -> None:
    found = spearman(x, y)
    assert math.isnan(found.rho)
    assert math.isnan(found.p)


def test_ranks_and_friedman_are_those_of_pandas_and_scipy() -> None:
    scores = np.random.default_rng(4).random((8, 4))  # datasets, values
    scores[2, 1] = math.nan
    complete = pd.DataFrame(scores).dropna()
    assert mean_ranks(scores, higher=True) == pytest.approx(complete.rank(axis=1, ascending=False).mean().to_numpy())
    p, least = friedman(scores)
    assert p == pytest.approx(stats.friedmanchisquare(*complete.to_numpy().T).pvalue)
    assert least == pytest.approx(2.569 * math.sqrt(4 * 5 / (6 * 7)), rel=1e-3)  # Demšar (2006), table 5a
    assert all(map(math.isnan, friedman(scores[3:7])))  # four datasets are too few


# Comparison -----------------------------------------------------------------------------------------------------------


def standing(found: Comparison, value: str) -> Standing:
    return next(one for one in found.standings if one.value == value)


def difference(found: Comparison, value: str, metric: str) -> Difference:
    return next(one for one in found.differences if (one.value, one.metric) == (value, metric))


def test_each_value_stands_at_its_best_finished_setting(results: Results, run: RunFolder) -> None:
    found = compare(results)
    frame = pd.read_parquet(run.trials_table).query("status == 'completed'")
    means = frame.groupby(["activation", "lr"])[["val_auc", "test_auc", "test_acc"]].mean()
    for value in LEVELS:
        best = means.loc[value]["val_auc"].idxmax()
        one = standing(found, value)
        assert one.nuisance == {"lr": f"{best:.3g}"}
        for metric in ("val_auc", "test_auc", "test_acc"):
            assert one.metrics[metric].mean == pytest.approx(means.loc[(value, best), metric], rel=1e-12)
        assert one.n == 3
    assert [one.value for one in found.standings] == ["gelu", "relu", "tanh"]
    assert standing(found, "tanh").statuses == {"completed": 2, "stopped": 1, "failed": 1}
    assert standing(found, "tanh").left_out == 2


def test_differences_are_paired_by_seed(results: Results) -> None:
    found = compare(results)
    gaps = [
        score({"activation": "relu", "lr": 0.01}, s, 4) - score({"activation": "gelu", "lr": 0.01}, s, 4)
        for s in range(3)
    ]
    one = difference(found, "relu", "val_auc")
    assert (one.against, one.estimate.n) == ("gelu", 3)
    assert one.estimate.mean == pytest.approx(np.mean(gaps))
    assert one.p == pytest.approx(stats.ttest_1samp(gaps, 0).pvalue)
    corrected = holm([difference(found, value, "val_auc").p for value in ("relu", "tanh")])
    assert one.p_corrected == pytest.approx(corrected[0])


def test_a_value_can_be_named_to_compare_with(results: Results) -> None:
    found = compare(results, "relu")
    assert {one.against for one in found.differences} == {"relu"}
    assert difference(found, "gelu", "test_auc").estimate.mean > 0
    with pytest.raises(InputError, match="did you mean 'relu'"):
        compare(results, "rel")


def test_equal_epochs_take_stopped_trials_in(results: Results, run: RunFolder) -> None:
    fair = with_stopped(results, "equal-epochs")
    assert fair.equal_epochs == {"digits": 2}
    found = compare(fair)
    epochs = pd.read_parquet(run.epochs_table).query("epoch <= 2")
    settings = pd.read_parquet(run.trials_table)[["trial_id", "seed", "activation", "lr"]]
    best = epochs.sort_values("val_auc").groupby(["trial_id", "seed"]).tail(1).merge(settings, on=["trial_id", "seed"])
    means = best.groupby(["activation", "lr"])[["val_auc", "test_acc"]].mean()
    one = standing(found, "tanh")
    rate = means.loc["tanh"]["val_auc"].idxmax()
    assert one.nuisance == {"lr": f"{rate:.3g}"}
    assert one.metrics["test_acc"].mean == pytest.approx(means.loc[("tanh", rate), "test_acc"], rel=1e-12)
    assert one.trials == 3  # the failed one has nothing to show
    assert "after 2 epochs" in answers(fair, found)[0]


def test_the_noise_floor_is_the_pooled_deviation_of_replicates(results: Results, run: RunFolder) -> None:
    (noise,) = [n for n in compare(results).noise if n.metric == "test_auc"]
    frame = pd.read_parquet(run.trials_table).query("status == 'completed'")
    variance = frame.groupby("trial_id")["test_auc"].var(ddof=1).mean()
    assert noise.deviation == pytest.approx(math.sqrt(variance))
    freedom = 2 * frame["trial_id"].nunique()
    assert noise.least == pytest.approx(stats.t.ppf(0.975, freedom) * math.sqrt(2 * variance / 3))


def test_a_trial_with_an_undefined_replicate_is_never_the_best(tmp_path: Path) -> None:
    def broken(config: Mapping[str, Any], seed: int, epoch: int) -> float:
        return math.nan if (config["lr"], seed) == (0.1, 1) else 0.9 if config["lr"] == 0.1 else 0.8

    run = make_run(tmp_path / "s" / "a", {"activation": ["relu"]}, {"lr": [0.1, 0.01]}, broken)
    assert compare(load([run])).standings[0].nuisance == {"lr": "0.01"}


def test_a_value_without_a_finished_trial_stands_last(tmp_path: Path) -> None:
    run = make_run(
        tmp_path / "s" / "a", {"activation": ["tanh", "relu"]}, {"lr": [0.1]}, score,
        status=lambda config: "failed" if config["activation"] == "tanh" else "completed",
    )  # fmt: skip
    found = compare(load([run]))
    assert [(one.value, one.trial is None) for one in found.standings] == [("relu", False), ("tanh", True)]
    assert found.differences == ()
    assert "1 of 2 trials" in answers(load([run]), found)[0]


def test_only_losses_are_better_lower(tmp_path: Path) -> None:
    run = make_run(tmp_path / "s" / "a", {"activation": ["relu", "gelu"]}, {}, score)
    found = compare(load([run], "val_loss"))
    assert [one.value for one in found.standings] == ["gelu", "relu"]
    assert [one.rank for one in found.standings] == [1, 2]
    with pytest.raises(InputError, match="nothing is ever selected by test"):
        load([run], "test_auc")


def two_datasets(tmp_path: Path) -> list[RunFolder]:
    grids = {"activation": list(LEVELS)}, {"lr": list(RATES)}
    easy = make_run(tmp_path / "s" / "easy", *grids, lambda c, s, e: 0.05 + score(c, s, e), fixed={"dataset": "digits"})
    hard = make_run(
        tmp_path / "s" / "hard", *grids, lambda c, s, e: score(c, s, e) - 0.2 + 0.06 * (c["activation"] == "relu"),
        fixed={"dataset": "mnist"}, epochs=6,
    )  # fmt: skip
    return [easy, hard]


def test_datasets_are_compared_apart_and_ranked_together(tmp_path: Path) -> None:
    results = load(two_datasets(tmp_path))
    assert results.blocks == ["digits", "mnist"]  # epochs differ too, which follows from the dataset
    found = compare(results)
    assert [one.value for one in found.block("digits")] == ["gelu", "relu", "tanh"]
    assert [one.value for one in found.block("mnist")] == ["relu", "gelu", "tanh"]
    assert found.ranking.rows == 2  # a row a dataset: seeds of one are no independent rows
    assert math.isnan(found.ranking.p)
    assert found.ranking.ranks == pytest.approx({"gelu": 1.5, "relu": 1.5, "tanh": 3.0})
    assert len([one for one in found.differences if one.metric == "val_auc"]) == 4
    assert "relu and gelu rank best: 1.50 on average" in answers(results, found)[-1]
    assert [one.rank for one in found.block("mnist")] == [1, 2, 3]


def test_the_same_trial_in_two_runs_counts_once(tmp_path: Path, run: RunFolder) -> None:
    frame = table.read_arrow(run.trials_table)
    again = RunFolder(tmp_path / "s" / "b")
    again.path.mkdir()
    table.write_arrow(again.trials_table, frame)
    assert len(load([run, again]).trials) == len(load([run]).trials)


def test_runs_that_were_selected_differently_need_a_word(tmp_path: Path, run: RunFolder) -> None:
    other = make_run(tmp_path / "s" / "b", {"activation": ["relu"]}, {}, score, metric="val_acc")
    with pytest.raises(InputError, match="say which by --metric"):
        load([run, other])
    assert load([run, other], "val_acc").metric == "val_acc"


def test_no_trial_yet_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no trial has ended yet"):
        load([RunFolder(tmp_path)])


def rewrite(run: RunFolder, **columns: Any) -> None:
    """Change columns of a run's trials: each a function of a row."""
    content = table.read_arrow(run.trials_table)
    rows = content.to_pylist()
    for row in rows:
        row.update({name: change(row) for name, change in columns.items()})
    table.write_arrow(run.trials_table, pa.Table.from_pylist(rows, schema=content.schema))


def same_trials(tmp_path: Path, first: str, second: str) -> list[RunFolder]:
    """Two runs of the same trials; gelu ends as told, and is the best where it was completed."""
    runs = []
    for name, ended in (("a", first), ("b", second)):
        run = make_run(
            tmp_path / "s" / name, {"activation": ["relu", "gelu"]}, {}, score,
            status=lambda config, ended=ended: ended if config["activation"] == "gelu" else "completed",
        )  # fmt: skip
        rewrite(run, trial_key=lambda row: row["activation"])
        runs.append(run)
    return runs


@pytest.mark.parametrize("other", ["stopped", "failed", "diverged"])
@pytest.mark.parametrize("order", [1, -1])
def test_of_equal_trials_the_one_that_was_trained_to_its_end_is_kept(tmp_path: Path, other: str, order: int) -> None:
    runs = same_trials(tmp_path, *(other, "completed")[::order])
    for given in (runs, runs[::-1]):
        found = compare(load(given))
        assert [one.value for one in found.standings] == ["gelu", "relu"]
        assert standing(found, "gelu").statuses == {"completed": 1}
        assert len(load(given).table) == 6


def test_a_trial_that_a_population_changed_never_stands_for_a_plain_one(tmp_path: Path) -> None:
    plain, changed = same_trials(tmp_path, "completed", "completed")
    rewrite(changed, changes=lambda row: "after epoch 2: weights of 0003, lr=0.012", val_auc=lambda row: 0.99)
    results = load([plain, changed])
    assert set(results.table["run_id"].to_pylist()) == {"a"}


def seeded(path: Path, seeds: list[int], activations: list[str], **more: Any) -> RunFolder:
    """A run of the rates 0.01 and 0.1 whose replicates have these seeds; a higher seed scores lower."""
    run = make_run(path, {"activation": activations}, {"lr": [0.01, 0.1]}, lambda *_: 0.0, seeds=len(seeds), **more)
    level = {"relu": 0.9, "tanh": 0.8}
    rewrite(
        run, seed=lambda row: seeds[row["replicate"]], seeds=lambda row: seeds,
        val_auc=lambda row: level[row["activation"]] - 0.01 * seeds[row["replicate"]] - row["lr"],
    )  # fmt: skip
    content = table.read_arrow(run.epochs_table, "epochs")
    own = pa.array([seeds[number] for number in content["replicate"].to_pylist()], content["seed"].type)
    table.write_arrow(run.epochs_table, content.set_column(content.schema.get_field_index("seed"), "seed", own))
    return run


@pytest.mark.parametrize("order", [1, -1])
def test_replicates_of_a_setting_are_one_trial_whatever_run_trained_them(tmp_path: Path, order: int) -> None:
    """Two runs of the seeds 0 to 2 and 2 to 4, as where a run was extended by seeds: a setting stands once."""
    runs = [
        seeded(tmp_path / "s" / name, seeds, ["relu", "tanh"]) for name, seeds in (("a", [0, 1, 2]), ("b", [2, 3, 4]))
    ]
    results = load(runs[::order])
    found = compare(results)
    for one in found.standings:
        assert (one.n, one.trials, list(one.seeds["val_auc"])) == (5, 2, [0, 1, 2, 3, 4])
    assert standing(found, "relu").metrics["val_auc"].mean == pytest.approx(0.87)
    (difference,) = [d for d in found.differences if d.metric == "val_auc"]
    assert difference.estimate.n == 5
    epochs = results.frame("epochs")
    assert epochs.groupby(["trial", "seed"])["epoch"].count().tolist() == [4] * 20
    assert len(load(runs, pool=False).trials) == 24


@pytest.mark.parametrize("other", [{"datasets": {"digits": "11bb"}}, {"provenance": {"code_digest": "1"}}])
def test_trials_of_other_data_or_code_are_no_replicates(tmp_path: Path, other: dict[str, Any]) -> None:
    runs = [seeded(tmp_path / "s" / "a", [0, 1, 2], ["relu"]), seeded(tmp_path / "s" / "b", [3, 4], ["relu"], **other)]
    assert load(runs).trials["trial"].nunique() == 4


def test_more_seeds_that_were_stopped_do_not_take_the_place_of_those_that_finished(tmp_path: Path) -> None:
    runs = [
        seeded(tmp_path / "s" / "a", [0, 1, 2], ["relu"]),
        seeded(tmp_path / "s" / "b", [0, 1, 2, 3, 4], ["relu"], status=lambda config: "stopped"),
    ]
    (one,) = compare(load(runs)).standings
    assert (one.n, one.trials, one.statuses) == (3, 2, {"completed": 2})


def test_what_is_undefined_is_said_and_never_averaged_in_part(tmp_path: Path) -> None:
    def undefined(config: Mapping[str, Any], seed: int, epoch: int) -> float:
        return math.nan if config["activation"] == "tanh" and seed == 1 else score(config, seed, epoch)

    results = load([make_run(tmp_path / "s" / "a", {"activation": list(LEVELS)}, {"lr": list(RATES)}, undefined)])
    (text,) = answers(results, compare(results))
    assert "The validation AUC of 4 trials is undefined with some seed: left out, all of tanh among them." in text
    assert {one.plain.n for one in associate_models(results)} == {8}
    nothing = load([make_run(tmp_path / "s" / "b", {"activation": ["relu"]}, {}, lambda *_: math.nan)])
    assert "was trained to its end with a defined validation AUC" in answers(nothing, compare(nothing))[0]


def test_seeds_that_do_not_differ_say_nothing_of_noise(tmp_path: Path) -> None:
    results = load([make_run(tmp_path / "s" / "a", {"activation": ["relu", "tanh"]}, {"lr": [0.1]}, lambda *_: 0.8)])
    found = compare(results)
    assert all(math.isnan(noise.least) for noise in found.noise)
    assert "closer than" not in answers(results, found)[0]


def test_an_infinite_value_is_never_the_best(tmp_path: Path) -> None:
    wild = lambda config, seed, epoch: math.inf if config["activation"] == "tanh" else 0.8  # noqa: E731
    results = load([make_run(tmp_path / "s" / "a", {"activation": ["relu", "tanh"]}, {"lr": [0.1]}, wild)])
    assert [one.value for one in compare(results).standings if one.trial] == ["relu"]


def test_a_copied_run_counts_once(tmp_path: Path, run: RunFolder) -> None:
    copy = tmp_path / "copy" / "s" / "a"
    shutil.copytree(run.path, copy)
    both = load([run, RunFolder(copy)])
    assert len(both.table) == len(load([run]).table)
    assert len(both.frame("epochs")) == len(load([run]).frame("epochs"))


def test_two_sweeps_may_have_runs_of_one_name(tmp_path: Path) -> None:
    grid: tuple[dict[str, Any], dict[str, Any]] = {"activation": ["relu", "gelu"]}, {}
    runs = [make_run(tmp_path / sweep / "first", *grid, score, epochs=epochs) for sweep, epochs in (("s", 4), ("t", 6))]
    for number, run in enumerate(runs):
        rewrite(run, trial_key=lambda row, number=number: f"{number}{row['trial_id']}")
    results = load(runs)
    assert results.trials.groupby("trial")["seed"].count().tolist() == [3, 3, 3, 3]


def test_values_that_agree_to_three_digits_are_two_values(tmp_path: Path) -> None:
    run = make_run(
        tmp_path / "s" / "a", {"ema": [0.9995, 0.9999]}, {"momentum": [0.90001, 0.90002]},
        lambda config, seed, epoch: 0.8 + 0.1 * (config["ema"] == 0.9999) + config["momentum"] / 100 + 1e-3 * seed,
    )  # fmt: skip
    found = compare(load([run]))
    assert [one.value for one in found.standings] == ["0.9999", "0.9995"]
    assert {one.nuisance["momentum"] for one in found.standings} == {"0.90002"}
    assert len(found.differences) == 3


def test_replicates_apart_are_complete_settings_or_nothing(tmp_path: Path) -> None:
    """One lucky seed of a setting survives the rungs: the setting is not judged by it."""
    level = {0.01: 0.80, 0.1: 0.845}
    run = make_run(
        tmp_path / "s" / "a", {"activation": ["gelu"]}, {"lr": list(level)},
        lambda config, seed, epoch: level[config["lr"]] + 0.12 * (config["lr"] == 0.01 and seed == 0) + 1e-3 * seed,
        replicates="apart",
    )  # fmt: skip
    unlucky = lambda row: row["lr"] == 0.01 and row["seed"] > 0  # noqa: E731
    rewrite(
        run,
        seeds=lambda row: [row["seed"]],
        status=lambda row: "stopped" if unlucky(row) else row["status"],
        stop_reason=lambda row: "rung 2" if unlucky(row) else row["stop_reason"],
    )
    found = standing(compare(load([run])), "gelu")
    assert (found.nuisance, found.n, found.left_out) == ({"lr": "0.1"}, 3, 1)
    assert found.statuses == {"stopped": 1, "completed": 1}
    assert found.metrics["val_auc"].mean == pytest.approx(0.846)
    frame = table.read_arrow(run.trials_table)
    table.write_arrow(run.trials_table, frame.filter(pa.compute.not_equal(frame["seed"], 2)))
    found = standing(compare(load([run])), "gelu")
    assert found.trial is None  # the third seed is still to come


def test_a_trial_that_ended_by_its_own_patience_is_finished_everywhere(tmp_path: Path) -> None:
    level = {0.01: 0.99, 0.00001: 0.80}
    run = make_run(
        tmp_path / "s" / "a", {"activation": ["relu"]}, {"lr": list(level)},
        lambda config, seed, epoch: level[config["lr"]] + 1e-3 * seed,
        status=lambda config: "stopped" if config["lr"] == 0.01 else "completed",
    )  # fmt: skip
    rewrite(run, stop_reason=lambda row: "early stopping of every replicate by epoch 2")
    assert standing(compare(load([run])), "relu").nuisance == {"lr": "0.01"}
    console = Console(record=True, width=140, file=io.StringIO())
    print_standings(console, load([run]))
    assert "0.01" in console.export_text()
    assert "1e-05" not in console.export_text()


def test_equal_epochs_take_the_epoch_whose_weights_were_kept(tmp_path: Path) -> None:
    """val_loss selects between trials; the epoch within one is that of the best AUC, as without equal epochs."""
    run = make_run(
        tmp_path / "s" / "a", {"activation": ["relu"]}, {}, lambda c, s, e: [0.7, 0.9, 0.8, 0.6][e - 1], seeds=1,
        metric="val_loss",
    )  # fmt: skip
    epochs = table.read_arrow(run.epochs_table, "epochs")
    rows = [{**row, "is_best": row["epoch"] <= 2, "val_loss": 1.0 / row["epoch"]} for row in epochs.to_pylist()]
    table.write_arrow(run.epochs_table, pa.Table.from_pylist(rows, schema=epochs.schema))
    (row,) = with_stopped(load([run]), "equal-epochs").table.to_pylist()
    assert (row["best_epoch"], row["val_loss"], row["val_auc"]) == (2, 0.5, 0.9)


@pytest.mark.parametrize("width", [80, 100, 140])
def test_the_summary_is_the_first_table_of_a_comparison(run: RunFolder, width: int) -> None:
    console = Console(record=True, width=width, file=io.StringIO())
    print_standings(console, load([run]))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= width
    for one in compare(load([run])).standings:
        assert f"{one.metrics['val_auc'].mean:.4f}" in text
        assert f"±{one.metrics['test_acc'].half_width:.4f}".replace("±0", "±") in text
    assert "±95 % interval over 3 replicates" in text


def test_what_cannot_be_told_apart_is_said(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    run = make_run(tmp_path / "s" / "a", {"activation": list(LEVELS)}, {}, lambda c, s, e: 0.9996 + 1e-5 * rng.random())
    console = Console(record=True, width=200, file=io.StringIO())
    print_standings(console, load([run]))
    for text in (console.export_text(), answers(load([run]), compare(load([run])))[0]):
        assert "Nothing is told apart: none of 2 differences" in text
        assert "The validation AUC is saturated (all 3 values reach 0.9995 or more)" in text


def test_one_difference_that_may_be_chance_is_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    run = make_run(tmp_path / "s" / "a", {"activation": ["relu", "gelu"]}, {}, lambda c, s, e: 0.8 + 0.1 * rng.random())
    (paragraph,) = answers(load([run]), compare(load([run])))
    assert re.search(r"the difference of (relu from gelu|gelu from relu) is not beyond what seeds do", paragraph)


def test_who_is_told_apart_is_said_at_the_end_of_a_run(tmp_path: Path) -> None:
    """p as scipy's paired t test has it, times the two comparisons of Holm's first step."""
    mean = {"relu": 0.9, "gelu": 0.9, "tanh": 0.5}
    rng = np.random.default_rng(1)
    run = make_run(
        tmp_path / "s" / "a", {"activation": list(mean)}, {},
        lambda c, s, e: mean[c["activation"]] + 0.01 * rng.random(),
    )  # fmt: skip
    console = Console(record=True, width=200, file=io.StringIO())
    print_standings(console, load([run]))
    trials = table.read(run.path).groupby("activation")["val_auc"].apply(list)
    best = max(("relu", "gelu"), key=lambda name: np.mean(trials[name]))
    p = 2 * stats.ttest_rel(trials[best], trials["tanh"]).pvalue
    said = f"Told apart from {best}: tanh ({format_p(p)}); paired t tests over seeds, Holm-corrected."
    assert said in console.export_text()
    assert "Nothing is told apart" not in console.export_text()


@pytest.mark.parametrize("third", [-0.1, 0.1], ids=["the best", "not the best"])
@pytest.mark.parametrize("seeds", [2, 3])
def test_identical_results_are_said(third: float, seeds: int, tmp_path: Path) -> None:
    run = make_run(
        tmp_path / "s" / "a",
        {"optimizer": ["adam", "adamw", "sgd"]},
        {},
        lambda c, s, e: 0.8 + 0.01 * s + third * (c["optimizer"] == "sgd"),
        seeds=seeds,
    )
    found, console = compare(load([run])), Console(record=True, width=200, file=io.StringIO())
    assert third > 0 or difference(found, "adamw", "val_auc").identical
    print_standings(console, load([run]))
    for text in (console.export_text(), answers(load([run]), found)[0]):
        assert "adam and adamw scored exactly the same with every seed" in text
        assert "sgd scored" not in text


def test_two_seeds_have_neither_interval_nor_p(tmp_path: Path) -> None:
    run = make_run(tmp_path / "s" / "a", {"activation": ["relu", "gelu"]}, {}, score, seeds=2)
    found = compare(load([run]))
    assert all(math.isnan(one.metrics["val_auc"].low) for one in found.standings)
    assert math.isnan(found.differences[0].p)
    assert "with 2 seeds nothing is known of chance: run with --seeds 3 or more" in answers(load([run]), found)[0]


# Importance and complexity --------------------------------------------------------------------------------------------


def test_the_field_that_decides_matters_most(tmp_path: Path) -> None:
    def only_the_rate(config: Mapping[str, Any], seed: int, epoch: int) -> float:
        return 0.9 - 0.1 * abs(math.log10(config["lr"]) + 2)

    run = make_run(
        tmp_path / "s" / "a", {"activation": list(LEVELS)}, {"lr": [0.001, 0.003, 0.01, 0.03], "batch_size": [32, 64]},
        only_the_rate,
    )  # fmt: skip
    (found,) = importances(load([run]))
    assert sum(found.shares.values()) == pytest.approx(1)
    assert found.shares["lr"] > 0.9
    assert found.n == 24
    assert "lr matters most" in importance_words(found)


def test_importance_is_over_all_trials_and_not_over_the_survivors_of_rungs(tmp_path: Path) -> None:
    """The rate decides; the rungs stopped all but the best rate, at which only the activation is left to matter."""

    def by_rate(config: Mapping[str, Any], seed: int, epoch: int) -> float:
        return 0.9 - 0.1 * abs(math.log10(config["lr"]) + 2) + 1e-4 * len(config["activation"])

    rates = [0.0001, 0.001, 0.01, 0.1]
    run = make_run(
        tmp_path / "s" / "a", {"activation": ["a", "bb", "ccc", "dddd", "eeeee"]}, {"lr": rates}, by_rate,
        status=lambda config: "completed" if config["lr"] == 0.01 else "stopped",
    )  # fmt: skip
    (found,) = importances(load([run]))
    assert (found.n, found.epochs, found.left_out) == (20, 2, 0)
    assert found.shares["lr"] > 0.9
    assert "of 20 trials (each judged after 2 epochs)" in importance_words(found)
    run.epochs_table.unlink()
    (found,) = importances(load([run]))
    assert found.shares == {}  # five survivors, and what is missing is said
    assert "15 more have no value to judge" in importance_words(found)


def test_a_trial_that_was_stopped_by_hand_does_not_shorten_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At equal epochs all would be judged after its two epochs, and the importance of fields with them."""
    monkeypatch.setitem(REASONS, "stopped", "stopped by request after epoch 2")
    rates = [0.0001, 0.001, 0.01, 0.1]
    run = make_run(
        tmp_path / "s" / "a", {"activation": ["relu", "tanh", "gelu"]}, {"lr": rates},
        lambda config, seed, epoch: 0.5 + 0.1 * epoch - 0.01 * abs(math.log10(config["lr"])),
        status=lambda config: "stopped" if (config["activation"], config["lr"]) == ("relu", 0.1) else "completed",
    )  # fmt: skip
    results = load([run])
    fair = with_stopped(results, "equal-epochs")
    assert fair.equal_epochs == {"digits": 4}
    assert (results.trials["trial"].nunique(), fair.trials["trial"].nunique()) == (12, 11)
    (found,) = importances(results)
    assert (found.n, found.epochs, found.left_out) == (11, 4, 1)


def test_few_trials_have_no_importance(tmp_path: Path) -> None:
    run = make_run(tmp_path / "s" / "a", {"activation": list(LEVELS)}, {"lr": [0.1, 0.01]}, score)
    (found,) = importances(load([run]))
    assert found.shares == {}
    assert "too few" in importance_words(found)


def test_measures_go_with_outcomes_over_means_of_trials(results: Results, run: RunFolder) -> None:
    found = {(one.measure, one.outcome): one for one in associate_models(results, [])}
    frame = pd.read_parquet(run.trials_table).query("status == 'completed'")
    means = frame.groupby("trial_id")[["lmc", "sample_entropy", "test_acc"]].mean()
    for measure in ("lmc", "sample_entropy"):
        one = found[measure, "test_acc"]
        assert one.plain.rho == pytest.approx(stats.spearmanr(means[measure], means["test_acc"]).statistic)
        assert one.plain.n == len(means)
        assert (one.blocked, one.adjusted) == ((), ())
    assert found["lmc", "val_auc"].plain.rho == pytest.approx(1)
    known = [one for one in found.values() if not math.isnan(one.plain.p)]
    assert [one.plain_corrected for one in known] == pytest.approx(benjamini_hochberg([one.plain.p for one in known]))
    assert "lmc" in association_words(known)


def test_parameters_and_epochs_are_held_where_they_vary(tmp_path: Path) -> None:
    runs = [
        make_run(
            tmp_path / "s" / name, {"activation": list(LEVELS)}, {"lr": list(RATES)}, score, epochs=4,
            datasets={"digits": name},
        )
        for name in ("a", "b")
    ]  # fmt: skip
    frame = table.read_arrow(runs[1].trials_table)
    other = [112 + 7 * (i % 5) for i in range(len(frame))]
    index = frame.schema.get_field_index("parameters")
    table.write_arrow(runs[1].trials_table, frame.set_column(index, frame.schema.field("parameters"), [other]))
    found = {(one.measure, one.outcome): one for one in associate_models(load(runs), [])}
    one = found["sample_entropy", "val_auc"]
    assert (one.blocked, one.adjusted) == (("parameters",), ())
    assert one.partial.rho != one.plain.rho


def test_what_a_nuisance_field_moves_is_no_relation_once_it_is_held(tmp_path: Path) -> None:
    """Measure and outcome follow the rate and nothing else: related as they stand, unrelated at equal rates."""
    rng = np.random.default_rng(0)

    def by_rate(config: Mapping[str, Any], seed: int, epoch: int) -> float:
        return 0.5 + 0.1 * math.log10(config["lr"]) / 10 + 0.002 * rng.random()

    rates = [float(rate) for rate in np.geomspace(1e-4, 1e-1, 12)]
    run = make_run(tmp_path / "s" / "a", {"activation": ["a", "b", "c"]}, {"lr": rates}, by_rate)
    found = {(one.measure, one.outcome): one for one in associate_models(load([run]))}
    one = found["lmc", "gap_acc"]
    assert (one.blocked, one.adjusted) == (("lr",), ())
    val = found["lmc", "test_acc"]
    frame = pd.read_parquet(run.trials_table).groupby("trial_id")[["lmc", "test_acc", "lr"]].mean()
    held = spearman(frame["lmc"], frame["test_acc"], frame["lr"])
    assert (val.partial.rho, val.partial.p) == pytest.approx((held.rho, held.p))
    assert val.plain.rho > 0.9
    with pytest.raises(InputError, match="field to hold"):
        associate_models(load([run]), ["learning_rate"])
    assert associate_models(load([run]), ["activation"])[0].blocked == ("activation",)


def test_parts_are_module_types_and_thirds_of_the_depth() -> None:
    names = [f"{i}.weight" for i in range(6)]
    rows = pd.DataFrame(
        {
            "trial": "t", "seed": 0, "tensor": [*names, "6.bias"], "position": [3 * i for i in range(7)],
            "module_type": ["Conv2d"] * 5 + ["Linear"] * 2, "shape": [np.array([2, 3])] * 6 + [np.array([4])],
        }
    )  # fmt: skip
    found = {part: list(frame["tensor"]) for part, frame in parts(rows)}
    assert found == {
        "Conv2d": names[:5],
        "Linear": [names[5], "6.bias"],
        "first third": names[:2],
        "middle third": names[2:4],
        "last third": names[4:],
    }


def test_a_part_is_a_mean_weighted_by_size_without_what_is_undefined() -> None:
    rows = pd.DataFrame(
        {
            "trial": ["a", "a", "a", "b"],
            "shape": [np.array([2, 5]), np.array([3]), np.array([7]), np.array([4])],
            "lmc": [1.0, 2.0, math.inf, math.nan],
        }
    )
    found = part_means(rows, ["lmc"]).set_index("trial")["lmc"]
    assert found["a"] == pytest.approx((10 * 1 + 3 * 2) / 13)
    assert math.isnan(found["b"])


def test_parts_are_related_to_outcomes(results: Results, run: RunFolder) -> None:
    found = {(one.part, one.measure, one.outcome): one for one in associate_parts(results, ("val_auc",), [])}
    weights = pd.read_parquet(run.weights_table).query("stage == 'best' and module_type == 'Linear'")
    frame = pd.read_parquet(run.trials_table).query("status == 'completed'")
    means = pd.concat(
        [weights.groupby("trial_id")["lmc"].mean(), frame.groupby("trial_id")["val_auc"].mean()], axis=1, join="inner"
    )
    one = found["Linear", "lmc", "val_auc"]
    assert one.plain.rho == pytest.approx(stats.spearmanr(means["lmc"], means["val_auc"]).statistic)
    assert one.plain.n == len(means)


# The command ----------------------------------------------------------------------------------------------------------


def call(*words: str) -> Any:
    return CliRunner().invoke(app, list(words), catch_exceptions=True)


def test_json_says_all_that_the_comparison_says(run: RunFolder, results: Results) -> None:
    document = json.loads(call(str(run.path), "--json").output)
    assert document["standings"] == as_json_value(compare(results))["standings"]
    assert document["stopped"] == "left-out"
    assert document["answers"]
    assert {row["part"] for row in document["correlations_by_part"]} >= {"Conv2d", "Linear", "first third"}
    assert json.loads(call(str(run.path), "--json", "--stopped", "equal-epochs").output)["equal_epochs"] == {
        "digits": 2
    }


@pytest.mark.parametrize("width", [80, 140])
@pytest.mark.parametrize("stopped", ["left-out", "equal-epochs"])
def test_the_tables_fit_a_terminal(tmp_path: Path, width: int, stopped: str) -> None:
    runs = [str(run.path) for run in two_datasets(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "analysis.compare", *runs, "--stopped", stopped], cwd=ROOT, text=True,
        capture_output=True, check=True, env={**os.environ, "COLUMNS": str(width)},
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in done.stdout
    assert all(value in done.stdout for value in LEVELS)
    assert "test only reported" in " ".join(lines)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--against", "rel"], "did you mean 'relu'"),
        (["--metric", "test_auc"], "nothing is ever selected by test"),
        (["--stopped", "equal-epoch"], "did you mean 'equal-epochs'"),
    ],
)
def test_bad_words_are_answered(run: RunFolder, words: list[str], complaint: str) -> None:
    found = call(str(run.path), *words)
    assert isinstance(found.exception, InputError)
    assert complaint in str(found.exception)


def test_what_a_config_fills_in_from_a_compared_field_parts_no_values(tmp_path: Path) -> None:
    """`weights` follows from `transfer`: scratch and frozen are compared; so are runs of both on two datasets."""

    def run(dataset: str) -> RunFolder:
        folder = make_run(
            tmp_path / "transfer" / dataset,
            {"transfer": ["scratch", "frozen", "full"]},
            {"lr": [0.01, 0.1]},
            lambda config, seed, epoch: {"scratch": 0.6, "frozen": 0.7, "full": 0.8}[config["transfer"]] - 0.01 * seed,
            fixed={"dataset": dataset},
        )
        rows = table.read_arrow(folder.trials_table)
        weights = [None if way == "scratch" else "imagenet" for way in rows["transfer"].to_pylist()]
        index = rows.schema.get_field_index("weights")
        table.write_arrow(folder.trials_table, rows.set_column(index, rows.schema.field(index), [weights]))
        return folder

    runs = [run("digits"), run("breastmnist")]
    assert list(load(runs[:1]).blocks) == ["digits"]
    results = load(runs)
    assert sorted(results.blocks) == ["breastmnist", "digits"]
    found = compare(results)
    assert len(found.standings) == 6
    (less,) = [d for d in found.differences if (d.block, d.value, d.metric) == ("digits", "scratch", "val_auc")]
    assert less.estimate.mean == pytest.approx(-0.2)


def test_a_field_that_two_runs_hold_differently_still_parts_them(tmp_path: Path) -> None:
    level = lambda config, seed, epoch: 0.8 + 0.01 * seed  # noqa: E731
    runs = [
        make_run(
            tmp_path / "a" / f"batch{size}", {"activation": ["relu", "tanh"]}, {}, level, fixed={"batch_size": size}
        )
        for size in (32, 64)
    ]
    assert len(load(runs).blocks) == 2


@pytest.mark.parametrize(
    ("rates", "best", "expected"),
    [
        ([0.001, 0.01, 0.1], 0.1, "The best lr is the largest of its grid, 0.1 (for relu and tanh)"),
        ([0.1, 0.001, 0.01], 0.001, "The best lr is the least of its grid, 0.001 (for relu and tanh)"),
        ([0.001, 0.01, 0.1], 0.01, ""),
        ([0.001, 0.1], 0.1, ""),
        ("Float (0.001, 0.1)", 0.1, ""),
    ],
)
def test_a_best_setting_at_the_edge_of_its_grid_is_said(tmp_path: Path, rates: Any, best: float, expected: str) -> None:
    grid = rates if isinstance(rates, list) else [0.001, 0.01, 0.1]
    run = make_run(
        tmp_path / "s" / "a", {"activation": ["relu", "tanh"]}, {"lr": grid},
        lambda c, s, e: 0.9 - 0.1 * abs(math.log10(c["lr"] / best)) + 1e-3 * s,
        roles={"scientific": {"activation": ["relu", "tanh"]}, "nuisance": {"lr": rates}, "fixed": {}},
    )  # fmt: skip
    console = Console(record=True, width=200, file=io.StringIO())
    print_standings(console, load([run]))
    text = console.export_text()
    assert ("of its grid" in text) == bool(expected)
    assert expected in text
