"""The figure of activations by layer, and its section of the report."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from analysis import table
from analysis.figures.behaviour import activations_by_layer
from analysis.page.write import write_report
from analysis.runs.run_folder import RunFolder
from tests.support.made_results import make_run

LAYERS = (("", -1, ""), ("0", 0, "Linear"), ("1", 1, "ReLU"))


def test_lines_are_means_by_layer_in_the_order_of_calls() -> None:
    rows = [
        {"layer": layer, "position": position, "module_type": kind, "value": value, "trial": f"r/{trial}",
         "activation_entropy": (position + 1) / 10 + trial / 100, "activation_sparsity": 0.5, "activation_dead": 0.0}
        for value, trials in (("relu", (1, 2)), ("tanh", (3, 4)))
        for trial in trials
        for layer, position, kind in reversed(LAYERS)
    ]  # fmt: skip
    figure = activations_by_layer(pd.DataFrame(rows), ["relu", "tanh"])
    first, second = figure.axes[0].lines[:2]
    assert list(first.get_ydata()) == pytest.approx([0.1 + 0.015, 0.2 + 0.015])  # not the whole model
    assert list(second.get_ydata()) == pytest.approx([0.1 + 0.035, 0.2 + 0.035])
    assert [text.get_text() for text in figure.axes[-1].get_xticklabels()] == ["0 Linear", "1 ReLU"]


def test_the_report_has_the_section_where_it_was_measured(tmp_path: Path) -> None:
    values = {"activation": ["relu", "tanh"]}
    run = make_run(tmp_path / "run", values, {}, lambda config, seed, epoch: 0.5 + 0.1 * epoch)
    assert "What the layers do" not in write_report([run], tmp_path / "without.html", None).read_text()
    write_activations(run)
    assert "What the layers do" in write_report([run], tmp_path / "with.html", None).read_text()


def write_activations(run: RunFolder) -> None:
    trials = table.read_arrow(run.trials_table).to_pylist()
    rows = [
        {**{name: trial[name] for name in table.IDENTITY}, "layer": layer, "position": position, "module_type": kind,
         "units": 4, "activation_entropy": 0.5, "activation_sparsity": 0.1, "activation_dead": 0.0}
        for trial in trials
        for layer, position, kind in LAYERS
    ]  # fmt: skip
    empty = dict.fromkeys(table.columns("activations"))
    table.write(run.activations_table, "activations", [{**empty, **row} for row in rows], {})
