"""`Sweep`: a question and what is varied to answer it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from trainables.errors import InputError, unknown_name

METRICS = tuple(f"val_{name}" for name in ("auc", "acc", "loss"))


@dataclass(frozen=True)
class Resources:
    """What one trial takes. gpus=None: the share that its measured memory needs, where there are GPUs."""

    cpus: float = 1.0
    gpus: float | None = None


@dataclass(frozen=True)
class Asha:
    """Asynchronous successive halving (Li et al. 2020): rungs at grace, grace·reduction, grace·reduction², ... epochs.

    At each rung a trial is stopped if it is worse than the best 1/reduction of those that reached the rung before it.
    stratify: config fields whose values compete only among themselves; None: the scientific fields, where every
    combination of them has more trials than `reduction`, else no stratification.
    """

    grace: int = 1
    reduction: float = 3.0
    stratify: tuple[str, ...] | None = None
    brackets: int | None = 1  # grace periods tried side by side; None: all that fit, as in Hyperband (Li et al. 2018)


@dataclass(frozen=True)
class Median:
    """The median stopping rule (Golovin et al. 2017, section 3.2.2), from epoch `grace` on.

    A trial is stopped if its best value so far is worse than the median of its peers' running means up to this epoch;
    it needs `min_peers` peers that have come as far. stratify: as of `Asha`.
    """

    grace: int = 1
    stratify: tuple[str, ...] | None = None
    min_peers: int = 3


@dataclass(frozen=True)
class Pbt:
    """Population based training (Jaderberg et al. 2017), in step: every `interval` epochs a population is compared.

    A population is all trials that differ only in nuisance fields that may change during training (`CHANGEABLE`). Its
    worst go on from the weights of its best, with other values: perturb (by 0.8 or 1.2, or drawn anew), or bandit, by
    a Gaussian process over what each value has brought (PB2: Parker-Holder et al. 2020).
    """

    interval: int = 2
    quantile: float = 0.25  # share of a population that is replaced, and of which the replacements come
    resample: float = 0.25  # perturb: chance that a value is drawn anew
    explore: Literal["perturb", "bandit"] = "perturb"


Scheduler = Asha | Median | Pbt | Literal["fifo"]


@dataclass(frozen=True)
class Optuna:
    """Nuisance settings proposed by Optuna, `Sweep.samples` of them for each combination of scientific values.

    Every combination has a study of its own, and equally many trials. metrics: what is optimised together; empty: the
    sweep's own metric.
    """

    sampler: Literal["tpe", "gp", "nsga2"] = "tpe"
    metrics: tuple[str, ...] = ()


Searcher = Optuna | Literal["grid", "random"]


@dataclass(frozen=True)
class Sweep:
    """A sweep's definition (the roles are those of Google's tuning playbook).

    Each field of `scientific` and `nuisance` is a `TrialConfig` field with a domain: `tune.grid_search([...])`, any
    other domain of `ray.tune` (drawn `samples` times), or a constant.
    """

    question: str
    scientific: Mapping[str, Any]  # what is compared: grids only
    nuisance: Mapping[str, Any] = field(default_factory=dict)  # tuned so that the comparison is fair
    fixed: Mapping[str, Any] = field(default_factory=dict)  # held still
    cases: tuple[Mapping[str, Any], ...] = ()  # compared as they are: fields that go together, such as model and rate
    seeds: tuple[int, ...] = (0, 1, 2)
    samples: int = 1  # draws of the random nuisance domains; every scientific value meets the same ones
    metric: str = "val_auc"
    mode: Literal["max", "min"] = "max"
    scheduler: Scheduler = field(default_factory=Asha)
    searcher: Searcher = "grid"  # random: nuisance grids are drawn from, too
    replicates: Literal["together", "apart", "auto"] = "together"  # in one trial of Tune, or each in its own
    resources: Resources = field(default_factory=Resources)

    @property
    def compared(self) -> tuple[str, ...]:
        """The scientific fields, those of the cases among them."""
        return tuple(dict.fromkeys((*self.scientific, *(name for case in self.cases for name in case))))


def check_metric(metric: str) -> None:
    """Only a validation metric may steer."""
    if metric not in METRICS:
        raise InputError(unknown_name("metric", metric, METRICS) + "; nothing is ever selected by train or test")
