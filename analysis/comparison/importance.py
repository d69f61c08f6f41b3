"""Which hyperparameter matters: PED-ANOVA over the trials of each block."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.comparison.results import Results, as_text

FEWEST = 8  # trials from which shares are worth showing
GOOD = 5  # trials that the better part should hold, as Optuna advises


@dataclass(frozen=True)
class Importance:
    """Shares of the importance for being among the best `quantile` of n trials; of sum 1. No shares below 8 trials."""

    block: str
    shares: dict[str, float]
    quantile: float
    n: int


def importances(results: Results) -> list[Importance]:
    """The importance of every scientific and nuisance field in each block, over finished trials.

    Source: Watanabe, Bansal, Hutter (2023), PED-ANOVA, IJCAI; `optuna.importance`.
    """
    return [_importance(results, block) for block in results.blocks]


def _importance(results: Results, block: str) -> Importance:
    trials = results.trials[(results.trials["block"] == block) & results.trials["finished"]]
    scores = trials.groupby("trial", sort=False)[results.metric].agg(lambda values: values.mean(skipna=False)).dropna()
    rows = trials.drop_duplicates("trial").set_index("trial").loc[scores.index]
    fields = [name for name in (*results.scientific, *results.nuisance) if rows[name].map(as_text).nunique() > 1]
    if len(scores) < FEWEST or not fields or scores.nunique() == 1:
        return Importance(block, {}, math.nan, len(scores))
    quantile = min(0.5, max(0.1, GOOD / len(scores)))
    return Importance(block, _ped_anova(rows[fields], scores, results.mode, quantile), quantile, len(scores))


def _ped_anova(rows: pd.DataFrame, scores: pd.Series, mode: str, quantile: float) -> dict[str, float]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize" if mode == "max" else "minimize")
    spaces = {str(name): _space(rows[name]) for name in rows}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.simplefilter("ignore", UserWarning)  # category values that are no numbers, and the like
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
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    total = sum(found.values())
    return {name: share / total if total else 1.0 / len(found) for name, share in found.items()}


def _space(column: pd.Series) -> tuple[Any, dict[Any, Any]]:
    """An Optuna distribution and each trial's value in it: a number where all are, on a log scale where wide."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column) and column.notna().all():
        low, high = float(column.min()), float(column.max())
        return FloatDistribution(low, high, log=low > 0 and high / low >= 10), column.astype(float).to_dict()
    texts = column.map(as_text)
    return CategoricalDistribution(sorted(set(texts))), texts.to_dict()
