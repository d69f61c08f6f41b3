"""A sweep run from Python: `from sweeps import Sweep, run`."""

from __future__ import annotations

import time
from contextlib import ExitStack, nullcontext
from datetime import datetime

from rich.console import Console

from analysis.runs.lease import hold
from search_spaces.definition import Sweep
from sweeps.messages import print_start
from sweeps.planning.begin import create_run, folder_of_new_run
from sweeps.planning.notes import check_recording
from sweeps.planning.plan import decide_replicates, make_plan
from sweeps.planning.reuse import check_reuse, take_finished
from sweeps.planning.settings import Settings
from sweeps.record.outcome import Outcome
from sweeps.running.early_ray import EarlyRay
from sweeps.running.execution import check_address, check_fit, execute
from sweeps.running.interrupt import Interrupt
from sweeps.summary import print_outcome
from sweeps.trackers.table import check_trackers
from trainables.data.downloads import FilePolicy, file_policy
from trainables.errors import InputError
from trainables.user_code.in_use import forget_sources


def run(sweep: Sweep, name: str = "sweep", settings: Settings | None = None, console: Console | None = None) -> Outcome:
    """Run a sweep to its end, print its summary and return its outcome. Raises `InputError`.

    Prints what `python -m sweeps.run` does; nothing with `Settings(quiet=True)`.

    >>> from sweeps import Sweep, run                                                      # doctest: +SKIP
    >>> outcome = run(Sweep(question="...", scientific={...}), "my_question")              # doctest: +SKIP
    >>> outcome.trials[["activation", "lr", "seed", "val_auc"]]                            # doctest: +SKIP
    >>> model = outcome.best.load().model                                                  # doctest: +SKIP
    """
    forget_sources()
    began, now = time.monotonic(), datetime.now()
    settings, console = settings or Settings(), console or Console()
    if settings.retry_failed:
        raise InputError("retry_failed goes on with a run, and run() begins a new one: use sweeps.run --resume")
    sweep = decide_replicates(sweep, settings.address, {})
    if settings.reuse:
        check_reuse(sweep)
    check_trackers(settings.track)
    check_recording(sweep, settings.log_steps, settings.log_histograms)
    check_address(settings.address)
    early_ray = EarlyRay() if settings.address is None else nullcontext()
    with Interrupt() as interrupt, early_ray as early, ExitStack() as leases:
        with file_policy(FilePolicy(trusted=settings.trust)):
            plan = make_plan(sweep, settings.data_root, now)
        start = early.wait if early else None
        check_fit(sweep, settings.address, start)
        leases.enter_context(hold(folder_of_new_run(name, settings, now)))
        folder = create_run(sweep, name, plan, settings, now)
        if settings.reuse:
            take_finished(folder, plan.trials, settings.storage)
        if not settings.quiet:
            print_start(console, sweep, plan, folder, settings)
        outcome = execute(sweep, plan, folder, settings, console, start, interrupt)
    if not settings.quiet:
        print_outcome(console, outcome, seconds=time.monotonic() - began)
    return outcome
