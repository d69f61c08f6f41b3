"""python -m deployment.quantize RUN: write a trained network in 8-bit integers, and measure it. Research use only."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from analysis.command_line import new_app, refuse_unused, start
from analysis.grids import Cell, Column, Grid, format_number, print_grid
from analysis.runs.find import find_runs, refuse_unused_storage
from analysis.runs.lease import hold
from analysis.runs.run_code import trust_code_of
from analysis.runs.run_folder import DeploymentFolder
from analysis.runs.sync import push_back
from analysis.terminal import plain_text
from trainables.errors import InputError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from deployment.quantization.figures import FileFigures
    from deployment.trial_network.network import DeployedNetwork

app = new_app()
ALL, QAT, FLOAT = "all", "qat", "float32"
MODES = ("dynamic", "static", QAT)
# Training images whose ranges static quantisation takes, at most.
CALIBRATION_IMAGES = 256
EXAMPLES = """Examples:

  python -m deployment.quantize latest --mode static

  python -m deployment.quantize latest --mode all --epochs 2
"""


@app.command(epilog=EXAMPLES)
def quantize(
    context: typer.Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help="latest, a sweep's name, a run id or a path.")],
    mode: Annotated[str, typer.Option(help="dynamic, static, qat (trains on) or all.")] = "static",
    trial: Annotated[str, typer.Option(help="best (by validation), a trial's id, or all.")] = "best",
    seed: Annotated[int | None, typer.Option(help="The replicate to take (default: the trial's first).")] = None,
    epochs: Annotated[int, typer.Option(min=1, max=1000, help="qat: epochs of training on the 8-bit grid.")] = 1,
    data_root: Annotated[Path | None, typer.Option(help="Folder of the data files.")] = None,
    storage: Annotated[str, typer.Option(help="Folder or URI of the results.")] = "results",
    trust_code: Annotated[
        bool, typer.Option("--trust-code", help="Run the copies of your own code that the run keeps.")
    ] = False,
) -> None:
    """Write a trained network in 8-bit integers as ONNX, and compare size, figures and speed with the float network.

    Files go to deployment/TRIAL/ in the run's folder, figures of all trials to its quantization.parquet. All speeds are
    measured here, on one thread.
    """
    from analysis.trial_evaluation.select_trials import choose_trials
    from deployment.quantization.table import add_rows, rows_of
    from deployment.trial_network.network import deployed_network

    if mode not in (ALL, *MODES):
        raise InputError(unknown_name("mode", mode, [*MODES, ALL]))
    if mode not in (ALL, QAT):
        refuse_unused(context, ["epochs"], f"--mode {mode} does not train")
    refuse_unused_storage(context, [run])
    runs = find_runs([run], storage)
    if len(runs) != 1:
        raise InputError(f"{run} holds {len(runs)} runs: name one of them")
    if trust_code:
        trust_code_of(runs[0])
    console, modes = Console(), MODES if mode == ALL else (mode,)
    note = partial(plain_text.say, console, label="note:")
    with hold(runs[0], instead="try again then"):
        for chosen in choose_trials(runs[0], trial):
            network = deployed_network(chosen, seed, data_root, "normalized")
            folder = runs[0].deployment_of(chosen.trial_id)
            found = write_quantized(network, folder.path, modes, epochs, note)
            add_rows(runs[0], list(rows_of(runs[0], chosen.trial_id, network.metadata.seed, found)))
            _print(console, chosen.label, found, folder.path)
        push_back(runs[0])


def write_quantized(
    network: DeployedNetwork, folder: Path, modes: Sequence[str], epochs: int = 1,
    note: Callable[[str], None] = lambda text: None,
) -> list[FileFigures]:  # fmt: skip
    """Write `model_<mode>.onnx` for each mode and `quantization.json`; the float network's figures come first.

    What `quantization.json` says of other modes stays while their files are there. note: called with a line where a
    file of another seed is replaced. Raises `InputError`.
    """
    from analysis.trial_evaluation.files import write_json
    from deployment.formats.onnx_file import open_file
    from deployment.quantization.aware_training import train_aware
    from deployment.quantization.figures import file_figures
    from deployment.quantization.onnx_runtime import quantize_dynamic, quantize_static
    from deployment.trial_network.earlier_files import earlier_files, identity_of, made_beside, replacing
    from trainables.json_values import as_json_value

    place, split, metadata = DeploymentFolder(folder), network.data.splits["test"], network.metadata
    places = {mode: place.model(".onnx", f"model_{mode}") for mode in MODES}
    files = earlier_files(place.quantization_report, places)
    try:
        with TemporaryDirectory() as made:
            plain = Path(made) / "plain.onnx"
            _write_onnx(network, network.trained.model, plain)
            found = [file_figures(FLOAT, open_file(plain, threads=1), split, network.test)]
            for mode in modes:
                with made_beside(places[mode]) as path:
                    if mode == "dynamic":
                        quantize_dynamic(plain, metadata, path)
                    elif mode == "static":
                        quantize_static(plain, metadata, path, calibration_images(network))
                    else:
                        learned = Path(made) / "learned.onnx"
                        _write_onnx(network, train_aware(network.trained, network.data, epochs), learned)
                        quantize_static(learned, metadata, path, calibration_images(network), QAT)
                    found.append(file_figures(mode, open_file(path, threads=1), split, network.test))
                    if said := replacing(files.get(mode), metadata, places[mode]):
                        note(said)
                    path.replace(places[mode])
        files |= {one.name: {**as_json_value(one), **identity_of(metadata)} for one in found}
        ordered = [files[name] for name in (FLOAT, *MODES) if name in files]
        write_json(place.quantization_report, {"metadata": metadata.model_dump(), "files": ordered})
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}): free space, or mend its rights") from None
    return found


def _write_onnx(network: DeployedNetwork, model: nn.Module, path: Path) -> None:
    from deployment.formats.torch_export import trace
    from deployment.formats.write_onnx import write
    from deployment.model.inference import Classifier, example_input

    module = Classifier(model, network.metadata).eval()
    write(trace(module, example_input(network.metadata)), module, network.metadata, path)


def calibration_images(network: DeployedNetwork) -> NDArray[np.uint8]:
    """Return training images, each class with its share, the same each time."""
    from trainables.data.splitting import stratified_rows

    train = network.data.splits["train"]
    images: NDArray[np.uint8] = train.images[stratified_rows(train.labels, min(1.0, CALIBRATION_IMAGES / len(train)))]
    return images


def _print(console: Console, label: str, found: Sequence[FileFigures], folder: Path) -> None:
    from analysis.evaluation.bootstrap import Interval
    from analysis.trial_evaluation.tables import span
    from analysis.trial_evaluation.terminal import say

    def real(value: float, interval: Interval) -> Cell:
        return Cell(format_number(value, 3), span(interval))

    batches = list(found[0].timing.throughput)
    columns = (
        Column("file", True), Column("KiB"), Column("AUC"), Column("accuracy"), Column("same answers", drop=1),
        Column("p50 ms"), Column("p95 ms", drop=4), *(Column(f"{n}: images/s", drop=2) for n in batches),
    )  # fmt: skip
    rows = tuple(
        (
            Cell(one.name), Cell(f"{one.bytes / 1024:.1f}"), real(one.auc.value, one.auc.images),
            real(one.acc.value, one.acc.images), real(one.agreement, one.agreement_95),
            Cell(f"{1e3 * one.timing.latency_p50:.2f}"), Cell(f"{1e3 * one.timing.latency_p95:.2f}"),
            *(Cell(f"{one.timing.throughput[n]:.0f}") for n in batches),
        )
        for one in found
    )  # fmt: skip
    print_grid(console, Grid(f"trial {label}, test: ONNX Runtime, one thread; 95 % over images", columns, rows))
    plain, fastest = found[0], min(found[1:], key=lambda one: one.timing.latency_p50)
    ratio = plain.timing.latency_p50 / fastest.timing.latency_p50
    how = f"{ratio:.2f} times as fast as" if ratio > 1 else f"no faster ({1 / ratio:.2f} times the time) than"
    say(console, f"one image: {fastest.name} is {how} float32 on this machine, by the median; measure again on yours")
    say(console, f"files in {folder}; for research use only")


if __name__ == "__main__":
    start(app)
