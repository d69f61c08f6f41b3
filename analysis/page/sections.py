"""The sections of the report. Each is made from the results and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from analysis.comparison.correlations import Association
from analysis.comparison.importance import Importance
from analysis.comparison.results import Results
from analysis.comparison.sentences import answers, importance_words, name_of
from analysis.comparison.standings import Comparison
from analysis.comparison.tables import differences_grid, standings_grid
from analysis.comparison.terminal import explanation
from analysis.figures import comparison as figures
from analysis.figures import style as figure_style
from analysis.figures import trial as plots
from analysis.page.html import Section, figure, paragraph, table
from analysis.runs.run_folder import RunFolder
from analysis.weights.rows import read_weights

# Nuisance fields with a heat map of their own.
HEAT_MAPS = 3


@dataclass(frozen=True)
class Drawer:
    """Puts figures into the page, and as SVG and PNG into a folder where there is one.

    png: half of the time that drawing takes.
    """

    folder: Path | None
    png: bool = True

    def put(self, name: str, drawn: Any, caption: str) -> str:
        """Return the HTML of a figure."""
        text = figure_style.svg(drawn)
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / f"{name}.svg").write_text(text, encoding="utf-8")
            if self.png:
                figure_style.save(drawn, self.folder / f"{name}.png")
        return figure(figure_style.for_page(text, name), caption, caption.split(". ")[0])


@dataclass(frozen=True)
class ReportData:
    """The results and comparisons that the sections are made of. results: with stopped trials treated as asked."""

    results: Results
    everything: Results
    comparison: Comparison
    importances: Sequence[Importance]
    models: Sequence[Association]
    parts: Sequence[Association]


def head(data: ReportData, title: str) -> str:
    """Return title, question, answer, and the run in figures."""
    results = data.everything
    questions = dict.fromkeys(str(metadata.get("question", "")) for metadata in results.metadata)
    trials = results.trials
    size = (
        f"{trials['trial'].nunique()} trials, {len(trials)} replicates, {len(results.runs)} run"
        f"{'s' * (len(results.runs) > 1)}; selected by {results.metric}, test only reported"
    )
    said = "".join(paragraph(text) for text in answers(data.results, data.comparison))
    return (
        f"{paragraph(title, 'note')}<h1>{escape(next(iter(questions)) or title)}</h1>"
        + "".join(paragraph(question, "question") for question in list(questions)[1:])
        + f'<div class="answer">{said}</div>{paragraph(size, "note")}'
    )


def values(data: ReportData, draw: Drawer) -> Section:
    """Show the scientific values side by side."""
    results, comparison = data.results, data.comparison
    html = ""
    if any(standing.trial for standing in comparison.standings):
        caption = (
            "Means over seeds and 95 % intervals of each value at its best setting, each metric on an axis of its own. "
            f"Selected by {name_of(results.metric)}; the test split only looked on."
        )
        html += draw.put("values", figures.values_with_intervals(results, comparison), caption)
    for block in results.blocks:
        standings = standings_grid(results, comparison.block(block), comparison.metrics, "")
        html += f"<h3>{escape(block)}</h3>{table(standings)}"
        if any(difference.block == block for difference in comparison.differences):
            html += table(differences_grid(comparison, block))
    return Section("values", "Values side by side", html + paragraph(explanation(results), "note"))


def curves(data: ReportData, draw: Drawer) -> Section:
    """Draw learning curves, stopped trials faded."""
    results = data.everything
    caption = (
        f"{sentence(name_of(results.metric))} by epoch, mean over the seeds of each trial. The thick line is the best "
        "trial of a value, its setting above it, the range of its seeds shaded; trials that were stopped, failed or "
        "diverged are grey and end in a cross."
    )
    if results.frame("epochs", []).empty:
        return Section("curves", "Learning curves", paragraph("No epochs.parquet stands beside the trials.", "note"))
    return Section("curves", "Learning curves", draw.put("learning_curves", figures.learning_curves(results), caption))


def hyperparameters(data: ReportData, draw: Drawer) -> Section:
    """Draw importance, heat maps and parallel coordinates."""
    results = data.results
    html = "".join(paragraph(importance_words(one)) for one in data.importances)
    if any(one.shares for one in data.importances):
        caption = "Importance by PED-ANOVA: how much each field says about whether a trial is among the best."
        html += draw.put("importance", figures.importance(data.importances), caption)
    for name in results.nuisance[:HEAT_MAPS]:
        caption = (
            f"Mean {name_of(results.metric)} for each value and {name.replace('_', ' ')}, the best framed. In brackets "
            "what trials had reached that were not trained to their end. The colours span 0.01 at least."
        )
        html += draw.put(f"heat_map_{name}", figures.heat_map(data.everything, name), caption)
    if results.trials["finished"].any():
        caption = (
            "Each line is a trial: its settings, its scores and the complexity of its weights. The lightest are the "
            f"best by {name_of(results.metric)} in their setting, dark ones the worst; axes run from least to most."
        )
        html += draw.put("parallel_coordinates", figures.parallel_coordinates(results), caption)
    return Section("hyperparameters", "Hyperparameters", html)


def weight_distributions(data: ReportData, draw: Drawer) -> Iterator[str]:
    """Draw histograms of the best trial of each block, before and after training, where its weights are at hand."""
    folders = {key: folder for run in data.results.runs for key, folder in run.trials_by_key().items()}
    for number, block in enumerate(data.results.blocks[:4]):
        best = next((standing for standing in data.comparison.block(block) if standing.trial), None)
        if best is None:
            continue
        row = data.results.trials[data.results.trials["trial"] == best.trial].iloc[0]
        if row["trial_key"] not in folders:
            continue
        folder, seed = folders[row["trial_key"]], int(row["seed"])
        before, after = folder.initial_model(seed), folder.best_model(seed)
        if after.is_file():
            start = read_weights(before)[0] if before.is_file() else {}
            drawn = figure_style.styled(plots.weight_distributions)(start, read_weights(after)[0], "")
            where = f" on {block}" if block else ""
            caption = f"Weights of the best trial{where} ({best.value}), seed {row['seed']}. Outline: before training."
            yield draw.put(f"weight_distributions_{number}", drawn, caption)


def sentence(text: str) -> str:
    """Return a text with a capital letter at its start; abbreviations stay."""
    return text[:1].upper() + text[1:]


def run_names(runs: Sequence[RunFolder]) -> str:
    """Return the title of the page."""
    return ", ".join(f"{run.sweep}/{run.run_id}" for run in runs)
