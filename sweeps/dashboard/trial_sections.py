"""Sections of one trial that are read from its files: its weights before and after, complexity, and evaluation."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

from analysis import table
from analysis.browser_figures import complexity as interactive_complexity
from analysis.figures.complexity import complexity_by_layer
from analysis.page.evaluation import read_document, trial_figures
from analysis.page.parts import Command, Definitions, Drawing, Heading, Paragraph, Part, Section
from analysis.page.sections import weights_before_and_after
from analysis.runs.run_folder import RunFolder
from sweeps.dashboard.files import open_file
from sweeps.record.state import TrialState, read_state
from trainables.errors import InputError

# seeds whose weights are drawn
SEEDS = 3
MOST_TEXT = 60_000


def trial_sections(run: RunFolder, trial_id: str) -> Iterator[Callable[[], Section | None]]:
    """Yield what builds each section of a trial. Raises `InputError` for one that the ledger does not know."""
    state = read_state(run.ledger)
    trial = state.trials.get(trial_id)
    if trial is None:
        raise InputError(f"{run.run_id} has no trial {trial_id}")
    yield partial(_weights, run, trial)
    yield partial(_complexity, run, trial)
    if state.ended:
        yield partial(_evaluation, run, trial)
        yield partial(_evaluation_figures, run, trial)
    else:
        # nobody is to stop a run, or go on with it, by what the test split says
        held = Paragraph("Shown when all trials have ended: an evaluation says what the test split says.", "note")
        yield partial(Section, "evaluation", "Evaluation", (held,))


def _weights(run: RunFolder, trial: TrialState) -> Section:
    folder = run.trial(trial.folder)
    drawings = []
    for seed in trial.config["seeds"][:SEEDS]:
        after = next((path for path in (folder.best_model(seed), folder.final_model(seed)) if path.is_file()), None)
        if after is not None:
            caption = f"Weights of seed {seed}, {after.name.partition('_')[0]}. Outline: before training."
            drawings.append(weights_before_and_after(f"weights_{seed}", folder, seed, caption))
    title = "Weights before and after"
    return Section("weights", title, tuple(drawings) or (Paragraph("No weights are kept yet.", "note"),))


def _complexity(run: RunFolder, trial: TrialState) -> Section | None:
    if not run.weights_table.exists():
        return None
    rows = table.read(run.weights_table, "weights")
    own = rows[rows["trial_key"] == trial.key]
    if own.empty:
        return None
    caption = "Complexity by layer at the best epoch, means over seeds; the thin line is where the layer began."
    live = partial(interactive_complexity.complexity_by_layer, own)
    drawn = Drawing("by_layer", partial(complexity_by_layer, own), caption, live)
    return Section("complexity", "Complexity by layer", (drawn,))


def _evaluation(run: RunFolder, trial: TrialState) -> Section:
    folder = run.evaluation_of(trial.trial_id.partition(".")[0])
    command = f"python -m analysis.evaluate {run.path} --trial {trial.trial_id}"
    if not folder.report.is_file():
        text = Paragraph("This trial has not been evaluated. To do so:", "note")
        return Section("evaluation", "Evaluation", (text, Command(command)))
    parts: list[Part] = [Command(_read(run, folder.report).decode(errors="replace"))]
    if folder.gate.is_file():
        verdict = None
        # what somebody has changed is not shown
        with suppress(ValueError, RecursionError):
            verdict = json.loads(_read(run, folder.gate))
        known = verdict.items() if isinstance(verdict, dict) else ()
        shown = {name: str(value) for name, value in known if isinstance(value, str | int | float | bool)}
        parts += [Heading("Thresholds"), Definitions(shown)]
    return Section("evaluation", "Evaluation", tuple(parts))


def _evaluation_figures(run: RunFolder, trial: TrialState) -> Section | None:
    """Show the classes, curves and calibration that the report shows of the best trial; None without an evaluation."""
    folder = run.evaluation_of(trial.trial_id.partition(".")[0])
    if not folder.predictions.is_file():
        return None
    for path in (folder.metrics, folder.predictions):
        _open(run, path).close()
    document = read_document(folder)
    if document is None:
        raise InputError(f"{folder.metrics} cannot be read: evaluate the trial again")
    return Section("evaluation_figures", f"Evaluation on {document.split}", tuple(trial_figures(folder, document)))


def _read(run: RunFolder, path: Path) -> bytes:
    """Return the beginning of a file of a run. Raises `InputError` as `_open` does."""
    with _open(run, path) as file:
        return file.read(MOST_TEXT)


def _open(run: RunFolder, path: Path) -> BinaryIO:
    """Open a file of a run. Raises `InputError` for one behind a link, which may lead elsewhere."""
    number, _ = open_file(run, path.relative_to(run.path).as_posix())
    return os.fdopen(number, "rb")
