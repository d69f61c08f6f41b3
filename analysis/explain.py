"""python -m analysis.explain RUN: saliency maps of a trained network, and tests of whether they are true."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from analysis.command_line import new_app, start
from analysis.runs.find import find_runs, refuse_unused_storage
from trainables.errors import InputError, unknown_name
from trainables.metric_names import SPLITS

app = new_app()
EXAMPLES = """Examples:

  python -m analysis.explain latest

  python -m analysis.explain latest --method integrated_gradients --samples 2

  python -m analysis.explain latest --trial 0003 --class malignant
"""


@app.command(epilog=EXAMPLES)
def explain(
    context: typer.Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help="latest, a sweep's name, a run id or a path.")],
    trial: Annotated[str, typer.Option(help="best (by validation), or a trial's id.")] = "best",
    method: Annotated[
        str | None,
        typer.Option(help="gradcam, gradcam++, attention, integrated_gradients or occlusion (default: by network)."),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, max=20, help="Images of each kind: right, wrong, unsure.")] = 2,
    class_: Annotated[str | None, typer.Option("--class", help="Only images whose true class has this name.")] = None,
    split: Annotated[str, typer.Option(help="test, val or train.")] = "test",
    data_root: Annotated[Path | None, typer.Option(help="Folder of the data files.")] = None,
    storage: Annotated[str, typer.Option(help="Folder or URI of the results.")] = "results",
    trust_code: Annotated[
        bool, typer.Option("--trust-code", help="Run the copies of your own code that the run keeps.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Show what a network looks at, with a verdict on each picture; features, label errors, duplicates. Research only.

    Files go to evaluation/TRIAL/explain/ in the run's folder.
    """
    from analysis.commands.explain import explain_run
    from analysis.runs.run_code import trust_code_of
    from analysis.trial_evaluation.select_trials import ALL

    if split not in SPLITS:
        raise InputError(unknown_name("split", split, SPLITS))
    if trial == ALL:
        raise InputError("--trial all: one trial is explained at a time; give its id, or best")
    refuse_unused_storage(context, [run])
    runs = find_runs([run], storage)
    if len(runs) != 1:
        raise InputError(f"{run} holds {len(runs)} runs: name one of them")
    found_run = runs[0]
    if trust_code:
        trust_code_of(found_run)
    explain_run(found_run, trial, method, samples, class_, split, data_root, json_)


if __name__ == "__main__":
    start(app)
