"""The report's section on trained networks, where `analysis.evaluate` has evaluated some."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from pydantic import BaseModel

from analysis.browser_figures import evaluation as interactive
from analysis.comparison.compare_runs import ComparedRuns
from analysis.evaluation.calibration import calibrate
from analysis.evaluation.gate import NOTICE
from analysis.evaluation.per_class import ClassRow, averages, class_rows, mean_confusion
from analysis.evaluation.predictions import ENSEMBLE, Predictions, read_predictions
from analysis.figures import evaluation as figures
from analysis.grids import Cell, Column, Grid, number_cell
from analysis.page.parts import Drawing, Heading, Paragraph, Part, Section
from analysis.runs.run_folder import EvaluationFolder, RunFolder
from analysis.trial_evaluation.tables import classes_grid
from trainables.atomic_files import read_regular
from trainables.errors import InputError


class FigureDocument(BaseModel):
    """One figure of `metrics.json`; None where it is undefined."""

    value: float | None = None
    images_95: tuple[float | None, float | None] = (None, None)


class Document(BaseModel):
    """The part of `metrics.json` that the page shows."""

    run: str
    trial: str
    split: str
    images: int
    settings: dict[str, str] = {}
    figures: dict[str, FigureDocument]
    val: dict[str, FigureDocument] = {}
    gate: str | None = None


HEADLINE = ("acc", "auc", "f1_macro", "ece")


def evaluation(compared: ComparedRuns) -> Section | None:
    """Show tables of all evaluated trials, and figures of the best by val; None where none was evaluated."""
    documents = [pair for run in compared.everything.runs for pair in _documents(run)]
    if not documents:
        return None
    parts: list[Part] = [Paragraph(NOTICE, "note"), _trials_grid([document for _, document in documents])]
    folder, best = max(documents, key=lambda pair: _val_auc(pair[1]))
    try:
        heading = Heading(f"{best.run}/{best.trial}, the best of them by val AUC: {best.split}")
        parts += [heading, *trial_figures(folder, best)]
    except InputError as error:
        parts.append(Paragraph(str(error), "note"))
    return Section("evaluation", "What the trained networks are worth", tuple(parts))


def _documents(run: RunFolder) -> Iterator[tuple[EvaluationFolder, Document]]:
    """Yield every `metrics.json` of a run that can be read; one that cannot is left out."""
    for path in sorted(run.evaluation.glob("*/metrics.json")):
        folder = EvaluationFolder(path.parent)
        if document := read_document(folder):
            yield folder, document


def read_document(folder: EvaluationFolder) -> Document | None:
    """Read the `metrics.json` of an evaluation; None for one that cannot be read."""
    try:
        return Document.model_validate(json.loads(read_regular(folder.metrics)))
    except (OSError, ValueError, RecursionError):
        return None


def _val_auc(document: Document) -> float:
    known = document.val.get("auc", FigureDocument()).value
    return known if known is not None and math.isfinite(known) else -math.inf


def _trials_grid(documents: Sequence[Document]) -> Grid:
    """Build one row a trial: its settings, and headline figures with their intervals over images."""
    heads = ["trial", "settings", "split", "images", *(f"{name.replace('_', ' ')}" for name in HEADLINE), "gate"]
    words = ("trial", "settings", "split", "gate")
    rows = []
    for one in documents:
        settings = ", ".join(f"{name} {value}" for name, value in one.settings.items())
        names = [Cell(f"{one.run}/{one.trial}"), Cell(settings), Cell(one.split)]
        cells = [_figure_cell(one.figures.get(name, FigureDocument())) for name in HEADLINE]
        rows.append((*names, Cell(str(one.images), sort=float(one.images)), *cells, Cell(one.gate or "-")))
    return Grid("", tuple(Column(head, head in words) for head in heads), tuple(rows))


def _figure_cell(figure: FigureDocument) -> Cell:
    low, high = figure.images_95
    below = f"{low:.3f} to {high:.3f}" if low is not None and high is not None else ""
    return number_cell(math.nan if figure.value is None else figure.value, 4, below)


def trial_figures(folder: EvaluationFolder, document: Document) -> list[Part]:
    """Return the table of classes and the figures of an evaluated trial. Raises `InputError`."""
    parts = read_predictions(folder.predictions)
    here = [one for one in parts if one.split == document.split]
    seeds = [one for one in here if one.model != ENSEMBLE]
    val = {one.model: one for one in parts if one.split == "val"}
    if not seeds or here[-1].model not in val:
        raise InputError(f"{folder.predictions} lacks the split {document.split}: evaluate the trial again")
    rows = class_rows(seeds)
    return [classes_grid(rows, averages(seeds)), *_drawings(seeds, here[-1], val[here[-1].model], rows)]


def _drawings(
    seeds: Sequence[Predictions], whole: Predictions, val: Predictions, rows: Sequence[ClassRow]
) -> Iterator[Drawing]:
    over = f"mean over {len(seeds)} seed{'s' * (len(seeds) > 1)}"

    def drawing(name: str, caption: str, paper: Callable[..., Any], browser: Callable[..., Any], *of: Any) -> Drawing:
        return Drawing(f"evaluation_{name}", partial(paper, *of), caption, partial(browser, *of))

    caption = f"Confusion matrix, {over}. Colour: per cent of the true class."
    counts = mean_confusion(seeds)
    yield drawing("confusion_matrix", caption, figures.confusion, interactive.confusion, counts, whole.class_names)
    caption = f"Each class against the rest, {over}. Lines: 95 % over images."
    yield drawing("per_class", caption, figures.per_class, interactive.per_class, rows)
    caption = "ROC curves. Thin lines: further seeds."
    yield drawing("roc", caption, figures.roc, interactive.roc, seeds)
    caption = "Precision by recall. Thin lines: further seeds."
    yield drawing("pr", caption, figures.precision_recall, interactive.precision_recall, seeds)
    what = "the ensemble of the seeds" if len(seeds) > 1 else "the network"
    caption = f"Calibration of {what}, and its accuracy where only the surest images are answered."
    fitted = calibrate(val, whole)
    yield drawing("calibration", caption, figures.calibration, interactive.calibration, whole, fitted)
