"""Figures of an evaluation: confusion, classes, ROC, precision and recall, calibration, right and wrong images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.evaluation.calibration import Calibration
from analysis.evaluation.curves import ClassCurves, calibration_curves, precision_recall_curves, roc_curves
from analysis.evaluation.per_class import ClassRow
from analysis.evaluation.predictions import Predictions
from analysis.figures.style import COLOURS, FAINT, INK, colour_of, marker_of, new_figure, styled
from analysis.trial_evaluation.tables import short
from analysis.trial_evaluation.trial import TrialEvaluation
from trainables.metrics.calibration import confidences

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from trainables.data.arrays import Data

# Classes with a curve of their own.
MOST_NAMED = 14
# Classes of a matrix whose cells hold numbers.
MOST_CELLS = 25
# Figures that are drawn of each class, and what they are called.
OF_CLASS = {"precision": "precision", "recall": "recall", "specificity": "specificity", "f1": "F1"}
# Images in each row.
SHOWN = 8


def evaluation_figures(evaluation: TrialEvaluation, data: Data | None = None) -> Iterator[tuple[str, Figure]]:
    """Yield every figure of an evaluation with its name. data: whose images are shown by how sure the answer is."""
    yield "confusion_matrix", confusion(evaluation.confusion, evaluation.whole.class_names)
    yield "per_class", per_class(evaluation.classes)
    yield "roc", roc(evaluation.seeds)
    yield "pr", precision_recall(evaluation.seeds)
    yield "calibration", calibration(evaluation.whole, evaluation.calibration[evaluation.whole.model])
    if data is not None and len(data.splits[evaluation.split]) == len(evaluation.whole):
        yield "correct_incorrect", correct_incorrect(evaluation.whole, data.splits[evaluation.split].images)


@styled
def confusion(counts: NDArray[np.float64], names: Sequence[str]) -> Figure:
    """Draw per cent of each true class as colour, counts as text; for multi-label a small matrix each label."""
    if counts.ndim == 3:
        return _label_matrices(counts, names)
    n = len(names)
    side = max(3.4, 0.62 * n + 1.6)
    figure, axes = new_figure(1, 1, side + 0.6, side)
    image = _matrix(axes[0, 0], counts, names, written=n <= MOST_CELLS)
    axes[0, 0].set(xlabel="predicted class", ylabel="true class")
    bar = figure.colorbar(image, ax=axes[0, 0], shrink=0.8)
    bar.set_label("% of the true class")
    return figure


def per_cent(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return per cent of each true class, the rows."""
    return 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def cell_count(count: float) -> str:
    """Return a count, which may be a mean over seeds, as a cell has it."""
    return f"{count:.0f}" if float(count).is_integer() else f"{count:.1f}"


def _matrix(axis: Any, counts: Any, names: Sequence[str], *, written: bool) -> Any:
    shares = per_cent(counts)
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    labels = [short(name) for name in names]
    flat = all(len(label) <= 6 for label in labels)
    turn = {} if flat else {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    axis.set_xticks(range(len(names)), labels, **turn)
    axis.set_yticks(range(len(names)), labels)
    axis.spines[:].set_visible(False)
    for i, j in np.ndindex(counts.shape) if written else ():
        colour = "white" if shares[i, j] > 55 else INK
        text = f"{cell_count(counts[i, j])}\n{shares[i, j]:.0f} %"
        axis.text(j, i, text, ha="center", va="center", color=colour, fontsize=7.5)
    return image


def _label_matrices(counts: NDArray[np.float64], names: Sequence[str]) -> Figure:
    columns = min(5, len(names))
    rows = math.ceil(len(names) / columns)
    figure, axes = new_figure(rows, columns, 1.9, 2.0)
    for axis in axes.flat[len(names) :]:
        axis.axis("off")
    for axis, matrix, name in zip(axes.flat, counts, names, strict=False):
        _matrix(axis, matrix, ("no", "yes"), written=True)
        axis.set_title(short(name, 22))
    figure.supxlabel("predicted", fontsize=9)
    figure.supylabel("true", fontsize=9)
    return figure


def by_recall(rows: Sequence[ClassRow]) -> list[ClassRow]:
    """Return the classes, best recall first."""
    return sorted(rows, key=lambda row: -np.nan_to_num(row.figures["recall"], nan=-1))


def row_name(row: ClassRow) -> str:
    """Return what the row of a class is called: its name and its number of images."""
    return f"{short(row.name)} (n = {row.support})"


@styled
def per_class(rows: Sequence[ClassRow]) -> Figure:
    """Draw precision, recall with its interval, specificity and F1 of each class, best recall first."""
    ranked = by_recall(rows)
    figure, axes = new_figure(1, 1, 5.6, max(1.9, 0.5 * len(rows) + 1.0))
    axis = axes[0, 0]
    for number, (name, shown) in enumerate(OF_CLASS.items()):
        heights = np.arange(len(ranked)) + (number - 1.5) * 0.17
        values = np.array([row.figures[name] for row in ranked])
        style: Any = {"color": colour_of(number), "marker": marker_of(number), "linestyle": "none", "markersize": 5}
        axis.plot(values, heights, label=shown, **style)
        if name == "recall":
            ends = np.array([[row.recall_95.low, row.recall_95.high] for row in ranked])
            axis.hlines(heights, ends[:, 0], ends[:, 1], color=colour_of(number), linewidth=1.4)
    axis.set_yticks(range(len(ranked)), list(map(row_name, ranked)))
    axis.invert_yaxis()
    axis.set_xlim(-0.02, 1.02)
    axis.grid(axis="x")
    axis.set_xlabel("a class against the rest; line: 95 % of recall")
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure


@styled
def roc(predictions: Sequence[Predictions]) -> Figure:
    """Draw the ROC curve of each class (of the last class, for two), a thin line for each further seed."""
    figure, axis = _curves(roc_curves(predictions), "AUC")
    axis.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=":")
    axis.set(xlabel="1 − specificity", ylabel="sensitivity (recall)")
    return figure


