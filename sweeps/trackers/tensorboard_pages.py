"""Adds to a run's event files what needs more than its ledger: texts, pictures, histograms of weights, endings.

Done when somebody looks (`python -m sweeps.show RUN --tensorboard`), so that it costs a sweep nothing. Each replicate's
folder gets one more file, which is written anew where its trial has changed.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.compat.proto.summary_pb2 import Summary

from analysis.comparison.labels import show_value
from analysis.plots_augmentation import augmentation_grid
from analysis.runs.lease import refuse_links_out
from analysis.runs.run_folder import RunFolder
from analysis.trial_status import ENDED
from analysis.weights.files import read_learned
from analysis.weights.rows import stage_files
from sweeps.record.state import RunState, TrialState, read_state
from sweeps.trackers.event_files import ending_value, histogram_value, image_value, text_value, write_whole
from sweeps.trackers.tensorboard import curves_of
from trainables.data.datasets import load
from trainables.errors import InputError
from trainables.user_code.source import is_user_code
from trainables.worker.attempt_folder import replicate_folder

# Read before the file of scalars: TensorBoard goes from file to file by name, and follows the last.
MORE = "events.out.tfevents.more"
# The folder of the run itself among those of trials.
RUN = "run"
# Trials that get histograms and pictures: the best.
MOST_TRIALS = 100
BINS = 30
# Datasets of which images are shown.
MOST_DATASETS = 4
Values = Iterator[tuple[int, Summary.Value]]


def complete(run: RunFolder, data_root: Path | None = None) -> list[str]:
    """Write what the event files lack. Returns a note for each thing that could not be shown.

    Raises `InputError` where a link leads out of the run: what is written would not be in it.
    """
    refuse_links_out(run)
    description, state = run.read_description(), read_state(run.ledger)
    fields = (*description["roles"]["scientific"], *description["roles"].get("nuisance", {}))
    notes: list[str] = []
    run.tensorboard.mkdir(exist_ok=True)
    _write(
        run.tensorboard / RUN, [run.description, run.ledger], lambda: _of_run(run, description, state, data_root, notes)
    )
    shown = set(_best(state, description, MOST_TRIALS))
    for trial in state.trials.values():
        if trial.status in ENDED and trial.epoch:
            curves = curves_of(run, trial, fields)
            for seed in trial.config["seeds"]:
                _write_trial(run, trial, curves.folder, seed, trial.trial_id in shown, notes)
    if len(state.trials) > MOST_TRIALS:
        notes.append(f"histograms and pictures are those of the {MOST_TRIALS} best trials")
    return notes


def _best(state: RunState, description: Mapping[str, Any], most: int) -> list[str]:
    """Return the ids of the trials with the best values."""
    sign = 1 if description["mode"] == "max" else -1

    def best(trial: TrialState) -> float:
        known = (sign * value for value in trial.means.of(description["metric"]) if value is not None)
        return max(known, default=-math.inf)

    return [trial.trial_id for trial in sorted(state.trials.values(), key=best, reverse=True)[:most]]


def _write(folder: Path, sources: Sequence[Path], values: Any) -> None:
    """Write a folder's further file, unless it is newer than its sources."""
    path, newest = folder / MORE, max((_changed(source) for source in sources), default=0.0)
    if _changed(path) < newest:
        folder.mkdir(exist_ok=True)
        write_whole(path, values(), newest)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _write_trial(run: RunFolder, trial: TrialState, folder: Path, seed: int, pictures: bool, notes: list[str]) -> None:
    files = run.trial(trial.folder)
    weights = stage_files(files.replicate(seed), every=1) if pictures else {}
    found = _pictures(run, trial) if pictures and seed == trial.config["seeds"][0] else {}
    place = replicate_folder(folder, seed)
    if place.is_dir():
        sources = [files.config, *weights.values(), *found.values()]
        _write(place, sources, lambda: _of_trial(trial, weights, found, _changed(files.config), notes))


def _pictures(run: RunFolder, trial: TrialState) -> dict[str, Path]:
    """Return the pictures of a trial, its evaluation and its explanation that exist, by tag."""
    files, evaluation = run.trial(trial.folder), run.evaluation_of(trial.trial_id)
    found = {"trial/weights": files.weight_distributions, "trial/curves": files.training_curves}
    for name, folder in (("evaluation", evaluation.path), ("explanation", evaluation.explanations)):
        found |= {f"{name}/{path.stem}": path for path in sorted(folder.glob("*.png"))}
    return {tag: path for tag, path in found.items() if path.is_file() and not path.is_symlink()}


