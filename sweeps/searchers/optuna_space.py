"""A sweep's nuisance domains as Optuna's distributions, and Optuna's parameters as values of config fields."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from search_spaces.definition import Sweep
from search_spaces.domains import range_of, values_of
from sweeps.record.state import TrialState
from sweeps.searchers.grid import Setting, config_of, scientific_rows
from trainables.errors import InputError
from trainables.trainable import trainable_of

if TYPE_CHECKING:
    import optuna

# settings that are looked at to see whether there are enough
MOST_LISTED = 10_000


def distributions(sweep: Sweep) -> dict[str, optuna.distributions.BaseDistribution]:
    """Return the nuisance domains as Optuna's; a grid or a choice as the positions of its values, of whatever type.

    Optuna has no steps on a logarithmic scale: there it searches the whole range, and `setting_of` rounds.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, Any] = {}
    for name, domain in sweep.nuisance.items():
        options, numbers = values_of(domain), range_of(domain)
        if options is not None:
            if len(options) > 1:
                found[name] = CategoricalDistribution(tuple(range(len(options))))
        elif numbers is None or not (math.isfinite(numbers.low) and math.isfinite(numbers.high)):
            raise InputError(f"{name}: Optuna cannot search {domain}; give it a range, a choice or a grid")
        elif numbers.whole:
            step = 1 if numbers.log else int(numbers.step or 1)
            found[name] = IntDistribution(int(numbers.low), int(numbers.high), log=numbers.log, step=step)
        else:
            width = None if numbers.log else numbers.step
            found[name] = FloatDistribution(numbers.low, numbers.high, log=numbers.log, step=width)
    return found


def setting_of(sweep: Sweep, params: Mapping[str, Any]) -> Setting:
    """Return Optuna's parameters as values of config fields; a choice of one value needs no parameter."""
    found: Setting = {}
    for name, domain in sweep.nuisance.items():
        options, numbers = values_of(domain), range_of(domain)
        if options is not None:
            found[name] = options[params.get(name, 0)]
        else:
            found[name] = numbers.rounded(params[name]) if numbers else params[name]
    return found


def choices(sweep: Sweep) -> dict[str, list[Any]] | None:
    """Return the values that each of Optuna's parameters can take; None where a range has no end of them."""
    found: dict[str, list[Any]] = {}
    for name, domain in sweep.nuisance.items():
        options, numbers = values_of(domain), range_of(domain)
        if options is not None:
            if len(options) > 1:
                found[name] = list(range(len(options)))
        elif numbers is None or (numbers.step is None and not numbers.whole):
            return None
        else:
            steps = range(numbers.first, min(numbers.last, numbers.first + MOST_LISTED) + 1)
            found[name] = [numbers.rounded((numbers.step or 1) * k) for k in steps]
    return found


def settings_of_each_row(sweep: Sweep) -> int:
    """Return how many trials every compared value gets: `samples`, or fewer where one has no more unlike settings."""
    least, space = sweep.samples, choices(sweep)
    rows = scientific_rows(sweep)
    for row in rows if space is not None else ():
        unlike: set[Any] = set()
        for params in _some(space or {}):
            unlike.add(config_of(sweep, row, setting_of(sweep, params), rows))
            if len(unlike) >= least:
                break
        least = min(least, len(unlike))
    return least


def _some(space: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    """Yield the parameters of a space, at most `MOST_LISTED` of them."""
    product = itertools.product(*space.values())
    return (dict(zip(space, values, strict=True)) for values in itertools.islice(product, MOST_LISTED))


def first_setting(sweep: Sweep) -> Setting:
    """Return some setting of the space, to see whether trials can be built."""
    space = distributions(sweep)
    return setting_of(sweep, {name: getattr(of, "low", 0) for name, of in space.items()})


def check_space(sweep: Sweep) -> None:
    """Raises `InputError` for what Optuna cannot search here."""
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise InputError("the searcher optuna needs Optuna: pip install optuna") from None
    if not distributions(sweep):
        raise InputError("Optuna has nothing to search: the sweep has no nuisance field of more than one value")
    for name in trainable_of(sweep.trainable).data_fields:
        if len(values_of(sweep.nuisance.get(name)) or ()) > 1 or range_of(sweep.nuisance.get(name)):
            raise InputError(f"{name} cannot be searched by optuna, as data is loaded before: compare it, or fix it")


def was_proposed_by(sweep: Sweep, trial: TrialState) -> bool:
    """Return whether a sweep like this one proposed a trial: the same rows and space give its config."""
    rows, proposal = scientific_rows(sweep), trial.proposal or {}
    if proposal.get("row", len(rows)) >= len(rows) or set(proposal["params"]) != set(distributions(sweep)):
        return False
    setting = setting_of(sweep, proposal["params"])
    return config_of(sweep, rows[proposal["row"]], setting, rows).model_dump(mode="json") == trial.config
