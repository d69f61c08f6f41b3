"""A model by its name: a file, a registered `name@alias`, or the exported file of a run's trial."""

from __future__ import annotations

from pathlib import Path

from analysis.trial_evaluation.select_trials import BEST
from deployment.formats.artefact import Artefact
from deployment.formats.opening import SUFFIXES, open_artefact
from deployment.registration.registry_store import MODEL_FILE, files_of, find_version, open_registry
from deployment.trial_network.selection import choose_one
from trainables.errors import InputError


def open_model(name: str, storage: str, registry: str | None = None, trial: str = BEST, threads: int = 0) -> Artefact:
    """Open the model of a name. Raises `InputError`. threads: of ONNX Runtime, 0 for all."""
    return open_artefact(find_file(name, storage, registry, trial), threads)


def find_file(name: str, storage: str, registry: str | None = None, trial: str = BEST) -> Path:
    """Find a model's file: itself, a registered one's, or the exported one of a run's trial. Raises `InputError`."""
    if name.endswith(SUFFIXES):
        return Path(name)
    model, at, which = name.rpartition("@")
    if at and not Path(name).exists():
        opened = open_registry(registry, storage)
        folder = files_of(opened, find_version(opened, model, which))
        return folder / MODEL_FILE
    chosen = choose_one(name, trial, storage)
    path = chosen.run.deployment_of(chosen.trial_id).model(".onnx")
    if not path.is_file():
        raise InputError(
            f"trial {chosen.trial_id} of {name} was not exported yet: "
            f"python -m deployment.export {chosen.run.path} --trial {chosen.trial_id}"
        )
    return path