@styled
def precision_recall(predictions: Sequence[Predictions]) -> Figure:
    """Draw precision by recall of each class (of the last class, for two), a thin line for each further seed."""
    figure, axis = _curves(precision_recall_curves(predictions), "AP", drawstyle="steps-post")
    axis.set(xlabel="recall (sensitivity)", ylabel="precision")
    return figure


def _curves(classes: Sequence[ClassCurves], what: str, drawstyle: Any = "default") -> tuple[Figure, Any]:
    """Draw a curve for each class and seed; classes beyond the colours' number are faint."""
    figure, axes = new_figure(1, 1, 4.4, 4.0)
    axis = axes[0, 0]
    for one in classes:
        named = one.number < MOST_NAMED
        look: Any = {
            "color": colour_of(one.number) if named else FAINT,
            "linestyle": ("-", "--", ":")[one.number // len(COLOURS) % 3],
        }
        for seed, (across, up) in enumerate(one.networks):
            style: Any = {"linewidth": 0.7, "alpha": 0.45} if seed else {"linewidth": 1.5}
            axis.plot(across, up, drawstyle=drawstyle, **look, **style)
        if named:
            axis.plot([], [], **look, label=f"{short(one.name)}: {what} {one.area:.3f}")
    axis.set_xlim(-0.01, 1.01)
    axis.set_ylim(-0.01, 1.01)
    axis.grid()
    axis.set_aspect("equal")
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=2 if len(classes) > 1 else 1)
    return figure, axis


@styled
def calibration(predictions: Predictions, fitted: Calibration) -> Figure:
    """Draw reliability before and after the temperature, confidence of the answers, and accuracy against coverage."""
    curves = calibration_curves(predictions, fitted)
    figure, axes = new_figure(1, 2, 3.6, 3.3)
    left, right = axes[0]
    left.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=":")
    for number, (name, curve) in enumerate(curves.reliabilities.items()):
        known = curve.counts > 0
        left.plot(curve.confidence[known], curve.accuracy[known], color=colour_of(number), marker=marker_of(number),
                  markersize=4, linewidth=1.2, label=name)  # fmt: skip
        if number == 0:
            left.bar(curve.edges[:-1], curve.counts / curve.counts.sum(), np.diff(curve.edges), align="edge",
                     color=FAINT, alpha=0.35, label="share of answers")  # fmt: skip
    left.set(xlabel="confidence", ylabel="share of right answers", xlim=(0, 1), ylim=(0, 1.02))
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    right.plot(curves.answered, curves.accuracy, color=colour_of(0), linewidth=1.2)
    right.set(xlabel="share of images answered, the surest first", ylabel="accuracy of those answers", xlim=(0, 1))
    right.grid()
    return figure


@styled
def correct_incorrect(predictions: Predictions, images: NDArray[np.uint8]) -> Figure:
    """Show images by how sure the answer is: surest right, surest wrong and least sure. Volumes: their middle slice."""
    confidence = confidences(predictions.scores, predictions.task)
    confidence = confidence.mean(axis=1) if confidence.ndim == 2 else confidence
    correct = predictions.correct
    order = np.argsort(-confidence, kind="stable")
    rows = (
        ("surest right", order[correct[order]]),
        ("surest wrong", order[~correct[order]]),
        ("least sure", order[::-1]),
    )
    figure, axes = new_figure(3, SHOWN, 1.12, 1.62)
    for line, (title, chosen) in zip(axes, rows, strict=True):
        for axis in line:
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
        line[0].set_ylabel(title, fontsize=9)
        for axis, number in zip(line, chosen[:SHOWN], strict=False):
            axis.imshow(flat_image(images[number]), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axis.set_title(_answer(predictions, int(number), float(confidence[number])), fontsize=6.5, pad=2)
        if not len(chosen):
            line[0].text(0, 0.5, "none", transform=line[0].transAxes)
    return figure


def _answer(predictions: Predictions, number: int, confidence: float) -> str:
    """Write the true class, and the answer with its confidence; multi-label: how many labels are right."""
    if predictions.labels.ndim == 2:
        right = int((predictions.predicted[number] == predictions.labels[number]).sum())
        return f"image {number}\n{right} of {predictions.labels.shape[1]} labels\n{100 * confidence:.0f} %"
    true = short(predictions.class_names[predictions.labels[number]], 15)
    said = short(predictions.class_names[predictions.predicted[number]], 15)
    return f"true {true}\nsaid {said}\n{100 * confidence:.0f} %"


def flat_image(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture of an image (H, W, C) or of a volume's middle slice (D, H, W, C): grey without its channel."""
    flat = image[len(image) // 2] if image.ndim == 4 else image
    return flat[..., 0] if flat.shape[-1] == 1 else flat