def _of_trial(
    trial: TrialState, weights: Mapping[str, Path], pictures: Mapping[str, Path], time: float, notes: list[str]
) -> Values:
    yield 0, ending_value(trial.status in ("completed", "stopped"), time)
    yield 0, text_value("trial", _card(trial))
    for tag, path in pictures.items():
        yield trial.epoch, image_value(tag, path.read_bytes())
    drawn: set[int] = set()
    for path in weights.values():
        try:
            tensors, _, epoch = read_learned(path)
        except InputError as error:
            notes.append(f"no histograms of {path.name} of trial {trial.trial_id}: {error}")
            continue
        # the best and the final weights may be of one epoch
        step = trial.epoch if epoch is None else epoch
        for name, values in tensors.items() if step not in drawn else ():
            if bins := bins_of(values):
                yield step, histogram_value(f"saved_weights/{name}", bins)
        drawn.add(step)


def bins_of(values: np.ndarray, most: int = BINS) -> list[list[float]]:
    """Return (left, right, count) of each bin of a histogram; none for values that are not finite."""
    flat = np.asarray(values, dtype=np.float64).ravel()
    flat = flat[np.isfinite(flat)]
    if not flat.size:
        return []
    counts, edges = np.histogram(flat, bins=most)
    return [[float(a), float(b), float(n)] for a, b, n in zip(edges[:-1], edges[1:], counts, strict=True)]


def _card(trial: TrialState) -> str:
    """Return a trial as a table in Markdown."""
    facts = {"status": trial.status, "why": trial.stop_reason, "epochs": trial.epoch, "key": trial.key}
    facts |= {"parameters": trial.parameters, "data digest": trial.data}
    return _table({**facts, **trial.config})


def _table(values: Mapping[str, Any]) -> str:
    shown = {name: show_value(value) for name, value in values.items() if value not in (None, "")}
    rows = [f"| {_cell(name)} | {_cell(value)} |" for name, value in shown.items()]
    return "\n".join(["| | |", "| --- | --- |", *rows])


def _cell(text: str) -> str:
    """Return text that Markdown and HTML show as it is."""
    plain = str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return " ".join(plain.replace("|", "\\|").replace("`", "\\`").split())


def _of_run(
    run: RunFolder, description: Mapping[str, Any], state: RunState, data_root: Path | None, notes: list[str]
) -> Values:
    made = description.get("provenance", {})
    roles = {
        f"{role}: {name}": ", ".join(map(show_value, values if isinstance(values, list) else [values]))
        for role, fields in description["roles"].items()
        for name, values in fields.items()
    }
    facts = {"question": description["question"], "metric": description["metric"], **roles}
    facts |= {"git commit": (made.get("git") or {}).get("commit"), "command": " ".join(made.get("command", []))}
    yield 0, text_value("run", f"# {_cell(run.sweep)}\n\n{_table(facts)}")
    names = ("dataset", "image_size", "augmentation")
    shown = {tuple(trial.config.get(name) for name in names) for trial in state.trials.values()}
    for dataset, size, augmentation in sorted(shown, key=str)[:MOST_DATASETS] if _has_images(description) else ():
        # code that a file names is not run for a picture
        if is_user_code(dataset):
            continue
        kinds = ["none", *({augmentation or "none"} - {"none"})]
        kinds = [kind for kind in kinds if not is_user_code(kind)]
        try:
            yield 0, image_value(f"inputs/{_cell(str(dataset))} {kinds[-1]}", _inputs(dataset, size, kinds, data_root))
        except (InputError, IndexError) as error:
            notes.append(f"no pictures of the images of {dataset}: {error}")


def _has_images(description: Mapping[str, Any]) -> bool:
    return not description.get("trainable", {}).get("own", False)


def _inputs(dataset: Any, size: Any, kinds: Sequence[str], data_root: Path | None) -> bytes:
    """Return a PNG of training images, a row for each augmentation."""
    figure = augmentation_grid(load(str(dataset), size, data_root), kinds)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()
