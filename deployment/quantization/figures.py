"""Figures of a quantised file beside the float one: size, figures on test, agreement and measured speed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.evaluation.bootstrap import Figure, Interval, estimate_figures, proportion_interval
from analysis.evaluation.cost import Timing, time_batches
from analysis.evaluation.predictions import Predictions
from deployment.formats.artefact import Artefact
from trainables.data.arrays import Split
from trainables.metrics.per_class import predicted_labels


@dataclass(frozen=True)
class FileFigures:
    """Figures of a model file.

    auc, acc: on test, with intervals over images. agreement: share of test images with the float network's answer, and
    its interval (Wilson); difference: the largest of any probability. timing: on one CPU thread, by ONNX Runtime.
    """

    name: str
    bytes: int
    auc: Figure
    acc: Figure
    agreement: float
    agreement_95: Interval
    difference: float
    timing: Timing


def file_figures(name: str, artefact: Artefact, split: Split, own: Predictions) -> FileFigures:
    """Measure a model file on the test images, beside the network's own predictions of them."""
    scores = artefact.predict(split.images)
    figures = estimate_figures(own.labels, [scores], own.task)
    same = predicted_labels(scores, own.task) == own.predicted
    agreement = float((same.all(axis=1) if same.ndim == 2 else same).mean())
    return FileFigures(
        name, artefact.path.stat().st_size, figures["auc"], figures["acc"], agreement,
        proportion_interval(agreement, len(own)), float(np.abs(scores - own.scores).max()), _timing(artefact, split),
    )  # fmt: skip


def _timing(artefact: Artefact, split: Split) -> Timing:
    def inputs(count: int) -> np.ndarray:
        return artefact.metadata.as_input(np.resize(split.images[:count], (count, *split.images.shape[1:])))

    return time_batches(artefact.run, inputs)
