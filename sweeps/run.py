"""python -m sweeps.run NAME: run a sweep."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from analysis.command_line import new_app, start
from trainables.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from search_spaces.definition import Sweep
    from sweeps.planning.settings import Settings

app = new_app()
EXAMPLES = """
[bold]Examples[/bold]

  python -m sweeps.run activations

  python -m sweeps.run activations --dataset breastmnist --data-root DIR --epochs 10

  python -m sweeps.run activations --set model=mlp --set hidden_dims=512-256,256-128 --seeds 5

  python -m sweeps.run activations --dry-run
"""


@app.command(epilog=EXAMPLES)
def run(
    name: Annotated[
        str, typer.Argument(help="A sweep of `python -m sweeps.list`, a .py file with a SWEEP, or a run to repeat.")
    ],
    dataset: Annotated[str | None, typer.Option(help="Dataset; the same as --set dataset=...")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs a trial is trained at most.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Replicates: seeds 0 to N-1.")] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Draws of random domains; optuna: trials of each compared value.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=V[,V...]", help="Set or vary a field; may be repeated.")
    ] = None,
    fix: Annotated[
        list[str] | None, typer.Option(metavar="FIELD=V", help="Hold a field still that the sweep varies.")
    ] = None,
    overrides: Annotated[
        Path | None, typer.Option(metavar="FILE", help="YAML or TOML file with set, fix and these options.")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(help="asha, hyperband (asha with every bracket), median, fifo (none is stopped), pbt or pb2."),
    ] = None,
    grace: Annotated[int | None, typer.Option(min=1, help="asha, median: epochs before the first stop.")] = None,
    reduction: Annotated[float | None, typer.Option(min=1.1, help="asha: one of so many goes on at each rung.")] = None,
    brackets: Annotated[int | None, typer.Option(min=1, help="asha: grace periods tried side by side.")] = None,
    stratify: Annotated[
        str | None,
        typer.Option(metavar="FIELD[,FIELD...]", help="asha, median: whose values compete apart; none: all together."),
    ] = None,
    interval: Annotated[
        int | None, typer.Option(min=1, help="pbt, pb2: epochs from one comparison to the next.")
    ] = None,
    quantile: Annotated[
        float | None, typer.Option(min=0.01, max=0.5, help="pbt, pb2: share of a population that is replaced.")
    ] = None,
    searcher: Annotated[
        str | None, typer.Option(help="grid, random, or optuna[:tpe|gp|nsga2]: how nuisance settings are chosen.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="val_auc, val_acc or val_loss: what stops and ranks; optuna: several.")
    ] = None,
    replicates: Annotated[
        str | None, typer.Option(help="together in a trial, apart, or auto: apart where workers would be idle.")
    ] = None,
    max_failures: Annotated[int, typer.Option(min=0, help="Times a failed trial is tried again.")] = 1,
    max_errors: Annotated[int | None, typer.Option(min=1, help="End the run at so many failed trials.")] = None,
    time_budget: Annotated[
        str | None, typer.Option(metavar="TIME", help="End the run, to be resumed, after 90s, 30m, 2h, ...")
    ] = None,
    max_concurrent: Annotated[int | None, typer.Option(min=1, help="Trials at a time at most.")] = None,
    cpus_per_trial: Annotated[float | None, typer.Option(min=0.1, help="CPUs, and so threads, of one trial.")] = None,
    gpus_per_trial: Annotated[
        str | None, typer.Option(help="GPUs of one trial, also a share; auto: as its measured memory allows.")
    ] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Folder of the data files (default: $SWEEPS_DATA_ROOT or ~/.medmnist).")
    ] = None,
    storage: Annotated[str, typer.Option(help="Folder of the results, or a URI: s3://bucket/folder ...")] = "results",
    run_name: Annotated[
        str | None, typer.Option("--name", help="Name of the run (default: time and two words).")
    ] = None,
    resume: Annotated[
        str | None, typer.Option(metavar="[RUN]", help="Go on with a run (default: this sweep's newest).")
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="With --resume: failed trials, too.")] = False,
    reuse: Annotated[bool, typer.Option("--reuse", help="Take equal finished trials from earlier runs.")] = False,
    address: Annotated[str | None, typer.Option(help="Address of a Ray cluster (default: this machine).")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the trials and start nothing.")] = False,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Time a few batches first; say how long it takes.")
    ] = False,
    measure: Annotated[
        bool, typer.Option("--measure/--no-measure", help="Measure trained weights and draw each trial's curves.")
    ] = True,
    report: Annotated[bool, typer.Option("--report/--no-report", help="End with report.html and figures/.")] = True,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the summary alone.")] = False,
) -> None:
    """Run a sweep and end in one table: plan, train with early stopping, measure, summarise."""
    from rich.console import Console
    from rich.markup import escape

    from search_spaces.find import find_sweep
    from sweeps.planning import options
    from sweeps.planning.settings import Settings
    from sweeps.running.early_ray import EarlyRay

    console = Console()
    sweep_name, sweep = find_sweep(name)
    given = options.Options(
        tuple(set_ or ()), tuple(fix or ()), dataset, epochs, seeds, samples, scheduler, grace, reduction, brackets,
        stratify, interval, quantile, searcher, replicates, metric, cpus_per_trial, gpus_per_trial,
    )  # fmt: skip
    sweep = options.apply(sweep, options.merge(options.read_options(overrides), given) if overrides else given)
    settings = Settings(
        data_root, storage, run_name, max_concurrent, max_failures, address, reuse, retry_failed,
        options.seconds(time_budget), max_errors, quiet, measure, report,
    )  # fmt: skip
    if retry_failed and resume is None:
        raise InputError("--retry-failed goes on with a run: add --resume [RUN]")
    if not quiet:
        console.print(f"[bold]{sweep_name}[/bold]: {escape(sweep.question)}", highlight=False)
    before = Before(dry_run, estimate)
    if dry_run or estimate or address:  # a probe beside Ray's start would be too slow
        sys.exit(_carry_out(sweep, sweep_name, settings, resume, before, console))
    with EarlyRay() as early:
        code = _carry_out(sweep, sweep_name, settings, resume, before, console, early.wait)
    sys.exit(code)


class Before(NamedTuple):
    """What is shown before a start, or in its place."""

    dry_run: bool
    estimate: bool


def _carry_out(
    sweep: Sweep, sweep_name: str, settings: Settings, resume: str | None, before: Before, console: Console,
    start: Callable[[], None] | None = None,
) -> int:  # fmt: skip
    """Plan, show or run, and print what came of it. Returns the exit code. start: as `execution.execute` has it."""
    from datetime import datetime

    from analysis.runs.find import run_to_resume
    from sweeps import messages as telling
    from sweeps.planning.begin import create_run, resume_run
    from sweeps.planning.plan import decide_replicates, make_plan
    from sweeps.planning.reuse import check_reuse, take_finished
    from sweeps.running import execution
    from sweeps.running.estimate import estimate

    if settings.reuse:
        check_reuse(sweep)
    now = datetime.now()
    if not before.dry_run:
        execution.check_address(settings.address)
    old = None if resume is None else run_to_resume(sweep_name, settings.storage, resume, settings.name)
    sweep = decide_replicates(sweep, settings.address, old.read_description() if old else {})
    plan = make_plan(sweep, settings.data_root, now)
    if before.dry_run:
        telling.print_plan(console, sweep, plan, settings, old)
    guess = estimate(sweep, plan, settings) if before.estimate else None
    if guess:
        telling.print_estimate(console, guess)
    if before.dry_run:
        return 0
    if old is None:
        folder = create_run(sweep, sweep_name, plan, settings, now)
    else:
        folder, resumed = old, resume_run(old, sweep, plan, settings.retry_failed)
        plan = resumed.plan
        telling.print_resumed(console, resumed)
    if settings.reuse:
        telling.print_reused(console, take_finished(folder, plan.trials, settings.storage))
    if not settings.quiet:
        telling.print_start(console, sweep, plan, folder)
    outcome = execution.execute(sweep, plan, folder, settings, console, start)
    return telling.print_outcome(console, outcome, sys.argv, guess)


def allow_bare_resume(arguments: list[str]) -> list[str]:
    """`--resume` may stand without a value: it then means the sweep's newest run."""
    result = []
    for position, word in enumerate(arguments):
        following = arguments[position + 1] if position + 1 < len(arguments) else "-"
        result.append("--resume=" if word == "--resume" and following.startswith("-") else word)
    return result


if __name__ == "__main__":
    start(app, allow_bare_resume(sys.argv[1:]))
