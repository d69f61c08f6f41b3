"""The sections of the report on values, learning curves and hyperparameters, and its head."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from analysis.browser_figures import comparison as interactive
from analysis.browser_figures import complexity as interactive_complexity
from analysis.comparison.compare_runs import ComparedRuns
from analysis.comparison.sentences import answers, importance_words, name_of
from analysis.comparison.tables import differences_grid, standings_grid
from analysis.comparison.terminal import explanation
from analysis.figures import comparison as figures
from analysis.figures import style as figure_style
from analysis.figures import trial as plots
from analysis.figures.hyperparameters import heat_map, importance, parallel_coordinates
from analysis.page.parts import Drawing, Head, Heading, Paragraph, Part, Section
from analysis.runs.run_folder import RunFolder, TrialFolder
from analysis.weights.rows import read_weights

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Nuisance fields with a heat map of their own.
HEAT_MAPS = 3


def head(compared: ComparedRuns) -> Head:
    """Return title, question, answer, and the runs in figures."""
    results = compared.everything
    questions = dict.fromkeys(str(metadata.get("question", "")) for metadata in results.metadata)
    trials = results.trials
    size = (
        f"{trials['trial'].nunique()} trials, {len(trials)} replicates, {len(results.runs)} run"
        f"{'s' * (len(results.runs) > 1)}; selected by {results.metric}, test only reported"
    )
    return Head(run_names(results.runs), tuple(questions), tuple(answers(compared.results, compared.comparison)), size)


def values(compared: ComparedRuns) -> Section:
    """Show the scientific values side by side."""
    results, comparison = compared.results, compared.comparison
    parts: list[Part] = []
    if any(standing.trial for standing in comparison.standings):
        caption = (
            "Means over seeds and 95 % intervals of each value at its best setting, each metric on an axis of its own. "
            f"Selected by {name_of(results.metric)}; the test split only looked on."
        )
        drawn = partial(figures.values_with_intervals, results, comparison)
        live = partial(interactive.values_with_intervals, results, comparison)
        parts.append(Drawing("values", drawn, caption, live))
    for block in results.blocks:
        parts += [Heading(block), standings_grid(results, comparison.block(block), comparison.metrics, "")]
        if any(difference.block == block for difference in comparison.differences):
            parts.append(differences_grid(comparison, block))
    return Section("values", "Values side by side", (*parts, Paragraph(explanation(results), "note")))


def curves(compared: ComparedRuns) -> Section:
    """Draw learning curves, stopped trials faded."""
    results = compared.everything
    caption = (
        f"{sentence(name_of(results.metric))} by epoch, mean over the seeds of each trial. The thick line is the best "
        "trial of a value, the range of its seeds shaded; trials that were stopped, failed or diverged are faded and "
        "end in a cross."
    )
    live = partial(interactive.learning_curves, results)
    shown: Part = Drawing("learning_curves", partial(figures.learning_curves, results), caption, live)
    if results.frame("epochs", []).empty:
        shown = Paragraph("No epochs.parquet stands beside the trials.", "note")
    return Section("curves", "Learning curves", (shown,))


def hyperparameters(compared: ComparedRuns) -> Section:
    """Draw importance, heat maps and parallel coordinates."""
    results = compared.results
    parts: list[Part] = [Paragraph(importance_words(one)) for one in compared.importances]
    if any(one.shares for one in compared.importances):
        caption = "Importance by PED-ANOVA: how much each field says about whether a trial is among the best."
        live = partial(interactive.importance, compared.importances)
        parts.append(Drawing("importance", partial(importance, compared.importances), caption, live))
    for name in results.nuisance[:HEAT_MAPS]:
        caption = (
            f"Mean {name_of(results.metric)} for each value and {name.replace('_', ' ')}, the best framed. In brackets "
            "what trials had reached that were not trained to their end. The colours span 0.01 at least."
        )
        live = partial(interactive.heat_map, compared.everything, name)
        parts.append(Drawing(f"heat_map_{name}", partial(heat_map, compared.everything, name), caption, live))
    if results.trials["finished"].any():
        caption = (
            "Each line is a trial: its settings, its scores and the complexity of its weights. The lightest are the "
            f"best by {name_of(results.metric)} in their setting, dark ones the worst; axes run from least to most."
        )
        live = partial(interactive.parallel, results)
        parts.append(Drawing("parallel_coordinates", partial(parallel_coordinates, results), caption, live))
    return Section("hyperparameters", "Hyperparameters", tuple(parts))


def weight_distributions(compared: ComparedRuns) -> Iterator[Drawing]:
    """Draw histograms of the best trial of each block, before and after training, where its weights are at hand."""
    results = compared.results
    folders = {key: folder for run in results.runs for key, folder in run.trials_by_key().items()}
    for number, block in enumerate(results.blocks[:4]):
        best = next((standing for standing in compared.comparison.block(block) if standing.trial), None)
        if best is None:
            continue
        row = results.trials[results.trials["trial"] == best.trial].iloc[0]
        if row["trial_key"] not in folders:
            continue
        folder, seed = folders[row["trial_key"]], int(row["seed"])
        if folder.best_model(seed).is_file():
            where = f" on {block}" if block else ""
            caption = f"Weights of the best trial{where} ({best.value}), seed {row['seed']}. Outline: before training."
            yield weights_before_and_after(f"weight_distributions_{number}", folder, seed, caption)


def weights_before_and_after(name: str, folder: TrialFolder, seed: int, caption: str) -> Drawing:
    """Draw histograms of a replicate's weight matrices, the best (else the last) over the first."""

    def weights() -> tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]]:
        before = folder.initial_model(seed)
        after = next(path for path in (folder.best_model(seed), folder.final_model(seed)) if path.is_file())
        return read_weights(before)[0] if before.is_file() else {}, read_weights(after)[0]

    def draw() -> Figure:
        return figure_style.styled(plots.weight_distributions)(*weights())

    return Drawing(name, draw, caption, lambda: interactive_complexity.weight_distributions(*weights()))


def sentence(text: str) -> str:
    """Return a text with a capital letter at its start; abbreviations stay."""
    return text[:1].upper() + text[1:]


def run_names(runs: Sequence[RunFolder]) -> str:
    """Return the title of the page."""
    return ", ".join(f"{run.sweep}/{run.run_id}" for run in runs)
