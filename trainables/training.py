"""The training loop: a generator that trains one replicate and yields after every epoch."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from trainables.config import TrialConfig
from trainables.data.arrays import SPLITS, DataInfo
from trainables.data.batches import DeviceSplit, batches
from trainables.losses import loss_of, probabilities
from trainables.models import build_model
from trainables.optimizers import make_optimizer
from trainables.quality import accuracy, auc
from trainables.schedules import Schedule, make_schedule

EVALUATION_BATCH = 512


@dataclass(frozen=True)
class Quality:
    """A model on one split. loss: mean over images, in nats; auc and acc in [0, 1], NaN where undefined."""

    loss: float
    auc: float
    acc: float


@dataclass(frozen=True)
class EpochMetrics:
    """What one epoch of one replicate gave. `lr` is the rate this epoch was trained with."""

    seed: int
    epoch: int
    lr: float
    quality: Mapping[str, Quality]  # train, val and test, in evaluation mode after the epoch
    is_best: bool  # the highest val AUC so far (the earliest of equals)
    finite: bool  # False where a training loss was NaN or infinite: the replicate has diverged
    train_seconds: float
    eval_seconds: float
    images: int  # trained on in this epoch


@dataclass
class TrainingState:
    """All that an epoch changes; a checkpoint holds exactly this."""

    seed: int
    model: nn.Module
    optimizer: Optimizer
    schedule: Schedule
    epoch: int = 0
    best: EpochMetrics | None = None
    best_weights: Mapping[str, Tensor] | None = None


def start(config: TrialConfig, seed: int, info: DataInfo, device: torch.device) -> TrainingState:
    """Epoch 0 of a replicate: weights drawn from its seed."""
    torch.manual_seed(_stream(seed, 0))
    model = build_model(config, info).to(device, memory_format=_memory_format(info))
    optimizer = make_optimizer(model, config)
    return TrainingState(seed, model, optimizer, make_schedule(config.schedule, optimizer, config.epochs))


def _memory_format(info: DataInfo) -> torch.memory_format:
    return torch.channels_last_3d if info.is_3d else torch.channels_last


def _stream(seed: int, epoch: int) -> int:
    """The random stream of an epoch: a function of seed and epoch alone, so that a resumed run draws the same numbers."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{epoch}".encode()).digest()[:8], "big") >> 1


def train(
    config: TrialConfig, info: DataInfo, data: Mapping[str, DeviceSplit], state: TrainingState
) -> Iterator[EpochMetrics]:
    """Train from `state.epoch` to `config.epochs`, changing `state` and yielding once an epoch.

    Ends early where a training loss is not finite; the last metrics then say `finite=False`.
    """
    while state.epoch < config.epochs:
        started = time.perf_counter()
        rate = float(state.optimizer.param_groups[0]["lr"])
        state.epoch += 1
        torch.manual_seed(_stream(state.seed, state.epoch))
        images, finite = _train_epoch(config, info, data["train"], state)
        state.schedule.step()
        trained = time.perf_counter()
        quality = {split: evaluate(state.model, data[split], info) for split in SPLITS}
        finite = finite and all(math.isfinite(q.loss) for q in quality.values())
        metrics = EpochMetrics(
            seed=state.seed,
            epoch=state.epoch,
            lr=rate,
            quality=quality,
            is_best=finite and _is_better(quality["val"], state.best),
            finite=finite,
            train_seconds=trained - started,
            eval_seconds=time.perf_counter() - trained,
            images=images,
        )
        if metrics.is_best:
            state.best, state.best_weights = metrics, copy_weights(state.model)
        yield metrics
        if not finite:
            return


def _train_epoch(config: TrialConfig, info: DataInfo, split: DeviceSplit, state: TrainingState) -> tuple[int, bool]:
    state.model.train()
    shuffle = torch.Generator().manual_seed(_stream(state.seed, state.epoch))
    total = torch.zeros((), device=split.images.device)
    images = 0
    for inputs, labels in batches(split, config.batch_size, shuffle):
        state.optimizer.zero_grad(set_to_none=True)
        loss = loss_of(state.model(inputs), labels, info.task)
        loss.backward()  # type: ignore[no-untyped-call]
        state.optimizer.step()
        total += loss.detach()  # read once an epoch: reading each loss would make a GPU wait
        images += len(labels)
    return images, bool(torch.isfinite(total))


def _is_better(val: Quality, best: EpochMetrics | None) -> bool:
    """By val AUC; where AUC is undefined because val lacks a class, by val accuracy."""
    if best is None:
        return True
    if math.isnan(val.auc) or math.isnan(best.quality["val"].auc):
        return val.acc > best.quality["val"].acc
    return val.auc > best.quality["val"].auc


@torch.no_grad()
def predict(model: nn.Module, split: DeviceSplit) -> Tensor:
    """Logits (N, classes) in evaluation mode."""
    model.eval()
    return torch.cat([model(inputs) for inputs, _ in batches(split, EVALUATION_BATCH)])


def evaluate(model: nn.Module, split: DeviceSplit, info: DataInfo) -> Quality:
    """Loss, AUC and ACC of a model on a split."""
    logits = predict(model, split)
    labels, scores = split.labels.cpu().numpy(), probabilities(logits, info.task).cpu().numpy()
    return Quality(
        loss=float(loss_of(logits, split.labels, info.task)),
        auc=auc(labels, scores, info.task),
        acc=accuracy(labels, scores, info.task),
    )


def copy_weights(model: nn.Module) -> dict[str, Tensor]:
    """A copy of the state dict on the CPU."""
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
