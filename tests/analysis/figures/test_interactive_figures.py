"""Figures for a browser: Plotly takes them, they hold the numbers of the figures on paper, and names are text."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.browser_figures import comparison as drawn
from analysis.browser_figures import complexity as drawn_weights
from analysis.browser_figures.curves_and_panels import (
    MOST_CURVES,
    Axis,
    Curve,
    Rung,
    learning_curves,
    most_telling,
    parallel_coordinates,
    ranks_of,
    text_of,
)
from analysis.comparison.compare_runs import ComparedRuns, compare_runs
from analysis.figures import complexity, hyperparameters
from tests.support.made_results import make_run

go = pytest.importorskip("plotly.graph_objects")


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> ComparedRuns:
    values = {"activation": ["relu", "<b>tanh</b>", "gelu"]}

    def score(config: Any, seed: int, epoch: int) -> float:
        return (
            0.6 + 0.05 * values["activation"].index(config["activation"]) + 0.01 * epoch + 0.002 * seed + config["lr"]
        )

    def status(config: Any) -> str:
        return "stopped" if config["lr"] == 0.1 and config["activation"] == "gelu" else "completed"

    folder = tmp_path_factory.mktemp("results") / "made" / "run"
    return compare_runs([make_run(folder, values, {"lr": [0.001, 0.01, 0.1]}, score, status=status)])


def layers() -> pd.DataFrame:
    """Rows of `activations.parquet` of two values with two trials each."""
    rows = [
        {"value": value, "layer": f"<b>{number}", "module_type": "ReLU", "position": number,
         "activation_entropy": share, "activation_sparsity": share / 2, "activation_dead": 0.0}
        for value in ("relu", "<b>tanh</b>") for number in range(3) for share in (0.2, 0.6)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_plotly_takes_every_figure(compared: ComparedRuns) -> None:
    results = compared.everything
    for draw in (
        partial(drawn.values_with_intervals, compared.results, compared.comparison),
        partial(drawn.importance, compared.importances),
        partial(drawn.heat_map, results, "lr"),
        partial(drawn.slices, results),
        partial(drawn.parallel, results),
        partial(drawn.learning_curves, results),
        partial(drawn_weights.complexity_and_performance, results),
        partial(drawn_weights.complexity_by_layer, results.frame("weights")),
        partial(drawn_weights.complexity_along_training, results),
        partial(drawn_weights.correlation_forest, compared.models, ["val_auc"]),
        partial(drawn_weights.weight_distributions, {"a": np.ones((2, 3))}, {"a": np.eye(3), "<b>": np.eye(2)}),
        partial(drawn_weights.activations_by_layer, layers(), ["relu", "<b>tanh</b>"]),
        partial(drawn.pareto, results, ["val_auc", "val_loss"]),
    ):
        figure = draw()
        # Plotly refuses what it does not know
        go.Figure(figure)
        assert figure["data"]
        # the words on the axes of parallel coordinates are no markup to Plotly: see the test in a browser
        assert figure["data"][0]["type"] == "parcoords" or "<b>" not in str(figure)


def test_means_and_intervals_are_those_of_the_comparison(compared: ComparedRuns) -> None:
    figure = drawn.values_with_intervals(compared.results, compared.comparison)
    block = compared.results.blocks[0]
    standings = [standing for standing in compared.comparison.block(block) if standing.trial]
    for trace, metric in zip(figure["data"], compared.comparison.metrics, strict=True):
        estimates = [standing.metrics[metric] for standing in standings]
        assert trace["x"] == [estimate.mean for estimate in estimates]
        assert trace["error_x"]["array"] == [estimate.half_width for estimate in estimates]


def test_a_heat_map_has_the_cells_of_the_figure_on_paper(compared: ComparedRuns) -> None:
    paper = hyperparameters.heat_map(compared.everything, "lr")
    (trace,) = drawn.heat_map(compared.everything, "lr")["data"]
    shown = np.ma.filled(paper.axes[0].images[0].get_array(), math.nan)
    assert np.allclose(trace["z"], shown, equal_nan=True)
    texts = [text.get_text() for text in paper.axes[0].texts]
    assert [text for row in trace["text"] for text in row if text] == texts
    assert any(text.startswith("(") for text in texts)


def test_the_best_cell_has_the_frame_of_the_figure_on_paper(compared: ComparedRuns) -> None:
    paper = hyperparameters.heat_map(compared.everything, "lr").axes[0].patches[0]
    (frame,) = drawn.heat_map(compared.everything, "lr")["layout"]["shapes"]
    for which, begin, length in (("x", paper.get_x(), paper.get_width()), ("y", paper.get_y(), paper.get_height())):
        assert (frame[f"{which}0"] + frame[f"{which}1"]) / 2 == pytest.approx(begin + length / 2)


def test_curves_of_a_report_are_the_means_and_the_best_has_its_range(compared: ComparedRuns) -> None:
    results = compared.everything
    epochs = results.frame("epochs", ["epoch", "val_auc"])
    means = epochs.groupby(["trial", "epoch"])["val_auc"].mean()
    figure = drawn.learning_curves(results)
    thick = [trace for trace in figure["data"] if trace.get("line", {}).get("width") == 3]
    best = {standing.trial for standing in compared.comparison.standings}
    assert {trace["text"][0].partition(":")[0] for trace in thick} == best
    for trace in thick:
        assert trace["y"][:-1] == pytest.approx(means[trace["text"][0].partition(":")[0]].to_list())
    spreads = [trace for trace in figure["data"] if trace.get("fill") == "toself"]
    assert len(spreads) == len(thick)
    assert {trace["legendgroup"] for trace in spreads} == {trace["legendgroup"] for trace in thick}
    faded = [trace for trace in figure["data"] if trace["mode"] == "lines+markers"]
    assert [name for trace in faded for name in trace["text"]] != []
    stopped = set(results.trials.loc[~results.trials["finished"], "trial"])
    assert {name.partition(":")[0] for trace in faded for name in trace["text"]} == stopped


def test_weights_by_layer_along_training_and_correlations_are_those_on_paper(compared: ComparedRuns) -> None:
    results = compared.everything
    rows = results.frame("weights")
    paper = complexity.complexity_by_layer(rows, ["lmc"]).axes[0]
    figure = drawn_weights.complexity_by_layer(rows, ["lmc"])
    bars = [height for trace in figure["data"] if trace["type"] == "bar" for height in trace["y"]]
    assert sorted(bars) == pytest.approx(sorted(patch.get_height() for patch in paper.patches))
    paper = complexity.complexity_along_training(results, ["lmc"]).axes[0]
    figure = drawn_weights.complexity_along_training(results, ["lmc"])
    assert [trace["y"] for trace in figure["data"]] == [line.get_ydata().tolist() for line in paper.lines]
    figure = drawn_weights.correlation_forest(compared.models, ["val_auc"])
    shown = {name: rho for trace in figure["data"] for name, rho in zip(trace["y"], trace["x"], strict=True)}
    known = {
        one.measure.replace("_", " "): one.partial.rho
        for one in compared.models
        if one.outcome == "val_auc" and not math.isnan(one.plain.rho + one.partial.rho)
    }
    assert shown == known


def test_stopped_curves_are_faded_and_end_in_a_cross() -> None:
    curves = [Curve("a", "relu", [0.1, 0.2, 0.3]), Curve("b", "relu", [0.1, None], faded=True), Curve("c", "tanh", [])]
    figure = learning_curves(curves, "val_auc", [Rung("relu", 2, 0.15)])
    go.Figure(figure)
    clear, faded, rung, *rest = figure["data"]
    assert clear["x"] == [1, 2, 3, None]
    assert clear["y"] == [0.1, 0.2, 0.3, None]
    assert faded["y"] == [0.1, None, None]
    assert faded["marker"]["size"] == [0, 7, 0]
    assert faded["opacity"] < clear["opacity"]
    assert (rung["x"], rung["y"]) == ([2], [0.15])
    assert len(rest) == 1


def test_of_many_curves_the_best_and_evenly_many_others_are_drawn() -> None:
    curves = [Curve(str(number), "", [number / 5000]) for number in range(5000)]
    shown = most_telling(curves, True)
    assert len(shown) == MOST_CURVES
    assert {curve.trial for curve in shown} >= {str(number) for number in range(4800, 5000)}
    assert min(int(curve.trial) for curve in shown) < 50
    assert most_telling(curves, False)[0].trial == "0"


def test_parallel_coordinates_have_words_as_levels_and_decades_as_logarithms() -> None:
    axes = [Axis("kind", ["b", "a", None]), Axis("lr", [0.001, 0.1, math.nan]), Axis("acc", [0.5, None, 0.7])]
    figure = parallel_coordinates(axes, [0.5, math.nan, 0.7])
    go.Figure(figure)
    kind, rate, accuracy = figure["data"][0]["dimensions"]
    assert (kind["values"], kind["ticktext"]) == ([0, 1, 2], ["b", "a", "-"])
    assert rate["values"] == pytest.approx([-3, -1, None], nan_ok=True)
    assert rate["ticktext"] == ["0.001", "0.1"]
    assert accuracy["values"] == [0.5, None, 0.7]
    assert figure["data"][0]["line"]["color"] == [0.5, 0.0, 1.0]
    assert ranks_of([3.0, 1.0, 2.0], higher=False) == pytest.approx([1 / 3, 1.0, 2 / 3])


def test_an_axis_of_one_value_has_one_tick() -> None:
    (axis,) = parallel_coordinates([Axis("epochs", [4, 4, None])], [0.1, 0.2, 0.3])["data"][0]["dimensions"]
    assert (axis["tickvals"], axis["ticktext"], axis["range"]) == ([4], ["4"], [3, 5])


def test_a_text_is_shown_as_it_is() -> None:
    assert text_of("<b>&amp;</b>\x1b[0m") == "&lt;b&gt;&amp;amp;&lt;/b&gt;\\x1b[0m"


def test_the_front_is_that_of_pairwise_comparison(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    points = np.round(rng.random((60, 2)), 1)
    for higher in ((True, True), (True, False), (False, False)):
        signed = points * [1 if up else -1 for up in higher]
        beaten = [any((other >= one).all() and (other > one).any() for other in signed) for one in signed]
        front = drawn.front_of(points[:, 0].tolist(), points[:, 1].tolist(), higher)
        assert front == [place for place, lost in enumerate(beaten) if not lost]
