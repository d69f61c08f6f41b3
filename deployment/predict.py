"""python -m deployment.predict MODEL IMAGE...: predict image files with a deployed model. Research use only."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from analysis.command_line import new_app, start
from analysis.grids import Cell, Column, Grid, format_number, print_grid
from analysis.terminal.exit_codes import ExitCode
from deployment.prediction.audit_log import append
from trainables.atomic_files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deployment.formats.artefact import Artefact
    from deployment.model.metadata import ModelMetadata
    from deployment.prediction.image_inputs import InputImage

app = new_app()
# Letters of a file's name in the table.
NAME_WIDTH = 32
EXAMPLES = """Examples:

  python -m deployment.predict latest scan.png folder/

  python -m deployment.predict breast@production scan.dcm --json

  python -m deployment.predict model.onnx images.npz --csv answers.csv --audit audit.jsonl
"""


@app.command(epilog=EXAMPLES)
def predict(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A run, NAME@ALIAS or NAME@VERSION, .onnx or .pt2.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files, folders, npz (`images`).")],
    trial: Annotated[str, typer.Option(help="Of a run: best (by validation), or a trial's id.")] = "best",
    csv_: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write the answers as CSV, too.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    audit: Annotated[Path | None, typer.Option(metavar="FILE", help="Add a line an image to a chained log.")] = None,
    registry: Annotated[str | None, typer.Option(help="URI of an MLflow registry (default: in the results).")] = None,
    storage: Annotated[str, typer.Option(help="Folder or URI of the results.")] = "results",
) -> None:
    """Name the class of each image, with probabilities, a prediction set, and what is unlike the training images.

    Exit code 1 where an image cannot be read or is unlike every image of training.
    """
    from deployment.prediction.image_inputs import find_inputs, read_inputs
    from deployment.prediction.resolve_model import open_model

    artefact = open_model(model, storage, registry, trial)
    rows = answers(artefact, list(read_inputs(find_inputs(images), artefact.metadata)))
    if audit:
        _log(audit, artefact, rows)
    if csv_:
        write_atomically(csv_, csv_text(rows, artefact.metadata).encode())
    if json_:
        print(json.dumps({"notice": "for research use only", "model": model_name(artefact), "images": rows}))
    else:
        _print(Console(), artefact, rows)
    if any(row["fault"] or row["unlike_training"] for row in rows):
        sys.exit(ExitCode.FAILURES)


def answers(artefact: Artefact, images: Sequence[InputImage]) -> list[dict[str, Any]]:
    """Predict images; return a row for each, as JSON holds it. A row with a fault has no answer.

    confidence: the highest probability, or of labels each one's own under probabilities; calibrated: the same at val's
    temperature; uncertainty: entropy in nats.
    """
    import numpy as np

    from analysis.evaluation.predictions import Predictions
    from deployment.model.image_statistics import unlike_training

    metadata = artefact.metadata
    readable = [(number, image, image.pixels) for number, image in enumerate(images) if image.pixels is not None]
    pixels = (
        np.stack([pixels for *_, pixels in readable]) if readable else np.zeros((0, *metadata.image_shape), np.uint8)
    )
    scores = artefact.predict(pixels)
    labels = np.zeros(scores.shape if "label" in metadata.task else len(scores), np.int64)
    made = Predictions("model", "new", metadata.task, metadata.class_names, labels, scores)
    calibrated, named, sets = metadata.calibrated(scores), metadata.answers(scores), metadata.prediction_sets(scores)
    found: dict[int, dict[str, Any]] = {}
    for number, (place, image, own) in enumerate(readable):
        found[place] = {
            "answer": named[number],
            "confidence": float(scores[number].max()),
            "calibrated": float(calibrated[number].max()),
            "probabilities": dict(zip(metadata.class_names, scores[number].tolist(), strict=True)),
            "uncertainty": float(made.uncertainty[number]),
            "prediction_set": sets[number],
            "unlike_training": [*image.notes, *unlike_training(own, metadata.training_ranges)],
        }
    none: dict[str, Any] = dict.fromkeys(
        ("answer", "confidence", "calibrated", "probabilities", "uncertainty", "prediction_set")
    )
    none["unlike_training"] = []
    return [
        {"image": image.name, "fault": image.fault, "digest": image.digest, **found.get(place, none)}
        for place, image in enumerate(images)
    ]


def model_name(artefact: Artefact) -> str:
    """Return what identifies a model: run, trial, seed, and the digest of its file."""
    metadata = artefact.metadata
    digest = hashlib.sha256(artefact.path.read_bytes()).hexdigest()[:16]
    return f"{metadata.run}/{metadata.trial}, seed {metadata.seed}, file {digest}"


def csv_text(rows: Sequence[dict[str, Any]], metadata: ModelMetadata) -> str:
    """Write rows as CSV: a column for each class's probability."""
    text = io.StringIO()
    names = [f"probability of {name}" for name in metadata.class_names]
    plain = ("image", "answer", "confidence", "calibrated", "uncertainty", "prediction_set", "unlike_training", "fault")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*plain, *names])
    for row in rows:
        cells = ["; ".join(row[key]) if isinstance(row[key], list) else row[key] for key in plain]
        writer.writerow([*map(_harmless, cells), *(row["probabilities"] or dict.fromkeys(names, "")).values()])
    return text.getvalue()


def _harmless(cell: object) -> object:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in "=+-@\t\r" and cell else cell


def _log(path: Path, artefact: Artefact, rows: Sequence[dict[str, Any]]) -> None:
    model, now = model_name(artefact), datetime.now(UTC).isoformat(timespec="milliseconds")
    append(path, ({"time": now, "model": model, **row} for row in rows))


def _end_of(name: str) -> str:
    """Return the end of a long name, which tells files apart."""
    return name if len(name) <= NAME_WIDTH else f"…{name[1 - NAME_WIDTH :]}"


def _print(console: Console, artefact: Artefact, rows: Sequence[dict[str, Any]]) -> None:
    from analysis.trial_evaluation.terminal import say

    def cells(row: dict[str, Any]) -> tuple[Cell, ...]:
        if row["fault"]:
            return Cell(_end_of(row["image"])), Cell("-", style="red"), Cell("-"), Cell("-"), Cell("-"), Cell("-")
        numbers = (Cell(format_number(row[key], 3)) for key in ("confidence", "calibrated", "uncertainty"))
        answer, inside = ", ".join(row["answer"]) or "none", ", ".join(row["prediction_set"]) or "empty"
        return Cell(_end_of(row["image"])), Cell(answer), *numbers, Cell(inside)

    coverage = f"set at {100 * artefact.metadata.coverage:.0f} %"
    columns = (
        Column("image", True), Column("answer", True), Column("probability"), Column("calibrated", drop=2),
        Column("entropy", drop=3), Column(coverage, True, drop=1),
    )  # fmt: skip
    print_grid(console, Grid("", columns, tuple(map(cells, rows))))
    for row in rows:
        if row["fault"]:
            say(console, f"{row['image']} cannot be read: {row['fault']}", "red")
        for reason in row["unlike_training"]:
            say(console, f"{row['image']} is unlike the training images: {reason}", "yellow")
    say(console, f"{model_name(artefact)}; for research use only")


if __name__ == "__main__":
    start(app)
