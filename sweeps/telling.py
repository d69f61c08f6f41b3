"""What a run tells its user: the plan, the start, the summary."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from analysis import table
from analysis.run_folder import RunFolder
from analysis.summary import group_trials, show_value, summarize_trials, summary_table
from sweeps.live import clock
from trainables.config import TrialConfig

if TYPE_CHECKING:
    from search_spaces.definition import Sweep
    from sweeps.execution import Outcome, Resumed
    from sweeps.plan import Plan

COMPLEXITY = ("lmc", "sample_entropy")


def varied(sweep: Sweep, plan: Plan) -> list[str]:
    """The fields that differ between trials, scientific ones first."""
    fields = [*sweep.compared, *sweep.nuisance]
    return [name for name in fields if len({str(getattr(trial.config, name)) for trial in plan.trials}) > 1]


def print_plan(console: Console, sweep: Sweep, plan: Plan) -> None:
    """Every trial, and what is held fixed; for --dry-run."""
    fields = varied(sweep, plan)
    rows = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("trial", *fields, "parameters", "MACs"):
        rows.add_column(name, justify="left" if name in fields else "right")
    for trial in plan.trials:
        values = (show_value(getattr(trial.config, name)) for name in fields)
        rows.add_row(trial.trial_id, *values, f"{trial.parameters:,}", f"{trial.macs:,}")
    console.print(rows)
    first, default = plan.trials[0].config, TrialConfig.model_fields
    held = {
        name: getattr(first, name)
        for name in default
        if name not in fields and (name in sweep.fixed or getattr(first, name) != default[name].default)
    }
    text = ", ".join(f"{name}={show_value(value)}" for name, value in held.items())
    console.print(f"[dim]fixed:[/dim] {text}; all other fields at their defaults", highlight=False)
    console.print(plan_line(sweep, plan) + "; nothing was started (--dry-run)", highlight=False)


def plan_line(sweep: Sweep, plan: Plan) -> str:
    """`48 trials × 3 seeds, at most 2592 epochs of training; asha stratified by activation`."""
    epochs = sum(trial.config.epochs * len(trial.config.seeds) for trial in plan.trials)
    kind = "no early stopping" if sweep.scheduler == "fifo" else "asha"
    strata = f" stratified by {', '.join(plan.stratify)}" if plan.stratify else ""
    return f"{len(plan.trials)} trials × {len(sweep.seeds)} seeds, at most {epochs} epochs of training; {kind}{strata}"


def print_start(console: Console, sweep: Sweep, plan: Plan, folder: RunFolder) -> None:
    """What is about to run, and what the user should know of the data."""
    console.print(plan_line(sweep, plan), highlight=False)
    if len(sweep.seeds) < 3:
        console.print(
            f"[yellow]note:[/yellow] {len(sweep.seeds)} replicate(s): intervals need 3 or more", highlight=False
        )
    for note in sorted({note for data, _ in plan.datasets.values() for note in data.notes}):
        console.print(f"[yellow]note:[/yellow] {note}", highlight=False)
    console.print(f"results in {folder.path}", highlight=False, soft_wrap=True)


def print_resumed(console: Console, resumed: Resumed) -> None:
    """What a resume found."""
    text = f"resuming: {resumed.finished} trials finished, {resumed.unfinished} to go on with, {resumed.added} new"
    if resumed.foreign:
        text += f"; {resumed.foreign} of the run stay as they are: this command does not plan them"
        text += " (config, data or training code changed)"
    if resumed.damaged_bytes:
        text += f"; a damaged last line of the ledger ({resumed.damaged_bytes} bytes) was cut off"
    console.print(text, highlight=False)


def print_outcome(console: Console, outcome: Outcome, command: Sequence[str]) -> int:
    """The summary of a run that has ended, or how to resume it. Returns the exit code."""
    if outcome.signal is not None:
        words = ["python", "-m", "sweeps.run", *(word for word in command[1:] if word != "--resume")]
        console.print(f"interrupted; everything is in {outcome.run.path}. To go on:", highlight=False, soft_wrap=True)
        resume = shlex.join([*words, "--resume", str(outcome.run.path)])
        console.print(f"  {resume}", highlight=False, soft_wrap=True)
        return 128 + outcome.signal
    print_summary(console, outcome.run)
    for problem in outcome.problems:
        console.print(f"[red]problem:[/red] {problem}", highlight=False, soft_wrap=True)
    console.print(f"{clock(outcome.seconds)} in all; results in {outcome.run.path}", highlight=False, soft_wrap=True)
    return 1 if outcome.state.count("failed") or outcome.problems else 0


def print_summary(console: Console, run: RunFolder) -> None:
    """The summary table of a run, from its files alone."""
    about = run.read_description()
    rows = table.read_arrow(run.trials_table).to_pylist()
    scientific, nuisance = varying(rows, about["roles"]["scientific"]), varying(rows, about["roles"]["nuisance"])
    metrics = [about["metric"], "test_auc", "test_acc", *COMPLEXITY]
    groups = group_trials(summarize_trials(rows, scientific, nuisance, metrics), about["metric"], about["mode"])
    console.print(summary_table(groups, about["metric"], COMPLEXITY, console.width))
    n = len(about["seeds"])
    how = f"mean ±95 % interval over {n} replicates" if n > 1 else "one replicate: no interval"
    console.print(f"[dim]{how}; selected by {about['metric']}, test only reported[/dim]", highlight=False)
    print_failures(console, rows)


def varying(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    """The names whose values differ between rows."""
    return [name for name in names if len({str(row[name]) for row in rows}) > 1]


def print_failures(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """Failures grouped by cause, each with one example."""
    causes: dict[str, list[str]] = {}
    for row in rows:
        if row["status"] == "failed" and row["trial_id"] not in causes.setdefault(row["stop_reason"], []):
            causes[row["stop_reason"]].append(row["trial_id"])
    for cause, trials in causes.items():  # the traceback stands in run.log
        console.print(f"[red]{len(trials)} failed:[/red] {cause} (for example trial {trials[0]})", highlight=False)
