"""python -m sweeps.run NAME: run a sweep."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from analysis.command_line import new_app, start

if TYPE_CHECKING:
    from rich.console import Console

    from search_spaces.definition import Sweep
    from sweeps.execution import Settings

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
    name: Annotated[str, typer.Argument(help="A sweep of `python -m sweeps.list`, or a .py file with a SWEEP.")],
    dataset: Annotated[str | None, typer.Option(help="Dataset; the same as --set dataset=...")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs a trial is trained at most.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Replicates: seeds 0 to N-1.")] = None,
    samples: Annotated[int | None, typer.Option(min=1, help="Draws of the random nuisance domains.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=V[,V...]", help="Set or vary a field; may be repeated.")
    ] = None,
    scheduler: Annotated[str | None, typer.Option(help="asha or fifo (no early stopping).")] = None,
    grace: Annotated[int | None, typer.Option(min=1, help="asha: epochs before the first stop.")] = None,
    reduction: Annotated[float | None, typer.Option(min=1.1, help="asha: one of so many goes on at each rung.")] = None,
    stratify: Annotated[
        str | None,
        typer.Option(metavar="FIELD[,FIELD...]", help="asha: whose values compete apart; none: all together."),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="val_auc, val_acc or val_loss: what stops and ranks trials.")
    ] = None,
    fix: Annotated[
        list[str] | None, typer.Option(metavar="FIELD=V", help="Hold a field still that the sweep varies.")
    ] = None,
    max_failures: Annotated[int, typer.Option(min=0, help="Times a failed trial is tried again.")] = 1,
    max_concurrent: Annotated[int | None, typer.Option(min=1, help="Trials at a time at most.")] = None,
    cpus_per_trial: Annotated[float | None, typer.Option(min=0.1, help="CPUs, and so threads, of one trial.")] = None,
    gpus_per_trial: Annotated[
        str, typer.Option(help="GPUs of one trial, also a fraction; auto: 1 if there are any.")
    ] = "auto",
    data_root: Annotated[
        Path | None, typer.Option(help="Folder of the data files (default: $SWEEPS_DATA_ROOT or ~/.medmnist).")
    ] = None,
    storage: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("results"),
    run_name: Annotated[
        str | None, typer.Option("--name", help="Name of the run (default: time and two words).")
    ] = None,
    resume: Annotated[
        str | None, typer.Option(metavar="[RUN]", help="Go on with a run (default: this sweep's newest).")
    ] = None,
    address: Annotated[str | None, typer.Option(help="Address of a Ray cluster (default: this machine).")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the trials and start nothing.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the summary alone.")] = False,
) -> None:
    """Run a sweep and end in one table: plan, train with early stopping, measure, summarise."""
    from rich.console import Console

    from search_spaces.find import find_sweep
    from sweeps.execution import Settings
    from sweeps.overrides import override, with_options, with_scheduler

    console = Console()
    sweep_name, sweep = find_sweep(name)
    sweep = override(sweep, set_ or [], fix or [], {"dataset": dataset, "epochs": epochs})
    sweep = with_scheduler(sweep, scheduler, grace, reduction, stratify)
    sweep = with_options(sweep, seeds, samples, metric, cpus_per_trial, gpus_per_trial)
    settings = Settings(data_root, storage, run_name, max_concurrent, max_failures, address, quiet)
    if not quiet:
        console.print(f"[bold]{sweep_name}[/bold]: {sweep.question}", highlight=False)
    sys.exit(_carry_out(sweep, sweep_name, settings, resume, dry_run, console))


def _carry_out(
    sweep: Sweep, sweep_name: str, settings: Settings, resume: str | None, dry_run: bool, console: Console
) -> int:
    """Plan, show or run, and print what came of it. Returns the exit code."""
    from datetime import datetime

    from analysis.run_folder import find_run
    from sweeps import execution, telling
    from sweeps.plan import make_plan

    now = datetime.now()
    plan = make_plan(sweep, settings.data_root, now)
    if dry_run:
        telling.print_plan(console, sweep, plan)
        return 0
    if resume is None:
        folder = execution.create_run(sweep, sweep_name, plan, settings, now)
    else:
        folder = find_run(resume or settings.name or sweep_name, settings.storage)
        resumed = execution.resume_run(folder, plan)
        plan = resumed.plan
        telling.print_resumed(console, resumed)
    if not settings.quiet:
        telling.print_start(console, sweep, plan, folder)
    outcome = execution.execute(sweep, plan, folder, settings, console)
    return telling.print_outcome(console, outcome, sys.argv)


def allow_bare_resume(arguments: list[str]) -> list[str]:
    """`--resume` may stand without a value: it then means the sweep's newest run."""
    result = []
    for position, word in enumerate(arguments):
        following = arguments[position + 1] if position + 1 < len(arguments) else "-"
        result.append("--resume=" if word == "--resume" and following.startswith("-") else word)
    return result


if __name__ == "__main__":
    start(app, allow_bare_resume(sys.argv[1:]))
