"""Prints how a run has ended: its best settings, failures, problems, and the command that goes on with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console

from analysis.comparison.results import load
from analysis.comparison.terminal import print_standings
from analysis.runs.run_folder import RunFolder
from analysis.runs.sync import remote_of, where
from analysis.terminal.plain_text import plain, say
from analysis.trial_status import ENDED
from sweeps.running.interrupt import REUSE
from sweeps.screen.live import clock

if TYPE_CHECKING:
    from sweeps.planning.command import Command
    from sweeps.record.outcome import Halt, Outcome
    from sweeps.running.estimate import TimeEstimate


def print_outcome(
    console: Console, outcome: Outcome, command: Command | None = None, guess: TimeEstimate | None = None,
    seconds: float | None = None,
) -> int:  # fmt: skip
    """Print the summary of a run that has ended, or how to resume it. Returns the exit code.

    command: the one that it was run by, if any. seconds: since that command began.
    """
    if outcome.signal is not None:
        _print_going_on(console, f"interrupted; everything is in {where(outcome.run)}", outcome, command)
        _print_problems(console, outcome)
        return outcome.exit_code
    if outcome.state.count(*ENDED):
        print_summary(console, outcome.run, test=outcome.halt is None)
    else:
        say(console, "no trial has ended")
    _print_problems(console, outcome)
    if outcome.halt:
        _print_going_on(console, f"ended early: {outcome.halt.reason}", outcome, command)
    if outcome.state.count("failed"):
        _print_going_on(console, f"log of the failures: {outcome.run.log}", outcome, command, retry_failed=True)
    if outcome.report:
        say(console, f"report: {outcome.report}")
    took = f"{clock(outcome.seconds if seconds is None else seconds)} in all"
    took += f" (estimated {clock(guess.low)} to {clock(guess.high)})" if guess else ""
    say(console, f"{took}; results in {where(outcome.run)}")
    return outcome.exit_code


def _print_going_on(console: Console, text: str, outcome: Outcome, command: Command | None, **changes: Any) -> None:
    """Print what has happened, and how to go on; a run from Python has no command to go on with."""
    if command:
        say(console, f"{text}. {'To run them again:' if changes else 'To go on:'}")
        _print_command(console, command_to_go_on(command, outcome.run, **changes))
    else:
        say(console, f"{text}. {REUSE}")


def print_new_process(console: Console, halt: Halt, command: str) -> None:
    """Print why a run goes on in a new process, and with which command."""
    say(console, f"{halt.reason}. The run goes on in a new process:", "note:")
    _print_command(console, command)


def command_to_go_on(command: Command, run: RunFolder, **changes: Any) -> str:
    """Return the command that goes on with a run. changes: options that differ from the command that was given."""
    return command.resuming(run.run_id if remote_of(run) else str(run.path), **changes)


def _print_command(console: Console, command: str) -> None:
    console.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)


def _print_problems(console: Console, outcome: Outcome) -> None:
    for problem in outcome.problems:
        say(console, problem, "problem:", "red")


def print_summary(console: Console, run: RunFolder, *, test: bool = True) -> None:
    """Print the best setting of each compared value, from the run's files alone; `test`: with its test metrics."""
    results = load([run])
    print_standings(console, results, test=test)
    rows = results.table.select(["trial_id", "status", "stop_reason", "changes"]).to_pylist()
    if any(row["changes"] for row in rows):
        console.print("[dim]a population's values are those a trial began with; the column changes has the rest[/dim]")
    print_failures(console, rows)


def print_failures(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """Failures grouped by cause, each with one example."""
    causes: dict[str, list[str]] = {}
    for row in rows:
        if row["status"] == "failed" and row["trial_id"] not in causes.setdefault(row["stop_reason"], []):
            causes[row["stop_reason"]].append(row["trial_id"])
    # the traceback stands in run.log
    for cause, trials in causes.items():
        console.print(
            f"[red]{len(trials)} failed:[/red] {plain(cause)} (for example trial {trials[0]})", highlight=False
        )
