"""python -m cluster.submit NAME --storage FOLDER [options of sweeps.run]: run a sweep on a cluster, and walk away.

The sweep's driver runs there as a Ray job. The same command with the same --name, given again, goes on with the run.
"""

from __future__ import annotations

import logging
import posixpath
import secrets
import shlex
import sys
from collections.abc import Sequence
from datetime import datetime
from json import dumps
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from analysis.command_line import new_app, refuse_unused, start
from analysis.runs.find import new_run
from analysis.runs.lease import refuse_if_under_way
from analysis.runs.sync import folder_of
from analysis.terminal.plain_text import plain, visible
from cluster.job_files import packed
from cluster.jobs import Jobs, use_token
from cluster.start import read_words
from sweeps.planning.command import Command
from sweeps.record.names import new_run_id
from sweeps.record.provenance import git_state
from trainables.errors import InputError

if TYPE_CHECKING:
    from cluster.jobs import SubmittedJob

app = new_app()
DASHBOARD = "http://127.0.0.1:8265"
FREE = {"allow_extra_args": True, "ignore_unknown_options": True}
EXAMPLES = """
[bold]Examples[/bold]

  ray dashboard cluster/cluster.yaml                         a tunnel, in a terminal of its own

  python -m cluster.submit activations --epochs 20 --name first --storage /nfs/results --follow

  python -m cluster.submit --list

  python -m cluster.submit --status JOB --follow             look again; Ctrl-C leaves it running

  python -m cluster.submit --stop JOB                        it saves; the command that started it goes on with it
"""


