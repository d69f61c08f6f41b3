"""Trains the replicates of a trial as one network: the same numbers as one by one, within the last bits of float32.

Each member keeps its own `TrainingState`: initial weights, order of the images, draws, schedule, statistics, best
weights, patience. Only passes and, where all rates are equal, steps are joint. A member that ends leaves the stack.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from trainables.config import TrialConfig
from trainables.data.arrays import SPLITS, DataInfo
from trainables.data.batches import DeviceSplit, batches, joint_training_batches, training_batches, training_part
from trainables.fused.joint_optimizer import ELEMENTWISE, JointOptimizer
from trainables.fused.random_states import RandomStates
from trainables.fused.stacked_network import StackedNetwork, layers_of
from trainables.layers.activations import set_epoch
from trainables.metrics.losses import training_loss
from trainables.training.ema import update_average
from trainables.training.evaluation import UNKNOWN, Quality, evaluate, evaluation_batch, quality_of
from trainables.training.gradients import gradient_norms
from trainables.training.loop import (
    BatchLoss,
    EpochMetrics,
    TrainedEpoch,
    TrainingState,
    evaluated_splits,
    finish_epoch,
    steps_of,
    train_is_due,
)
from trainables.training.precision import keep_freed_memory, numerics_of
from trainables.training.random_streams import stream
from trainables.training.replicates import Trained
from trainables.user_code.part_names import is_own


def can_be_fused(config: TrialConfig, states: Sequence[TrainingState]) -> bool:
    """Tell whether replicates can be trained together: several, of a model of ours that is a sequence of layers."""
    if (
        len(states) < 2
        or is_own("model", config.model)
        or any(state.learner._compiled_call_impl is not None for state in states)
    ):
        return False
    return all(layers_of(state.learner) is not None for state in states)


def together(
    config: TrialConfig, info: DataInfo, data: Mapping[str, DeviceSplit], states: list[TrainingState]
) -> Trained:
    """Train an epoch of all replicates at once, and yield their metrics; None for one that has ended."""
    keep_freed_memory()
    data = {**data, "train": training_part(data["train"], config, info)}
    group = None
    while True:
        active = [state for state in states if state.epoch < config.epochs and not state.patience.exhausted]
        if not active:
            yield [None] * len(states)
            continue
        if group is None or group.states != active:
            group = Group(config, info, data, active)
        found = dict(zip(map(id, active), group.epoch(), strict=True))
        yield [found.get(id(state)) for state in states]


class Group:
    """The replicates that train on, as one network."""

    def __init__(
        self, config: TrialConfig, info: DataInfo, data: Mapping[str, DeviceSplit], states: list[TrainingState]
    ) -> None:
        self.config, self.info, self.data, self.states = config, info, data, states
        device = data["train"].labels.device
        self.numerics = numerics_of(config, device)
        self.streams = RandomStates(device)
        order = self.numerics.memory_format(info.is_3d)
        self.learner = StackedNetwork([state.learner for state in states], self.streams, order)
        self.model = self.learner
        if config.ema:
            self.model = StackedNetwork([state.model for state in states], self.streams, order)
        first = states[0]
        equal_rates = not first.schedule.watches and not first.scaler.is_enabled()
        joint = equal_rates and type(first.optimizer) in ELEMENTWISE
        self.joint = JointOptimizer([state.optimizer for state in states], self.learner) if joint else None
        self.parameters = [stacked for stacked, _ in self.learner.joined]
        self.parameters += [own for state in states for own in state.learner.parameters()]

    def epoch(self) -> list[EpochMetrics]:
        """Train and evaluate all members for an epoch; each is charged its share of the time."""
        started = time.perf_counter()
        for state in self.states:
            state.epoch += 1
        trained = self.train(self.data["train"])
        ended = time.perf_counter()
        qualities = {split: self.evaluate(self.data[split]) for split in evaluated_splits(self.config, self.states[0])}
        if "train" not in qualities:
            qualities["train"] = self._train_where_due(qualities["val"])
        train_seconds, eval_seconds = ended - started, time.perf_counter() - ended
        metrics = []
        for member, state in enumerate(self.states):
            quality = {split: qualities[split][member] for split in SPLITS}
            share = train_seconds / len(self.states), eval_seconds / len(self.states)
            metrics.append(finish_epoch(self.config, state, trained[member], quality, *share))
        return metrics

    def _train_where_due(self, val: Sequence[Quality]) -> list[Quality]:
        """Evaluate train for the members for which it is due; unknown for the others, as if each were alone."""
        due = [train_is_due(self.config, state, own) for state, own in zip(self.states, val, strict=True)]
        found = self.evaluate(self.data["train"]) if any(due) else [UNKNOWN] * len(due)
        return [own if wanted else UNKNOWN for own, wanted in zip(found, due, strict=True)]

    def train(self, split: DeviceSplit) -> list[TrainedEpoch]:
        """Train the epoch `state.epoch` of all members on a split."""
        config, info, states = self.config, self.info, self.states
        seeds = [stream(state.seed, state.epoch) for state in states]
        self.streams.seed(seeds)
        for state in states:
            state.learner.train()
            set_epoch(state.learner, state.epoch, config.epochs)
        losses = [
            BatchLoss(training_loss(config, split.labels, info.n_classes, info.task), config, len(split), state.learner)
            for state in states
        ]
        totals = torch.zeros(len(states), device=split.labels.device)
        steps, images, rate = steps_of(len(split), config.batch_size), 0, math.nan
        before = (states[0].epoch - 1) * steps
        norms: list[Mapping[str, float]] = [{} for _ in states]
        for step, (inputs, targets) in enumerate(self._batches(split, seeds)):
            last = step == steps - 1
            # joint steps read the first member's rate
            for state in states if last or self.joint is None else states[:1]:
                state.schedule.set(before + step, steps)
            rate = rate if step else max(float(group["lr"]) for group in states[0].optimizer.param_groups)
            self._clear_gradients()
            totals += self._backward(losses, inputs, targets)
            if last or config.clip_norm or self.joint is None:
                self.learner.point_gradients()
            self._step(norms if last else None)
            if config.ema:
                for state in states:
                    update_average(state.model, state.learner, config.ema, before + step + 1)
            images += len(targets[0])
        self._clear_gradients()
        if self.joint:
            self.joint.give_back()
        finite = torch.isfinite(totals).tolist()
        return [TrainedEpoch(images, finite[member], rate, norms[member]) for member in range(len(states))]

    def _batches(self, split: DeviceSplit, seeds: Sequence[int]) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
        """Yield each member's images and targets, in its own order and with its own draws."""
        orders = [torch.Generator().manual_seed(seed) for seed in seeds]
        steps = steps_of(len(split), self.config.batch_size)
        if joint := joint_training_batches(split, self.config, self.info, orders):
            yield from islice(joint, steps)
            return
        members = [training_batches(split, self.config, self.info, order) for order in orders]
        for _ in range(steps):
            drawn = []
            for member, own in enumerate(members):
                with self.streams.of(member):
                    drawn.append(next(own))
            yield [inputs for inputs, _ in drawn], [targets for _, targets in drawn]

    def _backward(self, losses: Sequence[BatchLoss], inputs: list[Tensor], targets: list[Tensor]) -> Tensor:
        """Add the gradients of a batch in parts; return each member's loss, not read."""
        parts = min(self.config.accumulate, max(1, len(targets[0]) // 2))
        totals = torch.zeros(len(targets), device=targets[0].device)
        cut = [
            list(zip(x.tensor_split(parts), y.tensor_split(parts), strict=True))
            for x, y in zip(inputs, targets, strict=True)
        ]
        for some in zip(*cut, strict=True):
            logits = self.numerics.logits(self.learner, self.learner.inputs([x for x, _ in some]))
            own = [loss(own, y) for loss, own, (_, y) in zip(losses, logits.unbind(0), some, strict=True)]
            if parts > 1:
                own = [loss * (len(some[0][1]) / len(targets[0])) for loss in own]
            scaled = [state.scaler.scale(loss) for state, loss in zip(self.states, own, strict=True)]
            torch.stack(scaled).sum().backward()
            totals += torch.stack(own).detach()
        return totals

    def _step(self, norms: list[Mapping[str, float]] | None) -> None:
        """Clip each member's gradients and take its step; write the norms by layer into `norms`, where given."""
        for member, state in enumerate(self.states):
            if state.scaler.is_enabled():
                state.scaler.unscale_(state.optimizer)
            if norms is not None:
                norms[member] = gradient_norms(state.learner)
            if self.config.clip_norm:
                clip_grad_norm_(state.learner.parameters(), self.config.clip_norm)
            if self.joint is None:
                state.scaler.step(state.optimizer)
                state.scaler.update()
        if self.joint:
            self.joint.step()

    def _clear_gradients(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def evaluate(self, split: DeviceSplit) -> list[Quality]:
        """Evaluate all members on a split; random layers that are sampled, member by member."""
        if self.config.evaluation_samples:
            return [self._sampled(member, split) for member in range(len(self.states))]
        for state in self.states:
            state.model.eval()
        many = max(1, evaluation_batch(self.states[0].model, split) // len(self.states))
        parts = [
            self.numerics.logits(self.model, self.model.inputs([inputs] * len(self.states)))
            for inputs, _ in batches(split, many)
        ]
        return [quality_of(logits, split, self.info) for logits in torch.cat(parts, dim=1).unbind(0)]

    def _sampled(self, member: int, split: DeviceSplit) -> Quality:
        """Evaluate a member by random passes, which draw from its own stream."""
        with self.streams.of(member):
            model, samples = self.states[member].model, self.config.evaluation_samples
            return evaluate(model, split, self.info, samples, self.numerics)
