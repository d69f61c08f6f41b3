"""The function that Tune calls: a short loop around the training generator. The only file here that knows Ray."""

from __future__ import annotations

import ctypes
import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trainables.attempt_folder import ATTEMPT, AttemptFolder, FileClient, open_attempt
from trainables.config import TrialConfig, make_config
from trainables.data.arrays import Data
from trainables.data.batches import to_device
from trainables.data.normalization import Normalization
from trainables.errors import InputError
from trainables.models import module_types
from trainables.training.checkpoint import (
    load_checkpoint,
    load_donor_state,
    save_checkpoint,
    save_weights,
    weights_metadata,
)
from trainables.training.cost import peak_memory_mb, reset_peak_memory
from trainables.training.loop import EpochMetrics, TrainingState, start
from trainables.training.precision import make_repeatable
from trainables.training.replicates import epoch_row, last_epoch, mean_and_spread, train_replicates, trained_epochs
from trainables.user_code.in_use import use_sources
from trainables.user_code.source import Source

CHECKPOINT = "checkpoint.pt"
# A checkpoint of another trial, in the trial's folder.
DONOR = "donor.pt"
# From linux/prctl.h.
PR_SET_NAME = 15
# At most this share of the training time goes into writing checkpoints.
CHECKPOINT_SHARE = 0.05

# Dataset, image size, channels, normalisation.
DataKey = tuple[str, int | None, int | None, str]


@dataclass(frozen=True)
class Job:
    """A trial as a worker gets it.

    known_attempts, known_epochs: attempts of earlier drivers, and their epochs in the ledger. until: the epoch after
    which the trial waits for others; None: it is trained to its end. donor_epoch: the epoch at which the weights in
    `DONOR` replace its own; 0: never.
    """

    trial_id: str
    config: TrialConfig
    folder: str
    known_attempts: int = 0
    known_epochs: int = 0
    until: int | None = None
    donor_epoch: int = 0

    def to_json(self) -> str:
        """Return the text that Tune sends to a worker in the trial's config; jobs may be made while others run."""
        return json.dumps({**vars(self), "config": self.config.model_dump(mode="json")})

    @classmethod
    def from_json(cls, text: str) -> Job:
        """Read what `to_json` wrote."""
        values = json.loads(text)
        return cls(**{**values, "config": make_config(values["config"])})


def data_key(config: TrialConfig) -> DataKey:
    """Return the fields that a trial's data depends on."""
    return config.dataset, config.image_size, config.channels, config.normalization


