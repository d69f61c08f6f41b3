"""Does the complexity of the weights go with how well they do? Rank correlations over trials, by type and by depth."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.comparison.results import GAPS, Results
from analysis.comparison.statistics import Correlation, benjamini_hochberg, spearman
from analysis.table import OF_MODELS, model_measures
from trainables.config import TrialConfig
from trainables.errors import InputError, unknown_name

OUTCOMES = ("val_auc", "val_acc", "test_auc", "test_acc", *GAPS)
CONTROLS = ("parameters", "epochs_trained")
DEPTHS = ("first third", "middle third", "last third")
MATRICES = "weight matrices"


@dataclass(frozen=True)
class Association:
    """A measure and an outcome: plain and with parameters and epochs taken out, each p corrected with all others.

    part: `model`, or a module type or a third of the depth. controls: those that vary.
    """

    part: str
    measure: str
    outcome: str
    plain: Correlation
    plain_corrected: float
    partial: Correlation
    partial_corrected: float
    controls: tuple[str, ...]


def trial_means(trials: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """One row per trial: means over its replicates, which are no independent observations. inf counts as undefined."""
    numbers = trials[list(columns)].astype(float).replace([math.inf, -math.inf], math.nan)
    keys = [trials["trial"], trials["block"]]
    return numbers.groupby(keys, sort=False).mean().reset_index()


def associate_models(results: Results, hold: Sequence[str] | None = None) -> list[Association]:
    """Every measure of the model with every outcome, over finished trials, within blocks.

    hold: numeric fields that are held beside parameters and epochs; by default the nuisance fields, since what they
    move together would seem to be related. Raises `InputError`.
    """
    trials = results.trials[results.trials["finished"]]
    measures = [name for name in (*model_measures(), *OF_MODELS) if trials[name].notna().any()]
    controls = _controls(results, hold)
    means = trial_means(trials, [*measures, *OUTCOMES, *controls])
    return _corrected(_associate(means, "model", measures, OUTCOMES, controls))


def _controls(results: Results, hold: Sequence[str] | None) -> tuple[str, ...]:
    trials = results.trials
    numeric = [
        name
        for name in TrialConfig.model_fields
        if pd.api.types.is_numeric_dtype(trials[name]) and trials[name].notna().all()
    ]
    for name in hold or ():
        if name not in numeric:
            raise InputError(unknown_name("numeric field to hold", name, numeric))
    held = [name for name in results.nuisance if name in numeric] if hold is None else hold
    return tuple(dict.fromkeys((*CONTROLS, *held)))


def associate_parts(results: Results, outcomes: Sequence[str], hold: Sequence[str] | None = None) -> list[Association]:
    """The same for each module type and each third of the depth, from the best weights of each tensor."""
    trials = results.trials[results.trials["finished"]]
    weights = results.frame("weights")
    weights = weights[(weights["stage"] == "best") & weights["trial"].isin(trials["trial"])]
    measures = [name for name in model_measures() if weights[name].notna().any()]
    controls = _controls(results, hold)
    rest = trial_means(trials, [*outcomes, *controls])
    found: list[Association] = []
    for part, rows in parts(weights):
        means = part_means(rows, measures).merge(rest, on="trial")
        found += _associate(means, part, measures, outcomes, controls)
    return _corrected(found)


def parts(weights: pd.DataFrame) -> Iterable[tuple[str, pd.DataFrame]]:
    """The rows of each module type, and those of weight matrices in each third of the depth."""
    for kind, rows in weights.groupby("module_type", sort=False):
        yield str(kind), rows
    matrices = weights[weights["shape"].map(len) >= 2]
    if matrices.empty:
        return
    place = matrices.groupby(["trial", "seed"])["position"].rank(method="dense")
    last = place.groupby([matrices["trial"], matrices["seed"]]).transform("max")
    third = np.minimum(3.0 * (place - 1.0) / last, 2.0).astype(int)
    for number, name in enumerate(DEPTHS):
        if (third == number).any():
            yield name, matrices[third == number]


def part_means(rows: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """One row per trial: means over its tensors and replicates, weighted by size; undefined values left out."""
    sizes = rows["shape"].map(lambda shape: math.prod(int(side) for side in shape)).astype(float)
    values = rows[list(measures)].astype(float).replace([math.inf, -math.inf], math.nan)
    shares = values.notna().mul(sizes, axis=0).groupby(rows["trial"]).sum()
    sums = values.mul(sizes, axis=0).groupby(rows["trial"]).sum()
    return (sums / shares.where(shares > 0)).reset_index()


def _associate(
    means: pd.DataFrame, part: str, measures: Sequence[str], outcomes: Sequence[str], controls: Sequence[str]
) -> list[Association]:
    blocks = means["block"].to_numpy()
    varying = tuple(name for name in controls if (means.groupby("block")[name].nunique() > 1).any())
    held = [means[name].to_numpy() for name in varying]
    found = []
    for measure in measures:
        for outcome in outcomes:
            x, y = means[measure].to_numpy(), means[outcome].to_numpy()
            plain = spearman(x, y, blocks)
            partial = spearman(x, y, blocks, held) if held else plain
            found.append(Association(part, measure, outcome, plain, math.nan, partial, math.nan, varying))
    return found


def _corrected(found: Sequence[Association]) -> list[Association]:
    """Benjamini-Hochberg over all associations that were looked at together."""
    plain = benjamini_hochberg([association.plain.p for association in found])
    partial = benjamini_hochberg([association.partial.p for association in found])
    return [
        replace(association, plain_corrected=p, partial_corrected=q)
        for association, p, q in zip(found, plain, partial, strict=True)
    ]
