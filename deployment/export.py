"""python -m deployment.export RUN: write a trained network as ONNX, torch.export or TorchScript. Research use only."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from analysis.command_line import new_app, start
from analysis.grids import Cell, Grid, columns_of, print_grid
from analysis.runs.find import refuse_unused_storage
from analysis.runs.lease import hold
from analysis.runs.run_folder import DeploymentFolder
from analysis.runs.sync import push_back
from analysis.terminal import plain_text
from trainables.errors import InputError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from deployment.trial_network.network import DeployedNetwork
    from deployment.trial_network.parity import Parity

app = new_app()
ALL = "all"
EXAMPLES = """Examples:

  python -m deployment.export latest

  python -m deployment.export latest --format all

  python -m deployment.export latest --trial 0003 --with-preprocessing
"""


@app.command(epilog=EXAMPLES)
def export(
    context: typer.Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help="latest, a sweep's name, a run id or a path.")],
    trial: Annotated[str, typer.Option(help="best (by validation), or a trial's id.")] = "best",
    seed: Annotated[int | None, typer.Option(help="The replicate to export (default: the trial's first).")] = None,
    format_: Annotated[str, typer.Option("--format", help="onnx, torchexport, torchscript (legacy) or all.")] = "onnx",
    with_preprocessing: Annotated[
        bool, typer.Option("--with-preprocessing", help="The file takes raw uint8 images, channels last.")
    ] = False,
    data_root: Annotated[Path | None, typer.Option(help="Folder of the data files.")] = None,
    storage: Annotated[str, typer.Option(help="Folder or URI of the results.")] = "results",
    trust_code: Annotated[
        bool, typer.Option("--trust-code", help="Run the copies of your own code that the run keeps.")
    ] = False,
) -> None:
    """Write a trained network to files that need no training code, and compare each with it on the test images.

    Files go to deployment/TRIAL/ in the run's folder. Exit code 1 if a probability differs by more than 1e-4.
    """
    from deployment.formats.table import FORMATS
    from deployment.trial_network.network import deployed_network
    from deployment.trial_network.selection import choose_one

    if format_ not in (ALL, *FORMATS):
        raise InputError(unknown_name("format", format_, [*FORMATS, ALL]))
    refuse_unused_storage(context, [run])
    chosen = choose_one(run, trial, storage, trust_code)
    console = Console()
    with hold(chosen.run, instead="try again then"):
        network = deployed_network(chosen, seed, data_root, "raw" if with_preprocessing else "normalized")
        folder = chosen.run.deployment_of(chosen.trial_id)
        note = partial(plain_text.say, console, label="note:")
        found = write_exports(network, folder.path, [*FORMATS] if format_ == ALL else [format_], note)
        push_back(chosen.run)
    _print(console, chosen.label, network, found, folder.path)
    if not all(one.holds for one in found.values()):
        sys.exit(1)


def write_exports(
    network: DeployedNetwork, folder: Path, formats: Sequence[str], note: Callable[[str], None] = lambda text: None
) -> dict[str, Parity]:
    """Write files in these formats and `export.json`; a file that differs from the network is not kept.

    What `export.json` says of other formats stays while their files are there. note: called with a line where a file of
    another seed or input is replaced. Raises `InputError` for a format that cannot hold the network, once the others
    are written.
    """
    from analysis.trial_evaluation.files import write_json
    from deployment.formats import torchscript
    from deployment.formats.table import FORMATS
    from deployment.formats.torch_export import trace
    from deployment.model.inference import Classifier, example_input
    from deployment.trial_network.earlier_files import earlier_files, identity_of, made_beside, replacing
    from deployment.trial_network.parity import check_parity
    from trainables.json_values import as_json_value

    module = Classifier(network.trained.model, network.metadata).eval()
    program = trace(module, example_input(network.metadata))
    place, found, failed = DeploymentFolder(folder), {}, []
    places = {name: place.model(one.suffix) for name, one in FORMATS.items()}
    files = earlier_files(place.export_report, places)
    try:
        for name in formats:
            try:
                with made_beside(places[name]) as path:
                    FORMATS[name].write(program, module, network.metadata, path)
                    opener = FORMATS[name].open_file
                    artefact = opener(path, 0) if opener else torchscript.open_own(path, network.metadata)
                    found[name] = check_parity(artefact, network.data.splits["test"], network.test, places[name].name)
                    if found[name].holds:
                        if said := replacing(files.get(name), network.metadata, places[name]):
                            note(said)
                        path.replace(places[name])
            except InputError as error:
                failed.append(str(error))
            if name in found and (found[name].holds or name not in files):
                files[name] = {**as_json_value(found[name]), **identity_of(network.metadata)}
        write_json(place.export_report, {"metadata": network.metadata.model_dump(), "files": files})
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}): free space, or mend its rights") from None
    if failed:
        written = f"; written: {', '.join(one.file for one in found.values())}" if found else ""
        raise InputError(f"{'; '.join(failed)}{written}")
    return found


def _print(console: Console, label: str, network: DeployedNetwork, found: dict[str, Parity], folder: Path) -> None:
    from analysis.trial_evaluation.terminal import say
    from deployment.trial_network.parity import BATCHES, TOLERANCE

    metadata = network.metadata
    say(console, f"trial {label}, seed {metadata.seed}, epoch {metadata.epoch}: {metadata.model} on {metadata.dataset}")
    if metadata.precision != "float32":
        say(console, f"note: trained in {metadata.precision}, exported and compared in float32")
    kind = "raw uint8 images, channels last" if metadata.input == "raw" else "normalised images, channels first"
    say(console, f"input: {kind}; output: probabilities of {len(metadata.class_names)} classes")
    heads = ["file", "MiB", *(f"of {n}" for n in BATCHES), "all test", "same answers", "verdict"]
    rows = tuple(
        (
            Cell(one.file), Cell(f"{one.bytes / 2**20:.2f}"), *(Cell(f"{d:.0e}") for d in one.differences.values()),
            Cell(f"{one.answers}/{one.images}"), Cell("same" if one.holds else "differs"),
        )
        for one in found.values()
    )  # fmt: skip
    title = f"largest difference of a probability from PyTorch's, by batch; {TOLERANCE:.0e} is allowed"
    print_grid(console, Grid(title, columns_of(heads, ("file", "verdict")), rows))
    for one in found.values():
        if not one.holds:
            say(console, f"{one.file} is not the same model, and was not kept", "bold red")
    say(console, f"files in {folder}; for research use only")


if __name__ == "__main__":
    start(app)
