"""Answers of a model to images: rows as JSON and CSV hold them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.evaluation.predictions import Predictions
from deployment.formats.artefact import Artefact
from deployment.model.image_statistics import unlike_training
from deployment.model.metadata import ModelMetadata
from deployment.prediction.image_inputs import InputImage

OF_ANSWERS = ("answer", "confidence", "calibrated", "probabilities", "uncertainty", "prediction_set")
PLAIN = ("image", "answer", "confidence", "calibrated", "uncertainty", "prediction_set", "unlike_training", "fault")


def pixels_of(images: Sequence[InputImage], metadata: ModelMetadata) -> NDArray[np.uint8]:
    """Stack the pixels of the images that could be read, (N, *image_shape)."""
    readable = [image.pixels for image in images if image.pixels is not None]
    return np.stack(readable) if readable else np.zeros((0, *metadata.image_shape), np.uint8)


def answer_rows(
    images: Sequence[InputImage], scores: NDArray[np.float64], metadata: ModelMetadata
) -> list[dict[str, Any]]:
    """Return a row for each image, as JSON holds it. scores: of `pixels_of` them. A row with a fault has no answer.

    confidence: the highest probability, or of labels each one's own under probabilities; calibrated: the same at val's
    temperature; uncertainty: entropy in nats.
    """
    labels = np.zeros(scores.shape if "label" in metadata.task else len(scores), np.int64)
    made = Predictions("model", "new", metadata.task, metadata.class_names, labels, scores)
    calibrated, named, sets = metadata.calibrated(scores), metadata.answers(scores), metadata.prediction_sets(scores)
    rows: list[dict[str, Any]] = []
    number = 0
    for image in images:
        row = {"image": image.name, "fault": image.fault, "digest": image.digest, "unlike_training": []}
        rows.append(row | dict.fromkeys(OF_ANSWERS))
        if image.pixels is None:
            continue
        rows[-1] |= {
            "answer": named[number],
            "confidence": float(scores[number].max()),
            "calibrated": float(calibrated[number].max()),
            "probabilities": dict(zip(metadata.class_names, scores[number].tolist(), strict=True)),
            "uncertainty": float(made.uncertainty[number]),
            "prediction_set": sets[number],
            "unlike_training": [*image.notes, *unlike_training(image.pixels, metadata.training_ranges)],
        }
        number += 1
    return rows


def model_name(artefact: Artefact) -> str:
    """Return what identifies a model: run, trial, seed, and the digest of its file."""
    metadata = artefact.metadata
    return f"{metadata.run}/{metadata.trial}, seed {metadata.seed}, file {artefact.digest[:16]}"


def csv_text(rows: Sequence[dict[str, Any]], metadata: ModelMetadata) -> str:
    """Write rows as CSV: a column for each class's probability."""
    text = io.StringIO()
    names = [f"probability of {name}" for name in metadata.class_names]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*PLAIN, *names])
    for row in rows:
        cells = ["; ".join(row[key]) if isinstance(row[key], list) else row[key] for key in PLAIN]
        writer.writerow([*map(_harmless, cells), *(row["probabilities"] or dict.fromkeys(names, "")).values()])
    return text.getvalue()


def _harmless(cell: object) -> object:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in "=+-@\t\r" and cell else cell
