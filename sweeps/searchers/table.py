"""The searchers by the names that users give them, with what they do and their options."""

from __future__ import annotations

from dataclasses import replace

from search_spaces.definition import Optuna, Searcher
from search_spaces.named_options import Named, choose
from trainables.errors import InputError

SEARCHERS: dict[str, Named] = {
    "grid": Named("each combination of the grids; random domains are drawn --samples times"),
    "random": Named("--samples draws, the same for every compared value"),
    "optuna": Named(
        "Optuna proposes --samples settings for each compared value; sampler: tpe (tree-structured Parzen estimator), "
        "gp (Gaussian process), or nsga2 (NSGA-II, for several metrics)",
        Optuna,
        short="sampler",
    ),
}


def change_searcher(searcher: Searcher, text: str | None, metrics: tuple[str, ...]) -> Searcher:
    """Return a sweep's searcher with another name, which may carry options: `optuna:gp`, `optuna:sampler=gp`.

    text: None leaves the name as it is. metrics: what is optimised, several only by a searcher that can. Raises
    `InputError`.
    """
    changed: Searcher = choose("searcher", SEARCHERS, searcher, text, {})
    if len(metrics) < 2:
        return changed
    if isinstance(changed, str):
        raise InputError(f"--metric {','.join(metrics)}: several metrics need --searcher optuna")
    return replace(changed, metrics=metrics)
