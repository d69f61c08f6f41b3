"""`Sweep`: a question and what is varied to answer it. Every value is checked where it is given."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import Field, InstanceOf, TypeAdapter, ValidationError

from trainables.errors import InputError, shorten, unknown_name
from trainables.metric_names import QUALITIES
from trainables.user_code.source import is_user_code

IMAGE_CLASSIFIER = "image_classifier"
STEERING = re.compile(r"val_\w+")
METRICS = tuple(f"val_{name}" for name in QUALITIES)
Whole = Annotated[int, Field(ge=1, le=10**6)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
MOST_SEEDS = 10_000
Mode = Literal["max", "min"]


class Checked:
    """A dataclass whose values are checked against their annotations, limits included, when it is made."""

    def __post_init__(self) -> None:
        """Raises `InputError` of one line for the first value that is out of its limits or of another type."""
        kind: Any = type(self)
        for name, adapter in _adapters(kind).items():
            value = getattr(self, name)
            try:
                adapter.validate_python(value, strict=True)
            except ValidationError as error:
                wrong = " or ".join(dict.fromkeys(item["msg"] for item in error.errors(include_url=False)))
                wrong = wrong.replace("Input should be", "should be")
                raise InputError(f"{kind.__name__}: {name}={shorten(value)}: {wrong}") from None


@cache
def _adapters(kind: Any) -> dict[str, TypeAdapter[Any]]:
    """Return a validator for each field of a dataclass."""
    hints = get_type_hints(kind, include_extras=True)
    return {item.name: TypeAdapter(hints[item.name]) for item in fields(kind)}


@dataclass(frozen=True)
class Resources(Checked):
    """The processors of one trial. gpus=None: the share that its measured memory needs, where there are GPUs."""

    cpus: Annotated[float, Field(ge=0.1, allow_inf_nan=False)] = 1.0
    gpus: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gpus is not None and self.gpus > 1 and self.gpus != int(self.gpus):
            raise InputError(f"Resources: gpus={self.gpus:g} should be a share of one GPU, or a whole number of them")

    def slots(self, cpus: float, gpus: float) -> int:
        """Return how many trials fit at a time on so many CPUs and GPUs."""
        fit = int(cpus / self.cpus)
        return min(fit, int(gpus / self.gpus)) if self.gpus else fit


class Rule(Checked):
    """The options of a scheduler: a frozen dataclass, made known by a line of `sweeps.schedulers.table.SCHEDULERS`."""

    @property
    def begins(self) -> int:
        """The epoch of the first comparison."""
        return 1

    @property
    def enough(self) -> float:
        """A stratum of so many trials or fewer is too small for the rule to stop much."""
        return 1


@dataclass(frozen=True)
class Asha(Rule):
    """Asynchronous successive halving (Li et al. 2020): rungs at grace, grace·reduction, grace·reduction², ... epochs.

    At each rung a trial is stopped if it is worse than the best 1/reduction of those that reached the rung before it.
    stratify: config fields whose values compete only among themselves, beside those that change a metric's scale or a
    trial's length; None: the scientific fields. brackets: grace periods tried side by side; None: all that fit, as in
    Hyperband (Li et al. 2018).
    """

    grace: Whole = 1
    reduction: Annotated[float, Field(ge=1.1, allow_inf_nan=False)] = 3.0
    stratify: tuple[str, ...] | None = None
    brackets: Whole | None = 1

    @property
    def begins(self) -> int:
        """The first rung."""
        return self.grace

    @property
    def enough(self) -> float:
        """One of `reduction` trials goes on."""
        return self.reduction


@dataclass(frozen=True)
class Median(Rule):
    """The median stopping rule (Golovin et al. 2017, section 3.2.2), from epoch `grace` on.

    A trial is stopped if its best value so far is worse than the median of its peers' running means up to this epoch;
    it needs `min_peers` peers that have come as far. stratify: as of `Asha`.
    """

    grace: Whole = 1
    stratify: tuple[str, ...] | None = None
    min_peers: Whole = 3

    @property
    def begins(self) -> int:
        """The first epoch that is judged."""
        return self.grace

    @property
    def enough(self) -> float:
        """Without so many peers nothing is judged."""
        return self.min_peers


@dataclass(frozen=True)
class Pbt(Rule):
    """Population based training (Jaderberg et al. 2017), in step: every `interval` epochs a population is compared.

    A population is all trials that differ only in nuisance fields that may change during training. Its
    worst go on from the weights of its best, with other values: perturb (by 0.8 or 1.2, or drawn anew), or bandit, by
    a Gaussian process over what each value has brought (PB2: Parker-Holder et al. 2020).

    quantile: share of a population that is replaced, and of which the replacements come. resample: chance that a value
    is drawn anew (perturb).
    """

    interval: Whole = 2
    quantile: Annotated[float, Field(gt=0, le=0.5)] = 0.25
    resample: Annotated[float, Field(ge=0, le=1)] = 0.25
    explore: Literal["perturb", "bandit"] = "perturb"

    @property
    def begins(self) -> int:
        """The first comparison."""
        return self.interval


Scheduler = InstanceOf[Rule] | Literal["fifo"]


@dataclass(frozen=True)
class Optuna(Checked):
    """Nuisance settings proposed by Optuna, `Sweep.samples` of them for each combination of scientific values.

    Every combination has a study of its own, and equally many trials. metrics: what is optimised together; empty: the
    sweep's own metric.
    """

    sampler: Literal["tpe", "gp", "nsga2"] = "tpe"
    metrics: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        for metric in self.metrics:
            if not STEERING.fullmatch(metric):
                check_metric(metric)


Searcher = InstanceOf[Optuna] | Literal["grid", "random"]


@dataclass(frozen=True)
class Sweep(Checked):
    """A sweep's definition (the roles are those of Google's tuning playbook).

    Each field of `scientific` and `nuisance` is a field of the trainable's config (`TrialConfig` for the image
    classifier) with a domain: `tune.grid_search([...])`, any other domain of `ray.tune` (drawn `samples` times), or a
    constant. trainable: what trains a trial, the image classifier or a function of one's own, FILE.py:NAME. mode
    follows from our metrics, where another is refused; of a metric of one's own it may be given.

    scientific: fields that are compared, as grids; nuisance: fields that are tuned so that the comparison is fair;
    fixed: fields that are held still; cases: settings of several fields that are compared as they are, such as a model
    with its rate. samples: draws of the random nuisance domains, the same for every scientific value. searcher: random
    draws from nuisance grids, too. replicates: the seeds of a setting in one trial of Tune, or each in its own.
    """

    question: Annotated[str, Field(min_length=1)]
    scientific: Mapping[str, Any]
    nuisance: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    cases: tuple[Mapping[str, Any], ...] = ()
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1, max_length=MOST_SEEDS)] = (0, 1, 2)
    samples: Whole = 1
    trainable: str = IMAGE_CLASSIFIER
    metric: str = "val_auc"
    mode: Mode = field(default=None)  # type: ignore[arg-type]
    scheduler: Scheduler = field(default_factory=Asha)
    searcher: Searcher = "grid"
    replicates: Literal["together", "apart", "auto"] = "together"
    resources: InstanceOf[Resources] = field(default_factory=Resources)

    def __post_init__(self) -> None:
        if isinstance(self.scheduler, str) and self.scheduler != "fifo":
            raise InputError(f"Sweep: scheduler={self.scheduler!r} should be 'fifo', or a rule such as Asha(grace=2)")
        if isinstance(self.seeds, list | range):
            object.__setattr__(self, "seeds", tuple(self.seeds))
        if not isinstance(self.metric, str):
            raise InputError(f"Sweep: metric={shorten(self.metric)} should be one of {', '.join(METRICS)}")
        if self.mode is None:
            object.__setattr__(self, "mode", mode_of(self.metric))
        if self.metric in METRICS and self.mode != mode_of(self.metric):
            raise InputError(f"{self.metric} has mode={mode_of(self.metric)!r}: leave mode={self.mode!r} out")
        super().__post_init__()
        for metric in (self.metric, *getattr(self.searcher, "metrics", ())):
            check_metric(metric, self.trainable)
        if len(set(self.seeds)) != len(self.seeds):
            raise InputError(f"Sweep: seeds={shorten(self.seeds)} should hold each seed once")

    @property
    def compared(self) -> tuple[str, ...]:
        """The scientific fields, those of the cases among them."""
        return tuple(dict.fromkeys((*self.scientific, *(name for case in self.cases for name in case))))


def mode_of(metric: str) -> Mode:
    """Return "min" for a loss, "max" for all other metrics."""
    return "min" if metric.endswith("loss") else "max"


def check_metric(metric: str, trainable: str = IMAGE_CLASSIFIER) -> None:
    """Raises `InputError` for a metric that may not steer: only those of the validation split may.

    A training function of a user's own may report any; their names begin with `val_`.
    """
    if is_user_code(trainable):
        if not STEERING.fullmatch(metric):
            raise InputError(f"metric={metric}: only a metric whose name begins with val_ may stop and rank trials")
    elif metric not in METRICS:
        raise InputError(unknown_name("metric", metric, METRICS) + "; nothing is ever selected by train or test")
