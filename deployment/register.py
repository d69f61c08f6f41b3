"""python -m deployment.register RUN --name NAME --version 1.2.0: put a trained network into the model registry."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from analysis.command_line import new_app, start
from deployment.export import write_exports
from deployment.registration.client import shown
from deployment.registration.opening import open_existing, open_registry
from deployment.registration.registry_store import (
    CARD_FILE,
    GATE,
    VERSION,
    NewVersion,
    add_version,
    check_names,
    promote,
    refuse_taken,
)
from trainables.atomic_files import read_regular
from trainables.errors import InputError

if TYPE_CHECKING:
    from analysis.trial_evaluation.select_trials import ChosenTrial
    from deployment.model.metadata import ModelMetadata
    from deployment.registration.opening import Registry
    from deployment.registration.registry_store import RegisteredVersion
    from deployment.trial_network.network import DeployedNetwork

app = new_app()
EXAMPLES = """Examples:

  python -m analysis.evaluate latest --gate clinical

  python -m deployment.register latest --name breast --version 1.0.0

  python -m deployment.register latest --name breast --version 1.1.0 --alias staging --tag site=A
"""


@app.command(epilog=EXAMPLES)
def register(
    run: Annotated[str, typer.Argument(metavar="RUN", help="latest, a sweep's name, a run id or a path.")],
    name: Annotated[str, typer.Option(help="The model's name.")],
    version: Annotated[str, typer.Option(help="A semantic version, as 1.2.0.")],
    trial: Annotated[str, typer.Option(help="best (by validation), or a trial's id.")] = "best",
    seed: Annotated[int | None, typer.Option(help="The replicate to register (default: the trial's first).")] = None,
    description: Annotated[str, typer.Option(help="What the model is for, for its card.")] = "",
    tag: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="A tag; may be given again.")] = None,
    alias: Annotated[str | None, typer.Option(help="staging or production (where the gate passed).")] = None,
    force: Annotated[bool, typer.Option("--force", help="Although the gate did not pass; the record says so.")] = False,
    registry: Annotated[str | None, typer.Option(help="URI of an MLflow registry (default: in the results).")] = None,
    data_root: Annotated[Path | None, typer.Option(help="Folder of the data files.")] = None,
    storage: Annotated[str, typer.Option(help="Folder or URI of the results.")] = "results",
    trust_code: Annotated[
        bool, typer.Option("--trust-code", help="Run the copies of your own code that the run keeps.")
    ] = False,
) -> None:
    """Register a network that was evaluated: ONNX and torch.export files, figures, lineage and a model card.

    Refused unless the gate of `analysis.evaluate --gate` passed.
    """
    from analysis.trial_evaluation.terminal import say
    from deployment.trial_network.network import deployed_network
    from deployment.trial_network.selection import choose_one

    tags = check_names(name, version, alias, tag or [])
    chosen = choose_one(run, trial, storage, trust_code)
    metrics, gate = read_evaluation(chosen)
    allow(chosen, gate, alias, force)
    # the export takes long, and a registry is made for what can be exported alone; `add` looks again
    if opened := open_existing(registry, storage):
        refuse_taken(opened, name, version)
    network = deployed_network(chosen, seed, data_root, "normalized")
    check_evaluation(metrics, network.metadata)
    opened = opened or open_registry(registry, storage, create=True)
    made = add(opened, network, name, version, description, tags, metrics, gate, force, alias)
    console = Console()
    in_use = f"; {', '.join(made.aliases)}" if made.aliases else ""
    where = f"(number {made.number}) in {shown(opened.uri)}"
    say(console, f"registered {name} {made.version} {where}; gate: {gate or 'none'}{in_use}")
    say(console, "for research use only")


def read_evaluation(chosen: ChosenTrial) -> tuple[dict[str, Any], str]:
    """Return a trial's `metrics.json`, and its gate's verdict, "" without one. Raises `InputError`."""
    folder = chosen.run.evaluation_of(chosen.trial_id)
    again = f"python -m analysis.evaluate {chosen.run.path} --trial {chosen.trial_id} --gate clinical"
    try:
        metrics = json.loads(read_regular(folder.metrics))
        gate = json.loads(read_regular(folder.gate)) if folder.gate.is_file() else {}
        verdict = str(gate.get("verdict", ""))
        assert isinstance(metrics["figures"], dict)
    except FileNotFoundError:
        raise InputError(f"trial {chosen.trial_id} was not evaluated yet: {again}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, AssertionError, RecursionError) as error:
        raise InputError(f"{folder.path} is damaged ({type(error).__name__}): {again}") from None
    return metrics, verdict


def allow(chosen: ChosenTrial, gate: str, alias: str | None, force: bool) -> None:
    """Raise `InputError` where the gate did not pass and that was not asked for, or production was."""
    if gate == "pass":
        return
    said = f"the gate says {gate!r}" if gate else "there was no gate"
    if alias == "production":
        raise InputError(f"trial {chosen.trial_id}: {said}, and only what passes goes into production")
    if not force:
        raise InputError(f"trial {chosen.trial_id}: {said}: register what passes, or say --force, which is recorded")


def check_evaluation(metrics: dict[str, Any], metadata: ModelMetadata) -> None:
    """Raise `InputError` where an evaluation is not of this network's data, on test."""
    weights = {(one.get("seed"), one.get("epoch")) for one in metrics.get("weights") or []}
    same = metrics.get("dataset_digest") == metadata.dataset_digest and metrics.get("split") == "test"
    if not same or (metadata.seed, metadata.epoch) not in weights:
        raise InputError("the evaluation is of another split, of other data or of other weights: evaluate it again")


def add(
    registry: Registry, network: DeployedNetwork, name: str, version: str, description: str, tags: dict[str, str],
    metrics: dict[str, Any], gate: str, force: bool, alias: str | None,
) -> RegisteredVersion:  # fmt: skip
    """Export a network, write its card and register both. Raises `InputError`."""
    from deployment.formats.torch_export import KEY
    from deployment.model.inference import example_input
    from deployment.registration.model_card import model_card

    metadata = network.metadata
    forced = force and gate != "pass"
    lineage = {
        VERSION: version, GATE: gate or "none", "run": metadata.run, "trial": metadata.trial,
        "seed": str(metadata.seed), "commit": metadata.commit or "", "dataset": metadata.dataset,
        "dataset_digest": metadata.dataset_digest, "forced": str(forced).lower(), "package": KEY,
    }  # fmt: skip
    values = {f"test_{key}": figure.get("value") for key, figure in metrics["figures"].items()}
    with TemporaryDirectory() as made:
        folder = Path(made)
        found = write_exports(network, folder, ["onnx", "torchexport"])
        if not all(one.holds for one in found.values()):
            raise InputError("the exported files are not the same model: deployment.export says by how much")
        card = folder / CARD_FILE
        card.write_text(model_card(name, version, description, metadata, metrics, gate or "none", forced))
        new = NewVersion(
            name, version, description, {**tags, **lineage},
            {key: float(value) for key, value in values.items() if value is not None},
            folder / "model.onnx", [folder / "model.pt2", card],
        )  # fmt: skip
        example = example_input(metadata).numpy()
        registered = add_version(registry, new, example, network.test.scores[: len(example)])
    return promote(registry, name, version, alias) if alias else registered


if __name__ == "__main__":
    start(app)
