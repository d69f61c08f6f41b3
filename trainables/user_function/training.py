"""The replicates of a training function of a user's own, in step on a worker.

The function is a generator `train(config, trial)` that yields the metrics of one epoch of one seed. `docs/training.md`
says what it may do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any

from trainables.errors import InputError
from trainables.metric_names import RESERVED
from trainables.trainable import EpochReport, Fuse, Row, Trainable, TrialFacts
from trainables.training.cost import Cost
from trainables.training.random_streams import seed_generators
from trainables.trial_key import function_key
from trainables.user_code.errors import number_of
from trainables.user_code.in_use import object_of, source_of
from trainables.user_code.source import first_line, split_spec
from trainables.user_function.config import make, own_config, signature_of
from trainables.user_function.state import load_states, save_states, write_weights
from trainables.user_function.trial import Trial

# Stands for a digest of data, which only the function knows.
NO_DATA = "none"


def function_trainable(spec: str) -> Trainable:
    """Return the trainable that a spec names. Raises `InputError` where it is no generator of two arguments."""
    signature = signature_of(spec)
    return Trainable(
        name=spec,
        module=__name__,
        config_type=signature.config_type,
        make=partial(make, spec),
        changeable=tuple(getattr(object_of(spec), "changeable", ())),
        fields_known=signature.own is not None,
    )


@dataclass(frozen=True)
class NoData:
    """The trials of a training function share nothing, since it loads its own data (a `Prepared`)."""

    spec: str
    shared: None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    lines: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def facts(self, config: Any) -> TrialFacts:
        """Return a trial's identity: its config, and the text of the function with what it imports beside it."""
        code = source_of(self.spec).digest
        return TrialFacts(function_key(config, split_spec(self.spec)[1], code), code, split_spec(self.spec)[1], NO_DATA)

    def check_metric(self, metric: str) -> None:
        """Do nothing: which metrics there are is known after the first epoch."""

    def work(self, config: Any, macs: int) -> float:
        """Return the same for all."""
        return 1.0

    def needed_memory(self, config: Any, parameters: int) -> int:
        """Return 0: unknown."""
        return 0

    def for_measuring(self, config: Any) -> None:
        """Return None: weights are measured from their files."""


def plan(
    trainable: Trainable, values: dict[str, Any], rows: Sequence[Mapping[str, Any]], tuned: Mapping[str, Sequence[Any]]
) -> Any:
    """Return the config of a planned trial. Raises `InputError`."""
    return trainable.make(values)


def prepare(trainable: Trainable, configs: Sequence[Any], data_root: Path | None) -> NoData:
    """Return what the trials share."""
    return NoData(trainable.name)


def begin(trainable: Trainable, config: Any, shared: None, metric: str, mode: str) -> FunctionTraining:
    """Return a trial before its first epoch."""
    return FunctionTraining(trainable.name, config, metric, mode)


def measure(trainable: Trainable, config: Any, shared: None, threads: int) -> Cost:
    """Train one replicate for an epoch or two, to estimate a sweep."""
    began = time.perf_counter()
    training = FunctionTraining(trainable.name, config.model_copy(update={"seeds": config.seeds[:1]}))
    seconds = [report.rows[0]["train_seconds"] for report, _ in zip(training.train(), range(2), strict=False)]
    return Cost(tuple(seconds[1:] or seconds), 0, 0, time.perf_counter() - began)


@dataclass
class _Replicate:
    """One seed: what the function is given, its generator once it runs, its last row and its best value."""

    trial: Trial
    steps: Iterator[Any] | None = None
    last: Row | None = None
    best: float | None = None
    ended: bool = False