@app.command(epilog=EXAMPLES, context_settings=FREE)
def submit(
    context: typer.Context,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="NAME [OPTION...]", help="As of sweeps.run: a sweep, its options.")
    ] = None,
    address: Annotated[str, typer.Option(help="Of the cluster's dashboard.")] = DASHBOARD,
    follow: Annotated[bool, typer.Option("--follow", help="Show what the job prints until it ends.")] = False,
    status: Annotated[str | None, typer.Option(metavar="JOB", help="How a job is, and the end of its log.")] = None,
    stop: Annotated[str | None, typer.Option(metavar="JOB", help="Let a job save its state and end.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="All jobs of the cluster.")] = False,
    json: Annotated[bool, typer.Option("--json", help="With --list and --status: one JSON document.")] = False,
) -> None:
    """Send a sweep to a cluster, look after it, stop it.

    Needs --storage: a folder of the head, or a URI. Without --name one is made up and printed.
    """
    if not words and status is None:
        refuse_unused(context, ("follow",), "it shows the log of NAME or of --status JOB")
    if not list_ and (status is None or follow):
        refuse_unused(context, ("json",), "it is for --list and for --status JOB")
    # before anything imports Ray, which reads the mode then
    use_token()
    # Ray's client logs packages and sockets
    logging.disable(logging.INFO)
    asked = [bool(words), status is not None, stop is not None, list_]
    if sum(asked) != 1:
        raise InputError("say one of: NAME (a sweep to run), --status JOB, --stop JOB, --list")
    jobs = Jobs(address) if not words else None
    if words:
        sys.exit(_submit(words, address, follow))
    assert jobs is not None
    if list_:
        _show_list(jobs.all(), json)
    elif status is not None:
        sys.exit(_follow(jobs, status) if follow else _show_status(jobs, status, json))
    else:
        sys.exit(_stop(jobs, str(stop)))


def complete(words: Sequence[str]) -> tuple[Command, dict[str, str]]:
    """Return the command with a name for the run, and the job's metadata: sweep, run, storage.

    Raises `InputError` where they are not those of a `sweeps.run` that can go on elsewhere.
    """
    command = read_words(words)
    if command.resume is not None:
        raise InputError("--resume cannot be sent to a cluster: a run of that --name is resumed by itself")
    if command.dry_run or command.estimate:
        option = "--dry-run" if command.dry_run else "--estimate"
        raise InputError(f"{option} cannot be sent to a cluster: run it here: sweeps.run")
    if "storage" not in command.model_fields_set:
        raise InputError("--storage is needed: a folder of the head (best one that all nodes share), or a URI")
    storage = str(command.storage)
    for option, path in (("--storage", storage), ("--data-root", str(command.data_root or "/"))):
        if "://" not in path and not path.startswith("/"):
            raise InputError(f"{option} {path}: give the whole path as it is on the cluster; the job starts elsewhere")
    sweep, _, _ = command.definition()
    if "/" in command.sweep and not command.sweep.endswith(".py"):
        raise InputError(
            f"{command.sweep}: a run to repeat stays here; send a sweep by its name, or a .py file with a SWEEP"
        )
    run = command.name or new_run_id(datetime.now(), sweep)
    return command.model_copy(update={"name": run}), {"sweep": sweep, "run": run, "storage": storage}


def _submit(words: Sequence[str], address: str, follow: bool) -> int:
    command, metadata = complete(words)
    with packed(command) as files:
        jobs = Jobs(address)
        _refuse_a_second(jobs, metadata)
        job_id = f"{metadata['run']}-{secrets.token_hex(2)}"
        line = shlex.join(["exec", "python", "-m", "cluster.start", *files.words, "--address", "auto"])
        settings = {"SWEEPS_GIT": dumps(git_state())}
        jobs.submit(job_id, line, files.folder, metadata, settings)
        print(f"submitted {job_id}: run {metadata['run']} of {metadata['sweep']}; sent {files.text}", flush=True)
    print(f"results will be in {metadata['storage'].rstrip('/')}/{metadata['sweep']}/{metadata['run']} on the cluster")
    if follow:
        return _follow(jobs, job_id)
    _say_how_to_go_on(jobs.address, job_id)
    return 0


def _refuse_a_second(jobs: Jobs, metadata: dict[str, str]) -> None:
    """Raise `InputError` where a job, or a lease in the storage that we can read from here, works on the run."""
    storage = metadata["storage"]
    refuse_if_under_way(new_run(folder_of(storage), metadata["sweep"], metadata["run"]))
    for job in jobs.all():
        same = (job.sweep, job.run, same_storage(job.storage)) == (
            metadata["sweep"],
            metadata["run"],
            same_storage(storage),
        )
        if not job.over and same:
            raise InputError(
                f"the run {job.run} is under way as job {job.id}: --status or --stop it, or take another --name"
            )


def same_storage(storage: str) -> str:
    """Return one spelling of a folder or URI: `/nfs//results/` and `/nfs/x/../results` are `/nfs/results`."""
    scheme, separator, path = storage.removeprefix("file://").rpartition("://")
    return scheme + separator + posixpath.normpath(path).replace("//", "/")


def _say_how_to_go_on(address: str, job_id: str) -> None:
    for option, meaning in (("--status", "look"), ("--stop", "stop")):
        more = " --follow" if option == "--status" else ""
        print(f"  {meaning}: python -m cluster.submit {option} {job_id}{more}{_at(address)}")


def _at(address: str) -> str:
    return "" if address == DASHBOARD else f" --address {address}"


def _follow(jobs: Jobs, job_id: str) -> int:
    """Print what the job prints. Ctrl-C leaves it running. Returns the job's exit code."""

    def write(text: str) -> None:
        print(text, end="", flush=True)

    # raises for an unknown job, before its log is asked for
    jobs.get(job_id)
    try:
        job = jobs.follow(job_id, write)
    except KeyboardInterrupt:
        print(f"\nleft: the job {job_id} goes on")
        _say_how_to_go_on(jobs.address, job_id)
        return 0
    if not job.over:
        print(f"the connection ended; the job {job_id} is {job.status.lower()}")
        _say_how_to_go_on(jobs.address, job_id)
        return 1
    print(_described(job))
    return 0 if job.status == "SUCCEEDED" else job.exit_code or 1


def _described(job: SubmittedJob) -> str:
    """Return `first-1f2e: stopped (143); run first of activations in /nfs/results, took 0:31`.

    Names and places are whatever a job's sender wrote.
    """
    from sweeps.screen.live import clock

    code = "" if job.exit_code is None else f" (exit code {job.exit_code})"
    run = f"; run {job.run} of {job.sweep} in {job.storage}" if job.run else ""
    took = f", took {clock(job.ended - job.started)}" if job.started and job.ended else ""
    return visible(f"{job.id}: {job.status.lower()}{code}{run}{took}")


def _stop(jobs: Jobs, job_id: str) -> int:
    before = jobs.get(job_id)
    if before.over:
        print(f"nothing to stop: {_described(before)}")
        return 0
    print(f"asked {job_id} to save and end", flush=True)
    job = jobs.stop(job_id)
    print(_described(job))
    if not job.over:
        return 1
    print("the command that submitted it, with the same --name and --storage, goes on with the run")
    return 0


def _show_status(jobs: Jobs, job_id: str, json_: bool) -> int:
    job = jobs.get(job_id)
    log = jobs.log(job_id)
    if json_:
        _print_json({**vars(job), "log": log})
        return 0
    print(_described(job))
    if job.status == "FAILED" and job.message:
        print(visible(job.message.strip().splitlines()[-1]))
    print("\n".join(log.rstrip().splitlines()[-LAST_LINES:]))
    return 0


LAST_LINES = 20


def _print_json(document: Any) -> None:
    print(dumps(document, indent=1))


def _show_list(found: Sequence[SubmittedJob], json_: bool) -> None:
    from sweeps.screen.live import clock

    if json_:
        _print_json([vars(job) for job in found])
        return
    if not found:
        print("no jobs yet")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("job", "status", "sweep", "started", "took"):
        # a job's name begins with its run's, so the run has no column
        table.add_column(name, no_wrap=name != "sweep", overflow="fold")
    for job in found:
        began = "" if job.started is None else f"{datetime.fromtimestamp(job.started):%Y-%m-%d %H:%M:%S}"
        took = clock(job.ended - job.started) if job.started and job.ended else ""
        table.add_row(plain(job.id), plain(job.status.lower()), plain(job.sweep), began, took)
    Console().print(table)


if __name__ == "__main__":
    start(app)
