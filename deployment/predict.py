"""python -m deployment.predict MODEL IMAGE...: predict image files with a deployed model. Research use only."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from analysis.command_line import check_outputs, new_app, start
from analysis.grids import Cell, Column, Grid, format_number, print_grid
from analysis.terminal.exit_codes import ExitCode
from deployment.prediction.audit_log import append
from trainables.atomic_files import write_atomically
from trainables.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deployment.formats.artefact import Artefact

app = new_app()
# Letters of a file's name in the table.
NAME_WIDTH = 32
EXAMPLES = """Examples:

  python -m deployment.predict latest scan.png folder/

  python -m deployment.predict breast@production scan.dcm --json

  python -m deployment.predict model.onnx images.npz --csv answers.csv --audit audit.jsonl

  python -m deployment.predict latest scan.png --explain maps/
"""


@app.command(epilog=EXAMPLES)
def predict(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A run, NAME@ALIAS or NAME@VERSION, .onnx or .pt2.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files, folders, npz (`images`).")],
    trial: Annotated[str, typer.Option(help="Of a run: best (by validation), or a trial's id.")] = "best",
    csv_: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write the answers as CSV, too.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    audit: Annotated[Path | None, typer.Option(metavar="FILE", help="Add a line an image to a chained log.")] = None,
    explain: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="A picture an image: what speaks for its class.")
    ] = None,
    trust_code: Annotated[
        bool, typer.Option("--trust-code", help="--explain: run the copies of your own code that the run keeps.")
    ] = False,
    registry: Annotated[str | None, typer.Option(help="URI of an MLflow registry (default: in the results).")] = None,
    storage: Annotated[str, typer.Option(help="Folder or URI of the results.")] = "results",
) -> None:
    """Name the class of each image, with probabilities, a prediction set, and what is unlike the training images.

    Exit code 1 where an image cannot be read or is unlike every image of training.
    """
    from deployment.formats.opening import open_artefact
    from deployment.prediction.answers import answer_rows, csv_text, model_name, pixels_of
    from deployment.prediction.image_inputs import find_inputs, read_inputs
    from deployment.prediction.resolve_model import find_model, refuse_unused_options

    refuse_unused_options(context, model)
    if trust_code and explain is None:
        raise InputError("--trust-code has no effect without --explain (a model's file needs no code): leave it out")
    check_outputs([csv_, audit], explain)
    found = find_model(model, storage, registry, trial, trust_code)
    inputs = find_inputs(images)
    _check_places(csv_, audit, [found.path, *inputs])
    artefact = open_artefact(found.path)
    read = list(read_inputs(inputs, artefact.metadata))
    pixels = pixels_of(read, artefact.metadata)
    scores = artefact.predict(pixels)
    rows = answer_rows(read, scores, artefact.metadata)
    if explain and len(pixels):
        from deployment.prediction import saliency
        from deployment.prediction.saliency_files import write_maps

        method, maps = saliency.explain(artefact, found.trial, pixels, scores)
        write_maps(explain, rows, pixels, maps, method)
    if audit:
        _log(audit, model_name(artefact), rows)
    if csv_:
        write_atomically(csv_, csv_text(rows, artefact.metadata).encode())
    if json_:
        print(json.dumps({"notice": "for research use only", "model": model_name(artefact), "images": rows}))
    else:
        _print(Console(), artefact, rows)
    if any(row["fault"] or row["unlike_training"] for row in rows):
        sys.exit(ExitCode.FAILURES)


def _check_places(answers: Path | None, log: Path | None, read: Sequence[Path]) -> None:
    """Refuse answers that would take the place of the log, of the model or of an image."""
    if answers is None:
        return
    if log and answers.resolve() == log.resolve():
        raise InputError(f"--csv and --audit both name {answers}: the answers would take the place of the log")
    if answers.resolve() in {path.resolve() for path in read}:
        raise InputError(f"--csv {answers} is a file that is read: the answers would take its place")


def _log(path: Path, model: str, rows: Sequence[dict[str, Any]]) -> None:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    append(path, ({"time": now, "model": model, **row} for row in rows))


def _end_of(name: str) -> str:
    """Return the end of a long name, which tells files apart."""
    return name if len(name) <= NAME_WIDTH else f"…{name[1 - NAME_WIDTH :]}"


def _print(console: Console, artefact: Artefact, rows: Sequence[dict[str, Any]]) -> None:
    from analysis.trial_evaluation.terminal import say
    from deployment.prediction.answers import model_name

    def cells(row: dict[str, Any]) -> tuple[Cell, ...]:
        if row["fault"]:
            return Cell(_end_of(row["image"])), Cell("-", style="red"), Cell("-"), Cell("-"), Cell("-"), Cell("-")
        numbers = (Cell(format_number(row[key], 3)) for key in ("confidence", "calibrated", "uncertainty"))
        answer, inside = "; ".join(row["answer"]) or "none", "; ".join(row["prediction_set"]) or "empty"
        return Cell(_end_of(row["image"])), Cell(answer), *numbers, Cell(inside)

    coverage = f"set at {100 * artefact.metadata.coverage:.0f} %"
    columns = (
        Column("image", True), Column("answer", True), Column("probability"), Column("calibrated", drop=2),
        Column("entropy", drop=3), Column(coverage, True, drop=1),
    )  # fmt: skip
    print_grid(console, Grid("", columns, tuple(map(cells, rows))))
    for row in rows:
        if "explanation" in row:
            say(console, f"{row['explanation']['file']}: {row['explanation']['method']}")
        if row["fault"]:
            say(console, f"{row['image']} cannot be read: {row['fault']}", "red")
        for reason in row["unlike_training"]:
            say(console, f"{row['image']} is unlike the training images: {reason}", "yellow")
    say(console, f"{model_name(artefact)}; for research use only")


if __name__ == "__main__":
    start(app)
