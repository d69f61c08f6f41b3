"""python -m sweeps.dashboard.sections_program RUN... [--trial ID]: the report's sections as lines of JSON.

A program of its own: what it takes of memory goes when it ends, and its work is never in the way of an answer.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from analysis.browser_figures import comparison as interactive
from analysis.comparison.compare_runs import ComparedRuns, compare_runs
from analysis.comparison.labels import telling_fields
from analysis.comparison.results import config_columns
from analysis.comparison.sentences import name_of
from analysis.page.behaviour import behaviour
from analysis.page.complexity import performance, weights
from analysis.page.evaluation import evaluation
from analysis.page.parts import Paragraph, Plotted, Section
from analysis.page.records import failures, provenance
from analysis.page.render import part_html
from analysis.page.sections import curves, hyperparameters, values
from analysis.runs.run_folder import RunFolder
from sweeps.dashboard.beside_run import end_with_parent
from sweeps.dashboard.trial_sections import trial_sections
from trainables.errors import InputError

# the machine's work goes first
NICE = 10
Build = Callable[[ComparedRuns], Section | None]


def main() -> None:
    """Write a line for each section, as soon as it is there; a section that fails is a line that says why."""
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--trial")
    parser.add_argument("--running", action="store_true")
    given = parser.parse_args()
    os.nice(NICE)
    end_with_parent()
    runs = [RunFolder(path) for path in given.runs]
    try:
        if given.trial:
            _write_all(trial_sections(runs[0], given.trial))
        else:
            _write_all(partial(build, compared) for compared, build in run_sections(runs, given.running))
    except InputError as error:
        _write({"name": "", "title": "", "html": part_html(Paragraph(str(error), "note"))})


def run_sections(runs: list[RunFolder], running: bool) -> Iterator[tuple[ComparedRuns, Build]]:
    """Yield what builds each section of runs. running: without what the test split says, which is for the end."""
    compared = compare_runs(runs)
    if running:
        shown = tuple(name for name in compared.comparison.metrics if not name.startswith("test_"))
        compared = replace(compared, comparison=replace(compared.comparison, metrics=shown))
    builds: list[Build] = [values, partial(_settings, running=running), _slices, _pareto]
    if not running:
        builds += [performance, weights, behaviour, evaluation]
    if len(runs) > 1:
        builds.insert(1, curves)
    for build in (*builds, failures, _provenance):
        yield compared, build


def _write_all(builds: Iterator[Callable[[], Section | None]]) -> None:
    for build in builds:
        try:
            section = build()
            html = "".join(part_html(part, interactive=True) for part in section.parts) if section else ""
        # one section that cannot be drawn takes no other with it
        except Exception as error:
            text = f"this section cannot be drawn: {type(error).__name__}: {error}"
            _write({"name": "", "title": "", "html": part_html(Paragraph(text, "note"))})
            continue
        if section is not None:
            _write({"name": section.name, "title": section.title, "html": html})


def _write(line: dict[str, str]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _provenance(compared: ComparedRuns) -> Section:
    words = [str(run.path) for run in compared.everything.runs]
    return provenance(compared, ["python", "-m", "analysis.report", *words])


def _settings(compared: ComparedRuns, running: bool) -> Section:
    """Return the section on hyperparameters; while trials run, without the coordinates that show the test split."""
    section = hyperparameters(compared)
    parts = (part for part in section.parts if not (running and getattr(part, "name", "") == "parallel_coordinates"))
    return replace(section, parts=tuple(parts))


def _slices(compared: ComparedRuns) -> Section | None:
    """Draw each field's settings against the metric; None where nothing differs."""
    results = compared.everything
    fields = telling_fields(config_columns(results), (*results.scientific, *results.nuisance))
    if not fields or not results.trials["finished"].any():
        return None
    caption = f"Each point is a finished trial: its setting, and its {name_of(results.metric)}, a mean over seeds."
    live = partial(interactive.slices, results)
    return Section("slices", "Slices", (Plotted(live, caption),))


def _pareto(compared: ComparedRuns) -> Section | None:
    """Draw the front of two metrics; None for a run that is about one."""
    results = compared.everything
    searchers = [searcher for each in results.metadata if isinstance(searcher := each.get("searcher"), dict)]
    named = [name for searcher in searchers for name in searcher.get("metrics") or () if name in results.metrics]
    metrics = list(dict.fromkeys((results.metric, *named)))
    if len(metrics) < 2 or not results.trials["finished"].any():
        return None
    both = f"{name_of(metrics[0])} and {name_of(metrics[1])}"
    caption = f"Each point is a finished trial: its {both}. The line joins those that no other beats in both."
    live = partial(interactive.pareto, results, metrics)
    return Section("pareto", "Several metrics", (Plotted(live, caption),))


if __name__ == "__main__":
    main()
