"""The report's sections that record: every trial, what failed, and what made the runs."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.comparison.compare_runs import ComparedRuns
from analysis.comparison.labels import show_value, telling_fields, texts_of
from analysis.comparison.results import Results, config_columns
from analysis.grids import Cell, Grid, columns_of
from analysis.page.parts import Command, Definitions, Heading, LongColumn, LongTable, Paragraph, Part, Section


def all_trials(compared: ComparedRuns) -> Section:
    """Tabulate every trial and replicate, to sort and to filter."""
    results = compared.everything
    ascending = results.mode == "min"
    rows = results.trials.sort_values(results.metric, ascending=ascending, na_position="last", kind="stable")
    return Section("trials", "All trials", (LongTable("trials", list(_long_columns(results, rows))),))


def _long_columns(results: Results, rows: pd.DataFrame) -> Iterator[LongColumn]:
    context = telling_fields(config_columns(results), results.context)
    yield LongColumn("trial", list(rows["trial_id"]), text=True)
    first = ["dataset"] if "dataset" in results.fields else []
    for name in dict.fromkeys((*first, *context, *results.scientific, *results.nuisance)):
        plain = pd.api.types.is_numeric_dtype(rows[name]) and not pd.api.types.is_bool_dtype(rows[name])
        yield LongColumn(name, list(rows[name]) if plain else texts_of(rows[name]), text=not plain)
    yield LongColumn("seed", list(rows["seed"].astype(int)))
    yield LongColumn("status", list(rows["status"]), text=True, status=True)
    usual: list[str] = [name for name in ("val_acc", "test_auc", "test_acc") if name in results.metrics]
    usual = [*usual, "gap_acc"] if usual else list(results.metrics)
    for name in dict.fromkeys((results.metric, *usual)):
        yield LongColumn(name, list(rows[name].astype(float)), digits=4)
    for name in ("lmc", "sample_entropy", "initial_distance"):
        if rows[name].notna().any():
            yield LongColumn(name, list(rows[name].astype(float)), digits=4)
    yield LongColumn("trained", list(rows["epochs_trained"].astype(float)), better="lower")
    yield LongColumn("best_epoch", list(rows["best_epoch"].astype(float)))
    if rows["parameters"].notna().any():
        yield LongColumn("parameters", list(rows["parameters"].astype(float)), better="lower")
    yield LongColumn("train_seconds", list(rows["train_seconds"].astype(float)), digits=1, better="lower")
    if len(results.runs) > 1:
        yield LongColumn("run", list(rows["run_id"]), text=True)


def failures(compared: ComparedRuns) -> Section:
    """List the trials that did not train to their end, by cause."""
    trials = compared.everything.trials.drop_duplicates("trial")
    bad = trials[trials["ended"].isin(["failed", "diverged", "interrupted"])]
    stopped = int((trials["ended"] == "stopped").sum())
    text = (
        f"{stopped} of {len(trials)} trials were stopped early, by a rung or by their own patience." if stopped else ""
    )
    if bad.empty:
        return Section("failures", "Failures", (Paragraph(f"No trial failed or diverged. {text}".strip()),))
    rows = tuple(
        (Cell(str(status)), Cell(str(reason)), Cell(str(len(part)), sort=float(len(part))), Cell(part["trial"].iloc[0]))
        for (status, reason), part in bad.groupby(["ended", "stop_reason"], sort=False, dropna=False)
    )
    heads = ["status", "cause", "trials", "for example"]
    by_cause = Grid("", columns_of(heads, words=["status", "cause", "for example"]), rows)
    return Section("failures", "Failures", (*([Paragraph(text)] * bool(text)), by_cause))


def provenance(compared: ComparedRuns, command: Sequence[str]) -> Section:
    """Name the code and machines that made the runs, and the commands that make them and this page again."""
    parts: list[Part] = []
    for run, metadata in zip(compared.everything.runs, compared.everything.metadata, strict=True):
        parts += [Heading(f"{run.sweep}/{run.run_id}"), Definitions(_provenance(metadata))]
        parts.append(Command(sweep_command(metadata)))
    parts += [Heading("This page"), Command(shlex.join(command))]
    return Section("provenance", "Provenance and commands", tuple(parts))


def _provenance(metadata: Mapping[str, Any]) -> dict[str, str]:
    made = metadata.get("provenance", {})
    git = made.get("git", {})
    dirty = " with changes that were not committed" if git.get("dirty") else ""
    roles: Mapping[str, Mapping[str, Any]] = metadata["roles"]
    texts = {role: "; ".join(f"{name} = {_domain(d)}" for name, d in part.items()) for role, part in roles.items()}
    texts["seeds"] = ", ".join(map(str, metadata.get("seeds", [])))
    texts["scheduler"] = str(metadata.get("scheduler", "-"))
    texts["datasets"] = ", ".join(f"{name} (digest {digest})" for name, digest in metadata.get("datasets", {}).items())
    texts["notes"] = "; ".join(metadata.get("notes", []))
    texts["git"] = f"{git['commit']} on {git.get('branch', '-')}{dirty}" if git.get("commit") else ""
    texts["training code"] = str(made.get("code_digest", ""))
    texts["versions"] = ", ".join(f"{name} {version}" for name, version in made.get("versions", {}).items())
    texts["hardware"] = ", ".join(f"{name} {value}" for name, value in made.get("hardware", {}).items() if value)
    return {name: text for name, text in texts.items() if text}


def _domain(domain: Any) -> str:
    return ", ".join(map(show_value, domain)) if isinstance(domain, list) else show_value(domain)


def sweep_command(metadata: Mapping[str, Any]) -> str:
    """Return the command that made a run, in the words that one types."""
    words = list(metadata.get("provenance", {}).get("command", []))
    if words and Path(words[0]).name == "run.py":
        words[:1] = ["python", "-m", "sweeps.run"]
    return shlex.join(words)
