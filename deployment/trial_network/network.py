"""A trial's network as it is deployed: one seed, on the CPU, in float32, with the calibration that val gives."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from analysis.evaluation.calibration import COVERAGE
from analysis.evaluation.predictions import Predictions, predict_split
from analysis.runs.run_folder import RunFolder
from analysis.trial_evaluation.select_trials import ChosenTrial
from deployment.model.image_statistics import training_deciles
from deployment.model.metadata import ModelMetadata
from trainables.data.arrays import Data
from trainables.data.dataset_names import Window, array_options, short_name, split_name, table_options
from trainables.errors import DISTRIBUTION, InputError
from trainables.metrics.calibration import conformal_threshold, fit_temperature
from trainables.network.trained import TrainedModel, load_data_of

NAMED = (DISTRIBUTION, "torch", "torchvision", "onnx", "onnxscript")


@dataclass(frozen=True)
class DeployedNetwork:
    """A network with its data, its own predictions of val and test, and what a file of it says."""

    trained: TrainedModel
    data: Data
    val: Predictions
    test: Predictions
    metadata: ModelMetadata


def deployed_network(
    chosen: ChosenTrial, seed: int | None, data_root: Path | None, input_kind: Literal["normalized", "raw"]
) -> DeployedNetwork:
    """Load a trial's network, by default that of its first seed, and predict val and test. Raises `InputError`."""
    trained = chosen.load(seed)
    if trained.config.evaluation_samples:
        raise InputError(
            f"trial {chosen.trial_id} predicts by the mean of {trained.config.evaluation_samples} random passes "
            "(evaluation_samples), which no file can hold: choose a trial without"
        )
    data = load_data_of(trained, data_root)
    exact = replace(trained, config=trained.config.model_copy(update={"precision": "float32"}))
    val, test = (predict_split(exact, data, split, "cpu") for split in ("val", "test"))
    metadata = ModelMetadata(
        run=f"{chosen.run.sweep}/{chosen.run.run_id}", trial=chosen.trial_id, seed=trained.seed, epoch=trained.epoch,
        commit=_commit(chosen.run), model=trained.config.model,
        dataset=short_name(trained.config.dataset), dataset_digest=trained.dataset_digest, task=data.info.task,
        class_names=data.info.class_names, image_shape=data.info.shape, mean=trained.normalization.mean,
        std=trained.normalization.std, input=input_kind,
        temperature=fit_temperature(val.labels, val.scores, val.task),
        conformal_threshold=conformal_threshold(val.labels, val.scores, COVERAGE), coverage=COVERAGE,
        precision=trained.config.precision, **_reading(trained.config.dataset),
        training_deciles=training_deciles(data.splits["train"].images), versions=dict(_versions()),
    )  # fmt: skip
    return DeployedNetwork(exact, data, val, test, metadata)


def _reading(dataset: str) -> dict[str, Any]:
    """Return the window and frame with which a dataset's files are read."""
    kind = split_name(dataset)[0]
    options = {"csv": table_options, "npz": array_options}[kind](dataset) if kind in ("csv", "npz") else None
    window: Window | None = getattr(options, "window", None)
    pair = (window.center, window.width) if window else None
    return {"window": pair, "frame": getattr(options, "frame", None)}


def _commit(run: RunFolder) -> str | None:
    # Tables and weights may be all that was kept of a run.
    description = run.read_description() if run.description.is_file() else {}
    git = description.get("provenance", {}).get("git")
    commit = git.get("commit") if isinstance(git, dict) else None
    return commit if isinstance(commit, str) else None


def _versions() -> list[tuple[str, str]]:
    found = []
    for name in NAMED:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return found
