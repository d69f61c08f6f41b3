"""The training loop: a generator that trains one replicate and yields after every epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from trainables.config import TrialConfig
from trainables.data.arrays import SPLITS, DataInfo
from trainables.data.batches import DeviceSplit, training_batches, training_part
from trainables.layers.activations import learned_values, set_epoch
from trainables.layers.random_weights import divergence_of, divergent_layers
from trainables.metrics.losses import training_loss
from trainables.network.build import initial_model
from trainables.training.early_stopping import EARLY_STOPPING, Patience
from trainables.training.ema import average_of, update_average
from trainables.training.evaluation import UNKNOWN, Quality, evaluate
from trainables.training.gradients import Recorded, gradient_norms, gradient_notes, total_norm
from trainables.training.optimizers import make_optimizer
from trainables.training.precision import Numerics, numerics_of
from trainables.training.random_streams import stream
from trainables.training.schedules import Schedule
from trainables.user_code.part_names import arguments_in


@dataclass(frozen=True)
class EpochMetrics:
    """The results of one epoch of one replicate.

    lr: the rate of its first step, of the parameters with the highest. quality: train, val and test, in evaluation mode
    after the epoch; NaN for a train split that was not evaluated (`eval_train_every`). is_best: the highest val AUC so
    far (the earliest of equals). finite: False where a training loss was NaN or infinite: the replicate has diverged.
    images: trained on in this epoch. gradient_norms: by layer, at the last step, before clipping. learned: thresholds
    and the like, by layer. notes: what the user should know. stop_reason: "early_stopping" where the replicate ends
    before its time. recorded: losses of steps and histograms.
    """

    seed: int
    epoch: int
    lr: float
    quality: Mapping[str, Quality]
    is_best: bool
    finite: bool
    train_seconds: float
    eval_seconds: float
    images: int
    gradient_norms: Mapping[str, float] = field(default_factory=dict)
    learned: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    stop_reason: str = ""
    recorded: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class TrainingState:
    """The state that an epoch changes; a checkpoint holds exactly this.

    model: what is evaluated and saved; learner: what the optimiser moves. They are one unless weights are averaged.
    """

    seed: int
    model: nn.Module
    learner: nn.Module
    optimizer: Optimizer
    schedule: Schedule
    patience: Patience
    scaler: torch.amp.GradScaler
    epoch: int = 0
    last: EpochMetrics | None = None
    best: EpochMetrics | None = None
    best_weights: Mapping[str, Tensor] | None = None


def start(config: TrialConfig, seed: int, info: DataInfo, device: torch.device) -> TrainingState:
    """Return epoch 0 of a replicate: weights drawn from its seed, or pretrained.

    Raises `InputError` where it cannot be trained.
    """
    numerics = numerics_of(config, device)
    torch.manual_seed(stream(seed, 0))
    learner = initial_model(config, info).to(device).to(memory_format=numerics.memory_format(info.is_3d))
    model = average_of(learner) if config.ema else learner
    if config.compile:
        learner.compile()
    optimizer = make_optimizer(learner, config)
    schedule = Schedule(config.schedule, optimizer, config.epochs, arguments_in(config, "schedule"))
    scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "float16")
    return TrainingState(seed, model, learner, optimizer, schedule, Patience(config), scaler)


def train(
    config: TrialConfig, info: DataInfo, data: Mapping[str, DeviceSplit], state: TrainingState
) -> Iterator[EpochMetrics]:
    """Train from `state.epoch` to `config.epochs`, changing `state` and yielding once an epoch.

    Ends early where a training loss is not finite (the last metrics then say `finite=False`), or where the patience of
    early stopping is exhausted (`stop_reason="early_stopping"`).
    """
    data = {**data, "train": training_part(data["train"], config, info)}
    numerics = numerics_of(config, data["train"].labels.device)
    while state.epoch < config.epochs and not state.patience.exhausted:
        started = time.perf_counter()
        state.epoch += 1
        torch.manual_seed(stream(state.seed, state.epoch))
        trained = train_epoch(config, info, data["train"], state, numerics)
        ended = time.perf_counter()
        samples, splits = config.evaluation_samples, evaluated_splits(config, state)
        quality = {split: evaluate(state.model, data[split], info, samples, numerics) for split in splits}
        if "train" not in quality:
            due = train_is_due(config, state, quality["val"])
            quality["train"] = evaluate(state.model, data["train"], info, samples, numerics) if due else UNKNOWN
        metrics = finish_epoch(config, state, trained, quality, ended - started, time.perf_counter() - ended)
        yield metrics
        if not metrics.finite:
            return


def evaluated_splits(config: TrialConfig, state: TrainingState) -> Sequence[str]:
    """Return the splits that are evaluated after every epoch like this one: all, or those other than train."""
    return SPLITS if state.epoch % config.eval_train_every == 0 else SPLITS[1:]


def train_is_due(config: TrialConfig, state: TrainingState, val: Quality) -> bool:
    """Tell whether train is evaluated at an epoch between: at the best so far, and at the last."""
    return state.epoch == config.epochs or _is_better(val, state.best) or state.patience.ends_with(val)


@dataclass(frozen=True)
class TrainedEpoch:
    """The results of an epoch's training part."""

    images: int
    finite: bool
    lr: float
    gradient_norms: Mapping[str, float]
    recorded: Mapping[str, Any] = field(default_factory=dict)


