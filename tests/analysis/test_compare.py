"""Comparisons against pandas, SciPy and brute force."""

from __future__ import annotations

import itertools
import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from typer.testing import CliRunner

from analysis import table
from analysis.compare import app
from analysis.comparison.correlations import associate_models, associate_parts, part_means, parts
from analysis.comparison.importance import importances
from analysis.comparison.results import Results, load, with_stopped
from analysis.comparison.sentences import answers, association_words, importance_words
from analysis.comparison.standings import Comparison, Difference, Standing, as_document, compare
from analysis.comparison.statistics import (
    benjamini_hochberg,
    bootstrap_mean,
    friedman,
    holm,
    mean_ranks,
    paired_p,
    spearman,
)
from analysis.runs.run_folder import RunFolder
from tests.conftest import ROOT
from tests.support.made_results import make_run
from trainables.errors import InputError

LEVELS = {"relu": 0.90, "gelu": 0.93, "tanh": 0.80}
RATES = (0.001, 0.01, 0.1)


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


@pytest.mark.parametrize("values", [[1.0, 2.0, 4.0], [0.1, 0.1, 0.5, 0.9]])
def test_the_bootstrap_is_near_the_one_over_all_resamples(values: list[float]) -> None:
    every = [np.mean(sample) for sample in itertools.product(values, repeat=len(values))]
    found = bootstrap_mean(values)
    assert found.mean == pytest.approx(np.mean(values))
    for limit, share in ((found.low, 0.025), (found.high, 0.975)):
        below = np.quantile(every, max(share - 0.02, 0), method="lower")
        above = np.quantile(every, min(share + 0.02, 1), method="higher")
        assert below <= limit <= above
    t = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    assert found.mean + found.half_t == pytest.approx(t[1])


def test_a_long_sample_has_the_interval_of_theory() -> None:
    values = np.random.default_rng(0).normal(5, 2, 400)
    found = bootstrap_mean(values)
    assert found.low == pytest.approx(values.mean() - 1.96 * values.std() / 20, abs=0.03)
    assert found.high == pytest.approx(values.mean() + 1.96 * values.std() / 20, abs=0.03)


@pytest.mark.parametrize(
    ("values", "mean", "n"), [([], math.nan, 0), ([3.0], 3.0, 1), ([math.nan, 3.0], 3.0, 1), ([math.nan], math.nan, 0)]
)
def test_too_few_values_have_no_interval(values: list[float], mean: float, n: int) -> None:
    found = bootstrap_mean(values)
    assert found.mean == pytest.approx(mean, nan_ok=True)
    assert found.n == n
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_paired_p_is_that_of_scipy() -> None:
    a, b = np.random.default_rng(1).normal(size=(2, 7))
    assert paired_p(a - b) == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert paired_p([0.0, 0.0]) == 1.0
    assert math.isnan(paired_p([0.3]))


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
    scores = np.random.default_rng(4).random((8, 4))
    scores[2, 1] = math.nan
    complete = pd.DataFrame(scores).dropna()
    assert mean_ranks(scores, higher=True) == pytest.approx(complete.rank(axis=1, ascending=False).mean().to_numpy())
    p, least = friedman(scores)
    assert p == pytest.approx(stats.friedmanchisquare(*complete.to_numpy().T).pvalue)
    assert least == pytest.approx(2.569 * math.sqrt(4 * 5 / (6 * 7)), rel=1e-3)  # Demšar (2006), table 5a


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
    assert standing(found, "tanh").statuses == {"completed": 1, "stopped": 1, "failed": 1}
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
    assert one.trials == 2  # the failed one has nothing to show
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
    assert found.ranking.ranks["gelu"] == 1
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
    assert found.ranking.rows == 6
    assert found.ranking.ranks == pytest.approx({"gelu": 1.5, "relu": 1.5, "tanh": 3.0})
    assert len([one for one in found.differences if one.metric == "val_auc"]) == 4
    assert "ranks best" in answers(results, found)[-1]


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


def test_few_trials_have_no_importance(results: Results) -> None:
    (found,) = importances(results)
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
        assert one.controls == ()
    assert found["lmc", "val_auc"].plain.rho == pytest.approx(1)
    known = [one for one in found.values() if not math.isnan(one.plain.p)]
    assert [one.plain_corrected for one in known] == pytest.approx(benjamini_hochberg([one.plain.p for one in known]))
    assert "lmc" in association_words(known)


def test_parameters_and_epochs_are_held_where_they_vary(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path / "s" / name, {"activation": list(LEVELS)}, {"lr": list(RATES)}, score, epochs=4)
        for name in ("a", "b")
    ]
    frame = table.read_arrow(runs[1].trials_table)
    other = [112 + 7 * (i % 5) for i in range(len(frame))]
    index = frame.schema.get_field_index("parameters")
    table.write_arrow(runs[1].trials_table, frame.set_column(index, frame.schema.field("parameters"), [other]))
    found = {(one.measure, one.outcome): one for one in associate_models(load(runs), [])}
    one = found["sample_entropy", "val_auc"]
    assert one.controls == ("parameters",)
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
    assert one.controls == ("lr",)
    val = found["lmc", "test_acc"]
    frame = pd.read_parquet(run.trials_table).groupby("trial_id")[["lmc", "test_acc", "lr"]].mean()
    held = spearman(frame["lmc"], frame["test_acc"], None, [frame["lr"]])
    assert (val.partial.rho, val.partial.p) == pytest.approx((held.rho, held.p))
    assert val.plain.rho > 0.9
    with pytest.raises(InputError, match="numeric field to hold"):
        associate_models(load([run]), ["activation"])


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
    assert document["standings"] == as_document(compare(results))["standings"]
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
