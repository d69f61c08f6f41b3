"""The function that Tune calls: a short loop around a trainable. The only file here that knows Ray."""

from __future__ import annotations

import ctypes
import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from trainables.errors import InputError
from trainables.trainable import IMAGE_CLASSIFIER, EpochReport, Fuse, Training, trainable_of
from trainables.training.cost import peak_memory_mb, reset_peak_memory
from trainables.training.gradients import Recording, record
from trainables.training.precision import make_repeatable
from trainables.user_code.in_use import use_sources
from trainables.user_code.source import Source
from trainables.worker.attempt_folder import (
    ATTEMPT,
    CHECKPOINT,
    DONOR,
    AttemptFolder,
    FileClient,
    open_attempt,
    replicate_folder,
)

# From linux/prctl.h.
PR_SET_NAME = 15
# At most this share of the training time goes into writing checkpoints.
CHECKPOINT_SHARE = 0.05


@dataclass(frozen=True)
class Job:
    """A trial as a worker gets it.

    config: values of the trainable's config. metric, mode: what the sweep goes by. known_attempts, known_epochs:
    attempts of earlier drivers, and their epochs in the ledger. until: the epoch after which the trial waits for
    others; None: it is trained to its end. donor_epoch: the epoch at which the weights in `DONOR` replace its own; 0:
    never.
    """

    trial_id: str
    config: dict[str, Any]
    folder: str
    known_attempts: int = 0
    known_epochs: int = 0
    until: int | None = None
    donor_epoch: int = 0
    trainable: str = IMAGE_CLASSIFIER
    metric: str = "val_auc"
    mode: str = "max"

    def to_json(self) -> str:
        """Return the text that Tune sends to a worker in the trial's config; jobs may be made while others run."""
        return json.dumps(vars(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))


def train_trial(
    tune_config: dict[str, str], shared: Any, threads: int, client: FileClient | None = None,
    sources: Mapping[str, Source] | None = None, fuse: Fuse = "auto", recording: Recording | None = None,
) -> None:  # fmt: skip
    """Train all replicates of the job in `tune_config["job"]`, from its latest checkpoint if there is one.

    Reports once an epoch, when that epoch's files are in the run's folder. shared: what `Trainable.prepare` made.
    client: for workers that may not share the run's folder. sources: the user's code that trials need. fuse: whether
    replicates are trained as one network. recording: what is kept of an epoch beside its metrics.
    """
    from ray import tune

    use_sources(sources or {})
    reset_peak_memory()
    job = Job.from_json(tune_config["job"])
    name_thread(f"trial {job.trial_id}")
    make_repeatable(threads)
    record(recording or Recording())
    trainable = trainable_of(job.trainable)
    attempt = open_attempt(job.folder, client)
    training = trainable.begin(trainable.make(job.config), shared, job.metric, job.mode)
    training.save_weights(partial(replicate_folder, attempt.folder))
    note = _go_on(job, training, attempt)
    if job.donor_epoch >= max(1, training.epoch):
        training.load_donor(attempt.fetch(DONOR) or Path(DONOR))
    writer = _CheckpointWriter(attempt.folder / CHECKPOINT)
    due = job.until is None or training.epoch < job.until
    for report in itertools.chain(_unreported(job, training), training.train(fuse) if due else ()):
        epoch = report.rows[0]["epoch"]
        training.save_weights(partial(replicate_folder, attempt.folder))
        saved = writer.save_if_due(training, attempt.send, always=epoch == job.until)
        tune.report(_result(job, attempt.number, report, saved, note))
        note = ""
        if not report.finite or epoch == job.until:
            return


def name_thread(name: str) -> None:
    """Give this thread a name that other processes can read, so that `cluster.monitor` says what a worker trains."""
    # Linux alone has prctl.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def _unreported(job: Job, training: Training) -> Iterator[EpochReport]:
    """Yield the epoch of a checkpoint that was written, but whose report the driver never saw."""
    if training.epoch > job.known_epochs:
        yield training.last()


def _go_on(job: Job, training: Training, attempt: AttemptFolder) -> str:
    """Load an earlier attempt's latest usable checkpoint, if there is one. Returns a note for the user."""
    problems = [attempt.note] if attempt.note else []
    for earlier in range(attempt.number - 1, 0, -1):
        try:
            path = attempt.fetch(f"{ATTEMPT}{earlier}/{CHECKPOINT}")
            if path is None:
                continue
            if _load_unless_ahead(job, training, path, earlier):
                return "; ".join(problems)
            problems.append(f"checkpoint of attempt {earlier} is ahead of the ledger")
        except InputError as error:
            problems.append(str(error))
    if attempt.number > 1:
        problems.append("no checkpoint to go on from: started again from epoch 0")
    return "; ".join(problems)


def _load_unless_ahead(job: Job, training: Training, path: Path, attempt: int) -> bool:
    """Load a checkpoint. False, unchanged, where a driver that knew of it has fewer epochs in its ledger."""
    most = job.known_epochs + 1 if attempt <= job.known_attempts else None
    return training.load(path, most)


def _result(job: Job, attempt: int, report: EpochReport, checkpoint: bool, note: str) -> dict[str, Any]:
    return {
        "trial": job.trial_id,
        "attempt": attempt,
        "epoch": report.rows[0]["epoch"],
        "finite": report.finite,
        "checkpoint": checkpoint,
        "note": note,
        "memory_mb": peak_memory_mb(),
        "gpu_percent": _gpu_percent(),
        "replicates": report.rows,
        # a list: Tune would flatten a mapping
        "metrics": list(report.metrics),
        "fused": report.fused and json.dumps(report.fused),
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

    def save_if_due(self, training: Training, send: Callable[[], None], *, always: bool = False) -> bool:
        """send: brings this epoch's files into the run's folder, with the checkpoint or without."""
        began = time.monotonic()
        if began < self.due and not always:
            send()
            return False
        saved = training.save(self.path)
        send()
        ended = time.monotonic()
        self.due = ended + (ended - began) / CHECKPOINT_SHARE
        return saved