class FunctionTraining:
    """The replicates of a trial, each a generator of its own, an epoch of each in turn (a `Training`)."""

    def __init__(self, spec: str, config: Any, steering: str = "", mode: str = "max") -> None:
        self.spec, self.config, self.steering = spec, config, steering
        self.sign = -1 if mode == "min" else 1
        self.function: Callable[[Any, Trial], Iterator[Any]] = object_of(spec)
        self.replicates = [_Replicate(Trial(seed)) for seed in config.seeds]
        self.metrics: tuple[str, ...] = ()

    @property
    def epoch(self) -> int:
        """Return the number of epochs that have been trained."""
        return max(int(one.last["epoch"]) if one.last else 0 for one in self.replicates)

    def load(self, path: Path, most: int | None = None) -> bool:
        """Go on from a checkpoint of at most `most` epochs. Raises `InputError` where it cannot be used."""
        saved = load_states(path, [one.trial.seed for one in self.replicates])
        if most is not None and max(entry["last"]["epoch"] for entry in saved) > most:
            return False
        for one, entry in zip(self.replicates, saved, strict=True):
            one.last, one.best, one.ended = entry["last"], entry["best"], entry["ended"]
            one.trial.go_on(entry["last"]["epoch"], entry["state"])
        self.metrics = tuple(saved[0]["metrics"])
        return True

    def load_donor(self, path: Path) -> None:
        """Go on from another trial's state and epoch, with the own config."""
        saved = load_states(path, [one.trial.seed for one in self.replicates])
        for one, entry in zip(self.replicates, saved, strict=True):
            one.last = entry["last"]
            one.trial.go_on(entry["last"]["epoch"], entry["state"])
        self.metrics = tuple(saved[0]["metrics"])

    def last(self) -> EpochReport:
        """Return the report of the last epoch before the checkpoint."""
        return self._report()

    def train(self, fuse: Fuse = "auto") -> Iterator[EpochReport]:
        """Train on, and yield after every epoch; end after the last one, or one whose metrics are not finite."""
        for epoch in range(self.epoch + 1, self.config.epochs + 1):
            if all(one.ended for one in self.replicates):
                return
            for one in self.replicates:
                self._step(one, epoch)
            report = self._report()
            yield report
            if not report.finite:
                return

    def save(self, path: Path) -> bool:
        """Write a checkpoint, where every replicate saved its state in its last epoch."""
        ready = all(one.ended or one.trial.saved_at == one.trial.epoch for one in self.replicates)
        if ready:
            entries = [
                {
                    "seed": one.trial.seed, "state": one.trial.state, "last": one.last, "best": one.best,
                    "ended": one.ended, "metrics": list(self.metrics),
                }
                for one in self.replicates
            ]  # fmt: skip
            save_states(path, entries)
        return ready

    def save_weights(self, folder_of: Callable[[int], Path]) -> None:
        """Write the weights that the function handed over since the last epoch, as best ones where they are."""
        for one in self.replicates:
            given, one.trial.given = one.trial.given, {}
            if "final" in given and one.last and one.last["is_best"] and "best" not in given:
                given["best"] = given["final"]
            for stage, (tensors, types) in given.items():
                file = folder_of(one.trial.seed) / f"{stage}_model.safetensors"
                epoch = 0 if stage == "initial" else one.trial.epoch
                metadata = {"seed": str(one.trial.seed), "epoch": str(epoch), "trainable": self.spec}
                write_weights(file, tensors, types, metadata)

    def _step(self, one: _Replicate, epoch: int) -> None:
        """Train one epoch of a replicate; one that has ended keeps what it gave last, with no time spent."""
        if one.ended:
            assert one.last is not None
            one.last = {**one.last, "epoch": epoch, "is_best": False, "train_seconds": 0.0, "notes": ""}
            return
        one.trial.epoch = epoch - 1
        began = time.perf_counter()
        metrics = self._next(one, epoch)
        seconds = time.perf_counter() - began
        one.trial.epoch = epoch
        one.ended = one.trial.stopped
        values = self._checked(metrics, epoch)
        best = self._is_best(one, values)
        one.last = {
            "seed": one.trial.seed, "epoch": epoch, **values, "is_best": best, "train_seconds": round(seconds, 6),
            "notes": "", "stop_reason": "early_stopping" if one.ended and epoch < self.config.epochs else "",
        }  # fmt: skip

    def _next(self, one: _Replicate, epoch: int) -> Any:
        """Return what the generator yields for an epoch. Raises `InputError` that names the line where it fails."""
        # What stands before the first epoch draws the same numbers in a trial that goes on.
        seed_generators(one.trial.seed, epoch if one.steps else 0)
        one.steps = one.steps or self.function(own_config(self.spec, self.config), one.trial)
        try:
            return next(one.steps)
        except StopIteration:
            raise InputError(
                f"{self.spec} ended after {epoch - 1} of {self.config.epochs} epochs: yield one report an epoch, or "
                "call trial.stop() before the last one"
            ) from None
        except InputError:
            raise
        # SystemExit would end the worker, again and again
        except (Exception, SystemExit) as error:
            raise InputError(f"{_where(error, self.spec)}: {first_line(error)}") from error

    def _checked(self, metrics: Any, epoch: int) -> dict[str, float]:
        """Return the metrics of a report as numbers. Raises `InputError` for what is none, and for other names."""
        if not isinstance(metrics, Mapping):
            raise InputError(
                f"{self.spec}, epoch {epoch}: it yields {type(metrics).__name__}: yield metrics by name, such as "
                f'{{"{self.steering or "val_score"}": 0.9}}'
            )
        values = {str(name): _number(value, f"{self.spec}, epoch {epoch}: {name}") for name, value in metrics.items()}
        if self.steering and self.steering not in values:
            raise InputError(
                f"{self.spec}, epoch {epoch}: it yields no {self.steering}, by which the sweep goes, but "
                f"{', '.join(values) or 'nothing'}: yield it, or choose another --metric"
            )
        self.metrics = self.metrics or _usable(self.spec, tuple(values))
        if set(values) != set(self.metrics):
            unlike = ", ".join(sorted(set(values) ^ set(self.metrics)))
            raise InputError(f"{self.spec}, epoch {epoch}: {unlike} is not in every epoch's report: yield NaN instead")
        return values

    def _is_best(self, one: _Replicate, values: Mapping[str, float]) -> bool:
        value = values.get(self.steering)
        if value is None or not self._is_finite(values):
            return False
        better = one.best is None or self.sign * value > self.sign * one.best
        if better:
            one.best = value
        return better

    def _report(self) -> EpochReport:
        rows = [one.last for one in self.replicates if one.last is not None]
        return EpochReport([dict(row) for row in rows], self.metrics, all(map(self._is_finite, rows)))

    def _is_finite(self, row: Mapping[str, Any]) -> bool:
        """Tell whether the metric that steers and the losses are numbers; a loss of test steers nothing."""
        losses = [name for name in self.metrics if name.endswith("loss") and not name.startswith("test_")]
        return all(isfinite(row[name]) for name in (self.steering, *losses) if name in row)


def _number(value: Any, what: str) -> float:
    """Return a number, also that of an array or tensor of one. Raises `InputError`."""
    number = number_of(value)
    if number is None:
        raise InputError(f"{what} is {type(value).__name__} and no number: yield a number")
    return number


def _usable(spec: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names. Raises `InputError` for one that cannot be a column beside ours."""
    for name in names:
        if not name.isidentifier() or name in RESERVED or name.startswith("final_"):
            raise InputError(
                f"{spec}: a metric cannot be named {name!r}: choose a name such as val_score or test_score"
            )
    return names


def _where(error: BaseException, spec: str) -> str:
    """Return `my_training.py, line 12`: the innermost frame of the error that is the user's."""
    place, step = split_spec(spec)[0], error.__traceback__
    while step is not None:
        file = step.tb_frame.f_code.co_filename
        if file.startswith("<_sweeps_user_code"):
            place = f"{file.partition('>/')[2]}, line {step.tb_lineno}"
        step = step.tb_next
    return place
