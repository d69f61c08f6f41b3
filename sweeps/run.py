"""python -m sweeps.run NAME: run a sweep."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from rich.console import Console

from analysis.command_line import BAD_INPUT, new_app, print_error, start
from analysis.runs.find import refuse_other_storage, run_to_resume
from analysis.runs.lease import hold
from analysis.terminal.plain_text import plain, say
from analysis.terminal.steady_output import go_on_without_output
from sweeps.planning.command import Command, allow_bare_resume, with_options
from sweeps.planning.options import newly_compared
from trainables.errors import InputError
from trainables.user_code.source import MissingCode

if TYPE_CHECKING:
    from analysis.runs.run_folder import RunFolder
    from search_spaces.definition import Sweep
    from sweeps.planning.trials import Plan
    from sweeps.record.outcome import Halt
    from sweeps.running.early_ray import EarlyRay
    from sweeps.running.estimate import TimeEstimate
    from sweeps.running.interrupt import Interrupt

app = new_app()
EXAMPLES = """
[bold]Examples[/bold]

  python -m sweeps.run activations

  python -m sweeps.run activations --dataset breastmnist --data-root DIR --epochs 10

  python -m sweeps.run activations --set model=mlp --set hidden_dims=512-256,256-128 --seeds 5

  python -m sweeps.run activations --tune weight_decay=0,1e-4 --set 'dataset="folder:/data/MRI, T1"'

  python -m sweeps.run activations --dry-run
"""


def run(command: Command) -> None:
    """Run a sweep and end in one table: plan, train with early stopping, measure, summarise."""
    from sweeps.running.early_ray import EarlyRay
    from sweeps.running.interrupt import Interrupt

    go_on_without_output()
    console = Console()
    try:
        name, sweep, before = command.definition()
    except MissingCode as error:
        raise _with_copy(error, command) from None
    if not command.quiet:
        console.print(f"[bold]{plain(name)}[/bold]: {plain(sweep.question)}", highlight=False)
        for field in newly_compared(before, sweep):
            text = f"--set compares the values of {field.partition('=')[0]}; --tune {field} tunes them for each value"
            say(console, text, "note:")
    with Interrupt() as interrupt:
        # a probe beside Ray's start would be too slow
        if command.dry_run or command.estimate or command.address:
            sys.exit(_carry_out(command, name, sweep, console, interrupt))
        with EarlyRay() as early:
            try:
                code = _carry_out(command, name, sweep, console, interrupt, early)
            except InputError as error:
                print_error(error)
                early.leave(BAD_INPUT)
                sys.exit(BAD_INPUT)
    sys.exit(code)


app.command(epilog=EXAMPLES)(with_options(run))


def _carry_out(
    command: Command, name: str, sweep: Sweep, console: Console, interrupt: Interrupt, early: EarlyRay | None = None
) -> int:
    """Plan, show or run, and print what came of it. Returns the exit code. early: the Ray that is being started."""
    with ExitStack() as leases:
        return _plan_and_run(command, name, sweep, console, interrupt, early, leases)


def _with_copy(error: MissingCode, command: Command) -> InputError:
    """Return an error that also says where the run that is resumed keeps the text of the missing file."""
    if command.resume is None:
        return error
    from search_spaces.find import find_sweep

    run = run_to_resume(find_sweep(command.sweep)[0], command.storage, command.resume, command.name)
    kept = run.read_description().get("code")
    wanted = Path(error.spec).name
    for spec, entry in kept.items() if isinstance(kept, dict) else ():
        if Path(spec).name == wanted:
            return InputError(
                f"{error}; the run keeps its text in {run.code / str(entry['digest'])}: copy it from there"
            )
    return error


def _plan_and_run(
    command: Command, name: str, sweep: Sweep, console: Console, interrupt: Interrupt,
    early: EarlyRay | None, leases: ExitStack,
) -> int:  # fmt: skip
    """Do what `_carry_out` does. leases: takes the one on the run, before the first file of it is written."""
    from sweeps import messages, summary
    from sweeps.planning.begin import create_run, folder_of_new_run, resume_run, with_added
    from sweeps.planning.notes import check_recording
    from sweeps.planning.plan import decide_replicates
    from sweeps.planning.reuse import check_reuse, take_finished
    from sweeps.running import execution
    from sweeps.trackers.table import check_trackers

    if command.reuse:
        check_reuse(sweep)
    now = datetime.now()
    check_trackers(command.track)
    check_recording(sweep, command.log_steps, command.log_histograms)
    if not command.dry_run:
        execution.check_address(command.address)
    old = None
    if command.resume is not None:
        old = run_to_resume(name, command.storage, command.resume, command.name)
        # which also says where --reuse looks
        if not command.reuse:
            refuse_other_storage(old, command.storage)
    if old and not command.dry_run:
        leases.enter_context(hold(old))
    description = old.read_description() if old else {}
    sweep, added = with_added(decide_replicates(sweep, command.address, description), description)
    for text in added:
        say(console, f"{text} was added while the run went on", "note:")
    try:
        plan = messages.plan_with_progress(console, sweep, command, now)
    except MissingCode as error:
        raise _with_copy(error, command) from None
    if command.dry_run:
        messages.print_plan(console, sweep, plan, command, old)
        return 0
    guess = _print_estimate(command, sweep, plan, console) if command.estimate else None
    if guess and not messages.wants_start(console):
        return 0
    start = early.wait if early else None
    execution.check_fit(sweep, command.address, start)
    state = None
    if old is None:
        leases.enter_context(hold(folder_of_new_run(name, command, now)))
        folder = create_run(sweep, name, plan, command, now)
    else:
        folder, resumed = old, resume_run(old, sweep, plan, command.retry_failed)
        plan, state = resumed.plan, resumed.state
        messages.print_resumed(console, resumed)
    interrupt.go_on = summary.command_to_go_on(command, folder)
    interrupt.restart = partial(_go_on_in_new_process, command, folder, console, leases)
    if command.reuse:
        messages.print_reused(console, take_finished(folder, plan.trials, command.storage))
        # it wrote to the ledger
        state = None
    if not command.quiet:
        messages.print_start(console, sweep, plan, folder, command)
    outcome = execution.execute(sweep, plan, folder, command, console, start, interrupt, state)
    if outcome.halt and outcome.halt.new_process:
        interrupt.restart(outcome.halt, outcome.seconds)
    if early:
        early.stop()
    # as a clock on the wall has it: since this process began
    return summary.print_outcome(console, outcome, command, guess, time.time() - psutil.Process().create_time())


def _go_on_in_new_process(
    command: Command, folder: RunFolder, console: Console, leases: ExitStack, halt: Halt, seconds: float
) -> None:
    """Replace this process, whose Ray is gone, by one that goes on with the run. Does not return."""
    from sweeps import summary
    from sweeps.running.interrupt import become, time_left

    left = {"time_budget": time_left(command.time_budget, seconds), "max_errors": command.max_errors}
    again = summary.command_to_go_on(command, folder, **left)
    summary.print_new_process(console, halt, again)
    leases.close()
    become(again)


def _print_estimate(command: Command, sweep: Sweep, plan: Plan, console: Console) -> TimeEstimate:
    from sweeps import messages
    from sweeps.running.estimate import estimate

    guess = estimate(sweep, plan, command)
    messages.print_estimate(console, guess)
    return guess


if __name__ == "__main__":
    start(app, allow_bare_resume(sys.argv[1:]))
