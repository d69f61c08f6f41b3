"""The files of an evaluation: `evaluation/<trial>/` in the run's folder."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from analysis import table
from analysis.evaluation.bootstrap import as_plain
from analysis.evaluation.gate import NOTICE, Thresholds, gate_document
from analysis.evaluation.per_class import class_document
from analysis.evaluation.predictions import prediction_rows, write_medmnist_csv
from analysis.runs.run_folder import EvaluationFolder
from analysis.trial_evaluation.terminal import print_evaluation
from analysis.trial_evaluation.trial import TrialEvaluation
from trainables.atomic_files import read_regular, write_atomically
from trainables.errors import InputError
from trainables.json_values import as_json_value

REPORT_WIDTH = 100
# what a verdict says of the evaluation that it is of, so that it can be read alone
JUDGED = ("run", "trial", "dataset", "dataset_digest", "split", "weights")


def metrics_document(evaluation: TrialEvaluation) -> dict[str, Any]:
    """Return the content of `metrics.json`; what is undefined is null."""
    first = evaluation.predictions[0]
    return {
        "notice": NOTICE,
        "run": f"{evaluation.chosen.run.sweep}/{evaluation.chosen.run.run_id}",
        "trial": evaluation.chosen.trial_id,
        "status": evaluation.chosen.status,
        "settings": dict(evaluation.chosen.settings),
        "dataset": evaluation.dataset,
        "dataset_digest": evaluation.digest,
        "task": first.task,
        "class_names": list(first.class_names),
        "split": evaluation.split,
        "images": len(first),
        "weights": [{"seed": seed, "epoch": evaluation.epochs[seed], "file": _inside(evaluation, path)}
                    for seed, path in evaluation.chosen.weights.items()],
        "figures": as_plain(evaluation.figures),
        "ensemble": as_plain(evaluation.ensemble_figures) if evaluation.ensemble_figures else None,
        "val": as_plain(evaluation.val_figures),
        "classes": class_document(evaluation.classes),
        "averages": evaluation.averages,
        "confusion": evaluation.confusion.tolist(),
        "operating_points": {name: list(points) for name, points in evaluation.operating.items()},
        "calibration": evaluation.calibration,
        "cost": evaluation.cost,
        "groups": list(evaluation.groups),
        "gaps": list(evaluation.gaps),
        "gate": evaluation.gate.verdict if evaluation.gate else None,
        "notes": list(evaluation.notes),
    }  # fmt: skip


def _inside(evaluation: TrialEvaluation, path: Path) -> str:
    return path.relative_to(evaluation.chosen.run.path).as_posix()


def write_evaluation(
    evaluation: TrialEvaluation, folder: EvaluationFolder, thresholds: Thresholds | None = None
) -> None:
    """Write report.txt, metrics.json, predictions.parquet, MedMNIST's CSVs and the gate; not the pictures.

    What an earlier evaluation left there is removed, but for the verdict of its gate, which moves to a file of its own:
    it does not belong to these figures, and must not be lost. Raises `InputError`.
    """
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        _put_aside(folder)
        write_predictions(evaluation, folder.predictions)
        for predictions in evaluation.predictions:
            run = f"{evaluation.chosen.run.run_id}-{evaluation.chosen.trial_id}-{predictions.model}"
            write_medmnist_csv(folder.path, predictions, evaluation.dataset, evaluation.image_size, run)
        write_atomically(folder.report, report_text(evaluation).encode())
        document = metrics_document(evaluation)
        write_json(folder.metrics, document)
        # last, so that no verdict ever stands beside figures that it was not made of
        if evaluation.gate and thresholds:
            judged = {name: document[name] for name in JUDGED}
            write_json(folder.gate, gate_document(evaluation.gate, thresholds) | judged)
    except OSError as error:
        raise InputError(
            f"{folder.path} cannot be written ({error.strerror}): free space, or mend its rights"
        ) from None


def replaced_note(folder: EvaluationFolder, evaluation: TrialEvaluation) -> str:
    """Return what an earlier evaluation says that this one does not, "" where there is nothing to miss."""
    said = []
    before = _before(folder.metrics, "split")
    if before and before != evaluation.split:
        said.append(f"its evaluation on {before} is replaced by that on {evaluation.split}")
    verdict, now = _before(folder.gate, "verdict"), evaluation.gate.verdict if evaluation.gate else ""
    if verdict and verdict != now:
        why = f"it is {now!r} now" if now else "this time no gate was asked"
        said.append(f"the verdict {verdict!r} of its gate moves to {folder.earlier_gate.name}: {why}")
    return "; ".join(said)


def _before(path: Path, name: str) -> str:
    """Return a word of an earlier evaluation's file, "" where it cannot be read."""
    try:
        return str(json.loads(read_regular(path))[name])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""


def _put_aside(folder: EvaluationFolder) -> None:
    if folder.gate.is_file():
        folder.gate.replace(folder.earlier_gate)
    for pattern in ("*@*.csv", "*.png"):
        for path in folder.path.glob(pattern):
            path.unlink()


def write_json(path: Path, content: Any) -> None:
    """Write JSON whole or not at all; numbers that are not finite become null."""
    write_atomically(path, (json.dumps(as_json_value(content), indent=1, allow_nan=False) + "\n").encode())


def write_predictions(evaluation: TrialEvaluation, path: Path) -> None:
    """Write `predictions.parquet`: val and the evaluated split, of each network."""
    parts = [*evaluation.predictions, *(evaluation.val_predictions if evaluation.split != "val" else ())]
    rows = ({"trial_id": evaluation.chosen.trial_id, **row} for part in parts for row in prediction_rows(part))
    metadata = {
        "task": evaluation.predictions[0].task,
        "class_names": list(evaluation.predictions[0].class_names),
        "dataset": evaluation.dataset,
        "dataset_digest": evaluation.digest,
    }
    table.write(path, "predictions", rows, metadata)


def report_text(evaluation: TrialEvaluation) -> str:
    """Return the text of `report.txt`: the same as on the terminal."""
    text = io.StringIO()
    print_evaluation(Console(file=text, width=REPORT_WIDTH, no_color=True), evaluation)
    return text.getvalue()