def finish_epoch(
    config: TrialConfig, state: TrainingState, trained: TrainedEpoch, quality: Mapping[str, Quality],
    train_seconds: float, eval_seconds: float,
) -> EpochMetrics:  # fmt: skip
    """Take an epoch's results into the state: schedule, patience, best weights. Returns its metrics."""
    # Test steers nothing.
    seen = [quality[split] for split in ("train", "val") if quality[split] is not UNKNOWN]
    finite = trained.finite and all(math.isfinite(each.loss) for each in seen)
    state.schedule.end_epoch(quality["val"].loss)
    state.patience.see(quality["val"])
    stops_early = state.patience.exhausted and state.epoch < config.epochs
    metrics = EpochMetrics(
        seed=state.seed,
        epoch=state.epoch,
        lr=trained.lr,
        quality=quality,
        is_best=finite and _is_better(quality["val"], state.best),
        finite=finite,
        train_seconds=train_seconds,
        eval_seconds=eval_seconds,
        images=trained.images,
        gradient_norms=trained.gradient_norms,
        learned=learned_values(state.model),
        notes=gradient_notes(total_norm(trained.gradient_norms), state.epoch, config.clip_norm),
        stop_reason=EARLY_STOPPING if stops_early else "",
        recorded=trained.recorded,
    )
    state.last = metrics
    if metrics.is_best:
        state.best, state.best_weights = metrics, copy_weights(state.model)
    return metrics


def train_epoch(
    config: TrialConfig, info: DataInfo, split: DeviceSplit, state: TrainingState, numerics: Numerics
) -> TrainedEpoch:
    """Train `state.epoch` on a split; its random stream has been seeded."""
    state.learner.train()
    set_epoch(state.learner, state.epoch, config.epochs)
    shuffle = torch.Generator().manual_seed(stream(state.seed, state.epoch))
    total = torch.zeros((), device=split.labels.device)
    steps = steps_of(len(split), config.batch_size)
    before = (state.epoch - 1) * steps
    images, rate, norms, recorded = 0, math.nan, {}, Recorded(state.epoch)
    loss = BatchLoss(training_loss(config, split.labels, info.n_classes, info.task), config, len(split), state.learner)
    for step, (inputs, targets) in enumerate(training_batches(split, config, info, shuffle)):
        state.schedule.set(before + step, steps)
        rate = rate if step else max(float(group["lr"]) for group in state.optimizer.param_groups)
        state.optimizer.zero_grad(set_to_none=True)
        step_loss = _backward(config.accumulate, state, numerics, loss, inputs, targets)
        total += step_loss
        recorded.take_loss(step_loss)
        if state.scaler.is_enabled():
            state.scaler.unscale_(state.optimizer)
        if step == steps - 1:
            norms = gradient_norms(state.learner)
            recorded.take_histograms(state.learner)
        if config.clip_norm:
            clip_grad_norm_(state.learner.parameters(), config.clip_norm)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        if config.ema:
            update_average(state.model, state.learner, config.ema, before + step + 1)
        images += len(targets)
    return TrainedEpoch(images, bool(torch.isfinite(total)), rate, norms, recorded.row)


class BatchLoss:
    """The config's loss of a batch, with the divergence of random layers from their prior where there are some."""

    def __init__(
        self, criterion: Callable[[Tensor, Tensor], Tensor], config: TrialConfig, images: int, model: nn.Module
    ) -> None:
        self.criterion = criterion
        self.layers = divergent_layers(model)
        # The criterion is a mean over images.
        self.weight = config.kl_weight / images

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        loss = self.criterion(logits, targets)
        return loss + self.weight * divergence_of(self.layers) if self.layers else loss


def _backward(
    accumulate: int, state: TrainingState, numerics: Numerics, loss_of: BatchLoss, inputs: Tensor, targets: Tensor
) -> Tensor:
    """Add the gradients of a batch in parts; return its loss, not read: reading each would make a GPU wait."""
    # BatchNorm cannot use a part of one image.
    parts = min(accumulate, max(1, len(targets) // 2))
    total = torch.zeros((), device=targets.device)
    for some_inputs, some_targets in zip(inputs.tensor_split(parts), targets.tensor_split(parts), strict=True):
        loss = loss_of(numerics.logits(state.learner, some_inputs), some_targets)
        loss = loss * (len(some_targets) / len(targets)) if parts > 1 else loss
        state.scaler.scale(loss).backward()
        total += loss.detach()
    return total


def steps_of(images: int, batch_size: int) -> int:
    """Return the optimiser steps of an epoch: as many as `batches` gives, which drops a last batch of one image."""
    whole, rest = divmod(images, batch_size)
    return whole + (rest > 1 or images == 1)


def _is_better(val: Quality, best: EpochMetrics | None) -> bool:
    """Compare val AUC; where AUC is undefined because val lacks a class, val accuracy."""
    if best is None:
        return True
    if math.isnan(val.auc) or math.isnan(best.quality["val"].auc):
        return val.acc > best.quality["val"].acc
    return val.auc > best.quality["val"].auc


def copy_weights(model: nn.Module) -> dict[str, Tensor]:
    """Copy the state dict to the CPU."""
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
