"""A model by its name: a file, a registered `name@alias`, or the exported file of a run's trial."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import typer

from analysis.command_line import refuse_unused, was_given
from analysis.runs.find import UnknownRun, refuse_unused_storage
from analysis.trial_evaluation.select_trials import BEST, ChosenTrial
from deployment.formats.artefact import Artefact
from deployment.formats.opening import ONNX, PT2, SUFFIXES, open_artefact
from deployment.registration.opening import open_registry
from deployment.registration.registry_store import MODEL_FILE, files_of, find_version, model_names
from deployment.trial_network.selection import choose_one
from trainables.errors import InputError

REGISTERED = "a registered model is named NAME@VERSION or NAME@ALIAS"
# registered models that a message names
MOST_NAMES = 8


@dataclass(frozen=True)
class FoundModel:
    """A model's file, and the trial of a run that it is of; None where it was named as a file or registered."""

    path: Path
    trial: ChosenTrial | None = None


def open_model(name: str, storage: str, registry: str | None = None, trial: str = BEST, threads: int = 0) -> Artefact:
    """Open the model of a name. Raises `InputError`. threads: of ONNX Runtime, 0 for all."""
    return open_artefact(find_model(name, storage, registry, trial).path, threads)


def refuse_unused_options(context: typer.Context, name: str) -> None:
    """Raise `InputError` for an option that says where a model is, beside a name that says it itself."""
    if name.endswith(SUFFIXES):
        refuse_unused(context, ("trial", "storage", "registry"), "MODEL is a file")
    elif is_registered(name):
        refuse_unused(context, ("trial", *(["storage"] * was_given(context, "registry"))), "MODEL is a registered one")
    else:
        refuse_unused(context, ("registry",), f"MODEL is a run ({REGISTERED})")
        refuse_unused_storage(context, [name])


def is_registered(name: str) -> bool:
    """Return whether a name is that of a registered model, NAME@VERSION or NAME@ALIAS."""
    return "@" in name and not Path(name).exists()


def find_model(
    name: str, storage: str, registry: str | None = None, trial: str = BEST, trust_code: bool = False
) -> FoundModel:
    """Find a model: a file, a registered one's, or the exported one of a run's trial. Raises `InputError`.

    trust_code: the user's own code that a run keeps may run.
    """
    if name.endswith(SUFFIXES):
        return FoundModel(Path(name))
    if is_registered(name):
        model, _, which = name.rpartition("@")
        opened = open_registry(registry, storage)
        return FoundModel(files_of(opened, find_version(opened, model, which)) / MODEL_FILE)
    try:
        chosen = choose_one(name, trial, storage, trust_code)
    except UnknownRun as error:
        raise InputError(f"{error}; {REGISTERED}{_registered_in(storage)}") from None
    folder = chosen.run.deployment_of(chosen.trial_id)
    found = next((path for path in (folder.model(ONNX), folder.model(PT2)) if path.is_file()), None)
    if found is None:
        raise InputError(
            f"trial {chosen.trial_id} of {name} was not exported yet: "
            f"python -m deployment.export {chosen.run.path} --trial {chosen.trial_id}"
        )
    return FoundModel(found, chosen)


def _registered_in(storage: str) -> str:
    """Return `, known: NAMES` of the models that are registered in the results; "" for none."""
    try:
        known = model_names(open_registry(None, storage))
    except InputError:
        # without a registry there is no model
        return ""
    return f", known: {', '.join(known[:MOST_NAMES])}" if known else ""
