"""Notes on a plan: what it cannot do as it was asked, or does otherwise than one may think; and what refuses it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from search_spaces.definition import Optuna, Pbt, Rule, Sweep
from search_spaces.domains import is_random
from sweeps.planning.trials import Plan, PlannedTrial
from sweeps.schedulers.table import entry_of, name_of
from trainables.errors import InputError
from trainables.user_code.source import is_user_code

# trials, those with the most operations in a batch, whose memory is worked out
WEIGHED = 3


def check_recording(sweep: Sweep, log_steps: bool, log_histograms: int) -> None:
    """Raise `InputError` where steps or histograms are asked of a training function, which has none that we see."""
    asked = "--log-steps" if log_steps else "--log-histograms" if log_histograms else ""
    if asked and is_user_code(sweep.trainable):
        raise InputError(f"{asked} has no effect on {sweep.trainable}, whose steps are its own: leave it out")


def plan_notes(sweep: Sweep, plan: Plan) -> tuple[str, ...]:
    """Return what the user should know of a plan before it starts, a line each."""
    return (*_scheduler_notes(sweep, plan), *_search_notes(sweep, plan))


def _scheduler_notes(sweep: Sweep, plan: Plan) -> Iterator[str]:
    rule, name = sweep.scheduler, name_of(sweep.scheduler)
    if not isinstance(rule, Rule):
        return
    if rule.begins >= plan.epochs:
        does = "changes" if isinstance(rule, Pbt) else "stops"
        yield f"{name} {does} nothing: epoch {rule.begins}, its first comparison, is not before the last, {plan.epochs}"
    elif entry_of(rule).judge is not None and sweep.replicates == "apart":
        yield f"{name} stops nothing: replicates apart are no complete settings; --replicates together lets it stop"
    elif entry_of(rule).judge is not None:
        yield from _stratum_notes(sweep, plan, rule, name)


def _stratum_notes(sweep: Sweep, plan: Plan, rule: Rule, name: str) -> Iterator[str]:
    """Say where values stop one another, and where there are too few trials to stop any."""
    competing = [field for field in sweep.compared if field not in plan.stratify and _differs(plan, field)]
    if competing:
        yield f"the values of {', '.join(competing)} compete with one another and may stop one another (--stratify)"
    sizes = _stratum_sizes(plan)
    small = [size for size in sizes.values() if size <= rule.enough]
    if small:
        span = f"{min(small)} to {max(small)}" if min(small) < max(small) else str(small[0])
        within = f"trials of the same {', '.join(plan.stratify)}" if plan.stratify else "all trials"
        yield (
            f"{name} compares {within}, and {len(small)} of {len(sizes)} such groups have too few ({span}) for it to "
            "stop much: give a nuisance field more values, or choose --stratify"
        )


def _differs(plan: Plan, field: str) -> bool:
    return len({getattr(trial.config, field, None) for trial in plan.trials or plan.examples}) > 1


def _stratum_sizes(plan: Plan) -> Counter[str]:
    """Return the trials of each stratum; those that Optuna will propose are spread evenly over the compared values."""
    sizes = Counter(trial.stratum for trial in plan.trials or plan.examples)
    share = plan.proposed // len(plan.examples) if plan.examples else 1
    return Counter({stratum: count * share for stratum, count in sizes.items()})


def _search_notes(sweep: Sweep, plan: Plan) -> Iterator[str]:
    if isinstance(sweep.searcher, Optuna):
        each = plan.proposed // len(plan.examples)
        if each < sweep.samples:
            yield f"optuna tries {each} settings of each compared value, not {sweep.samples}: there are no more"
    elif sweep.samples > 1 and sweep.searcher == "grid" and not any(map(is_random, sweep.nuisance.values())):
        yield f"samples={sweep.samples} has no effect: no nuisance field is a random domain; see --searcher random"


def batch_of(trial: PlannedTrial) -> int:
    """Return the images of a batch; 1 where a config has no such field."""
    return int(getattr(trial.config, "batch_size", 1))


def memory_note(sweep: Sweep, plan: Plan, most: int | None) -> str:
    """Return a line where the trials that run at a time on this machine's CPUs do not fit its memory; else nothing.

    most: trials at a time at most.
    """
    import psutil
    import torch

    trials = plan.trials or plan.examples
    # a GPU's memory is measured: see `--gpus-per-trial auto`
    if torch.cuda.is_available():
        return ""
    costliest = sorted(trials, key=lambda trial: -trial.macs * batch_of(trial))[:WEIGHED]
    need = max(plan.prepared.needed_memory(trial.config, trial.parameters) for trial in costliest)
    free, slots = psutil.virtual_memory().available, sweep.resources.slots(psutil.cpu_count() or 1, 0)
    slots = max(1, min(slots, most or slots, plan.proposed or len(trials)))
    if slots * need <= free:
        return ""
    fit = f"--max-concurrent {free // need}, " if free >= need else ""
    return (
        f"{slots} trial(s) at a time take about {slots * need / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free: "
        f"choose {fit}a smaller batch_size, or accumulate"
    )
