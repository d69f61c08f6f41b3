"""The importance of hyperparameters: PED-ANOVA over the trials of each block, all at equal epochs."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.comparison.judged_epoch import with_stopped
from analysis.comparison.labels import distinct_texts, hashable
from analysis.comparison.results import Results
from trainables.errors import InputError

# Trials from which shares are worth showing.
FEWEST = 8
# Trials that the better part should hold, as Optuna advises.
GOOD = 5


@dataclass(frozen=True)
class Importance:
    """Shares of the importance for being among the best `quantile` of n trials; of sum 1. No shares below 8 trials.

    epochs: after how many epochs all trials were judged; None where each was judged at its best. left_out: trials of
    the block that are not among the n (failed, diverged, interrupted; stopped ones where epochs.parquet is missing).
    """

    block: str
    shares: dict[str, float]
    quantile: float
    n: int
    epochs: int | None
    left_out: int


def importances(everything: Results) -> list[Importance]:
    """Return the importance of every scientific and nuisance field in each block.

    Where a rung stopped trials of a block, all of its trials are judged after equal epochs: among the survivors of the
    rungs, the fields that decided who survives would seem not to matter.
    Source: Watanabe, Bansal, Hutter (2023), PED-ANOVA, IJCAI; `optuna.importance`.
    """
    try:
        equal = everything if everything.equal_epochs is not None else with_stopped(everything, "equal-epochs")
    except InputError:
        # A run without epochs.parquet, of which only the survivors are known.
        equal = everything
    result = []
    for block in everything.blocks:
        trials = everything.trials[everything.trials["block"] == block]
        stopped = bool(((trials["ended"] == "stopped") & ~trials["finished"]).any())
        result.append(_importance(equal if stopped else everything, block, trials["trial"].nunique()))
    return result


def _importance(results: Results, block: str, total: int) -> Importance:
    trials = results.trials[(results.trials["block"] == block) & results.trials["finished"]]
    scores = trials.groupby("trial", sort=False)[results.metric].agg(lambda values: values.mean(skipna=False)).dropna()
    rows = trials.drop_duplicates("trial").set_index("trial").loc[scores.index]
    fields = [name for name in (*results.scientific, *results.nuisance) if len(set(map(_plain, rows[name]))) > 1]
    epochs = (results.equal_epochs or {}).get(block)
    n, left_out = len(scores), total - len(scores)
    if n < FEWEST or not fields or scores.nunique() == 1:
        return Importance(block, {}, math.nan, n, epochs, left_out)
    quantile = min(0.5, max(0.1, GOOD / n))
    return Importance(block, _ped_anova(rows[fields], scores, results.mode, quantile), quantile, n, epochs, left_out)


def _plain(value: Any) -> Any:
    """Return a config value as a key; pandas gives lists as arrays."""
    return hashable(value.tolist() if hasattr(value, "tolist") else value)


def _ped_anova(rows: pd.DataFrame, scores: pd.Series, mode: str, quantile: float) -> dict[str, float]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize" if mode == "max" else "minimize")
    spaces = {str(name): _space(rows[name]) for name in rows}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        # Category values that are no numbers, and the like.
        warnings.simplefilter("ignore", UserWarning)
        study.add_trials(
            [
                optuna.trial.create_trial(
                    params={name: values[trial] for name, (_, values) in spaces.items()},
                    distributions={name: distribution for name, (distribution, _) in spaces.items()},
                    value=float(score),
                )
                for trial, score in scores.items()
            ]
        )
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=quantile)
        shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
    total = sum(shares.values())
    return {name: share / total if total else 1.0 / len(shares) for name, share in shares.items()}


def _space(column: pd.Series) -> tuple[Any, dict[Any, Any]]:
    """Return an Optuna distribution and each trial's value in it: a number where all are, on a log scale where wide."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column) and column.notna().all():
        low, high = float(column.min()), float(column.max())
        return FloatDistribution(low, high, log=low > 0 and high / low >= 10), column.astype(float).to_dict()
    texts = dict(zip(column.index, distinct_texts([_plain(value) for value in column]), strict=True))
    return CategoricalDistribution(sorted(set(texts.values()))), texts