def train_trial(
    tune_config: dict[str, str],
    datasets: Mapping[DataKey, tuple[Data, Normalization]],
    threads: int,
    client: FileClient | None = None,
    sources: Mapping[str, Source] | None = None,
) -> None:
    """Train all replicates of the job in `tune_config["job"]`, from its latest checkpoint if there is one.

    Reports once an epoch, when that epoch's files are in the run's folder. client: for workers that may not share it.
    sources: the user's code that trials need.
    """
    from ray import tune

    use_sources(sources or {})
    reset_peak_memory()
    job = Job.from_json(tune_config["job"])
    name_thread(f"trial {job.trial_id}")
    data, normalization = datasets[data_key(job.config)]
    make_repeatable(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    attempt = open_attempt(job.folder, client)
    fresh = [start(job.config, seed, data.info, device) for seed in job.config.seeds]
    metadata = {
        state.seed: weights_metadata(job.config, data, normalization, module_types(state.model), state.seed)
        for state in fresh
    }
    _save_initial(attempt.folder, fresh, metadata)
    states, note = _begin(job, data, device, attempt, fresh)
    if job.donor_epoch >= max(1, trained_epochs(states)):
        load_donor_state(states, load_checkpoint(attempt.fetch(DONOR) or Path(DONOR), job.config, data, device))
    splits = to_device(data, normalization, device)
    writer = _CheckpointWriter(attempt.folder / CHECKPOINT)
    due = job.until is None or trained_epochs(states) < job.until
    training = train_replicates(job.config, data.info, splits, states) if due else iter(())
    for epoch in itertools.chain(_unreported(job, states), training):
        _save_epoch(attempt.folder, states, metadata, job.config.save_every)
        saved = writer.save_if_due(states, attempt.send, always=epoch[0].epoch == job.until)
        finite = all(metrics.finite for metrics in epoch)
        tune.report(_report(job, attempt.number, [epoch_row(metrics) for metrics in epoch], finite, saved, note))
        note = ""
        if not finite or epoch[0].epoch == job.until:
            return


def name_thread(name: str) -> None:
    """Give this thread a name that other processes can read, so that `cluster.monitor` says what a worker trains."""
    # Linux alone has prctl.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def _unreported(job: Job, states: list[TrainingState]) -> Iterator[list[EpochMetrics]]:
    """Yield the epoch of a checkpoint that was written, but whose report the driver never saw."""
    if trained_epochs(states) > job.known_epochs:
        yield last_epoch(states)


def _begin(
    job: Job, data: Data, device: torch.device, attempt: AttemptFolder, fresh: list[TrainingState]
) -> tuple[list[TrainingState], str]:
    """Return the states of an earlier attempt's latest usable checkpoint, else fresh ones; and a note for the user."""
    problems = [attempt.note] if attempt.note else []
    for earlier in range(attempt.number - 1, 0, -1):
        try:
            path = attempt.fetch(f"{ATTEMPT}{earlier}/{CHECKPOINT}")
            if path is None:
                continue
            states = load_checkpoint(path, job.config, data, device)
            if earlier > job.known_attempts or trained_epochs(states) <= job.known_epochs + 1:
                return states, "; ".join(problems)
            problems.append(f"checkpoint of attempt {earlier} is ahead of the ledger")
        except InputError as error:
            problems.append(str(error))
    if attempt.number > 1:
        problems.append("no checkpoint to go on from: started again from epoch 0")
    return fresh, "; ".join(problems)


def _save_initial(folder: Path, states: list[TrainingState], metadata: Mapping[int, Mapping[str, str]]) -> None:
    for state in states:
        replicate = folder / f"seed_{state.seed}"
        save_weights(replicate / "initial_model.safetensors", state.model.state_dict(), metadata[state.seed], 0)


def _save_epoch(
    folder: Path, states: list[TrainingState], metadata: Mapping[int, Mapping[str, str]], every: int
) -> None:
    """Write an epoch's weights before its report, since a trial that is stopped never returns from it.

    every: as `TrialConfig.save_every`.
    """
    for state in states:
        replicate = folder / f"seed_{state.seed}"
        names = ["final_model"]
        if every and state.epoch % every == 0:
            names.append(f"epoch_{state.epoch:04d}_model")
        for name in names:
            save_weights(replicate / f"{name}.safetensors", state.model.state_dict(), metadata[state.seed], state.epoch)
        if state.best and state.best_weights and (state.best.epoch == state.epoch or not _has_best(replicate)):
            save_weights(
                replicate / "best_model.safetensors", state.best_weights, metadata[state.seed], state.best.epoch
            )


def _has_best(replicate: Path) -> bool:
    return (replicate / "best_model.safetensors").exists()


def _report(
    job: Job, attempt: int, rows: list[dict[str, Any]], finite: bool, checkpoint: bool, note: str
) -> dict[str, Any]:
    return {
        "trial": job.trial_id,
        "attempt": attempt,
        "epoch": rows[0]["epoch"],
        "finite": finite,
        "checkpoint": checkpoint,
        "note": note,
        "memory_mb": peak_memory_mb(),
        "gpu_percent": _gpu_percent(),
        "replicates": rows,
        **mean_and_spread(rows),
    }


def _gpu_percent() -> float | None:
    """Return the GPU's use in percent by its driver, which counts all that runs on it; None without one."""
    if not torch.cuda.is_available():
        return None
    # Some virtual GPUs have a driver without NVML.
    with suppress(RuntimeError, ModuleNotFoundError):
        return float(torch.cuda.utilization())
    return None


class _CheckpointWriter:
    """Writes a checkpoint as often as `CHECKPOINT_SHARE` of the time allows; what lies between is trained again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.due = 0.0

    def save_if_due(self, states: list[TrainingState], send: Callable[[], None], *, always: bool = False) -> bool:
        """send: brings this epoch's files into the run's folder, with the checkpoint or without."""
        began = time.monotonic()
        if began < self.due and not always:
            send()
            return False
        save_checkpoint(self.path, states)
        send()
        ended = time.monotonic()
        self.due = ended + (ended - began) / CHECKPOINT_SHARE
        return True
