"""Correlations of the complexity of weights with performance: by rank over trials, by module type and by depth."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.comparison.labels import hashable
from analysis.comparison.results import GAPS, Results
from analysis.statistics.estimates_and_tests import benjamini_hochberg
from analysis.statistics.rank_correlation import Correlation, spearman
from analysis.table import OF_MODELS, model_measures
from analysis.weights.matrices import is_matrix
from trainables.errors import InputError, unknown_name

OUTCOMES = ("val_auc", "val_acc", "test_auc", "test_acc", *GAPS)
CONTROLS = ("parameters", "epochs_trained")
# columns of a tensor that say where it stands
PLACE = ("stage", "tensor", "position", "module_type", "shape")
# The stage of the weights that go with a trial's metrics.
STAGES = {"best": "best", "last": "final"}
DEPTHS = ("first third", "middle third", "last third")
# Trials that a block of equal settings should have on average.
BLOCK_SIZE = 3


@dataclass(frozen=True)
class Association:
    """A measure and an outcome: plain, and with fields held; each p corrected with all others.

    part: `model`, or a module type or a third of the depth. blocked: fields that are equal wherever trials are
    compared. adjusted: fields with too many values for that, whose ranks are regressed out. unheld: words with too many
    values for both.
    """

    part: str
    measure: str
    outcome: str
    plain: Correlation
    plain_corrected: float
    partial: Correlation
    partial_corrected: float
    blocked: tuple[str, ...]
    adjusted: tuple[str, ...]
    unheld: tuple[str, ...] = ()


@dataclass(frozen=True)
class Held:
    """Fields as they are held: a label of each trial's block, the columns adjusted for, and the names of each."""

    labels: np.ndarray
    controls: tuple[np.ndarray, ...]
    blocked: tuple[str, ...]
    adjusted: tuple[str, ...]
    unheld: tuple[str, ...]


def trial_means(trials: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return one row per trial: means over its replicates, which are no independent observations.

    inf counts as undefined, and a mean is undefined where one of its values is: others are of other seeds.
    """
    numbers = trials[list(columns)].astype(float).replace([math.inf, -math.inf], math.nan)
    groups = numbers.groupby([trials["trial"], trials["block"]], sort=False)
    means = groups.mean()
    return means.where(groups.count().eq(groups.size(), axis=0)).reset_index()


def associate_models(results: Results, hold: Sequence[str] | None = None) -> list[Association]:
    """Correlate every measure of the model with every outcome, over finished trials, within blocks.

    hold: fields that are held beside parameters and epochs; by default the nuisance fields, since what they move
    together would seem to be related. Raises `InputError`.
    """
    trials = results.trials[results.trials["finished"]]
    own = {*results.fields, *results.metrics}
    known = [name for name in (*model_measures(), *OF_MODELS) if name not in own]
    measures = [name for name in known if trials[name].notna().any()]
    outcomes = outcomes_of(results)
    means = trial_means(trials, [*measures, *outcomes])
    return _corrected(_associate(means, "model", measures, outcomes, _settings(results, hold)))


def outcomes_of(results: Results) -> tuple[str, ...]:
    """Return what complexity is correlated with: AUC, accuracy and their gaps; else all that is of val and test."""
    known = [name for name in results.metrics if name.startswith(("val_", "test_"))]
    usual = tuple(name for name in OUTCOMES if name in known or name in GAPS)
    return usual if any(name in known for name in OUTCOMES) else tuple(known)


def headline_outcomes(results: Results) -> tuple[str, ...]:
    """Return the metric that selects and, beside it, the gap of accuracies; else the first metric of test."""
    if set(GAPS["gap_acc"]) <= set(results.metrics):
        return results.metric, "gap_acc"
    return results.metric, *[name for name in results.metrics if name.startswith("test_")][:1]


def _settings(results: Results, hold: Sequence[str] | None) -> pd.DataFrame:
    """Return the fields to hold of each trial, those with fewest values first.

    Raises `InputError` for an unknown name.
    """
    for name in hold or ():
        if name not in results.fields or name == "seeds":
            raise InputError(unknown_name("field to hold", name, results.fields))
    controls = (name for name in CONTROLS if results.table[name].null_count < len(results.table))
    names = dict.fromkeys((*controls, *(results.nuisance if hold is None else hold)))
    settings = results.trials.drop_duplicates("trial").set_index("trial")[list(names)]
    settings["epochs_trained"] = results.trials.groupby("trial")["epochs_trained"].mean()
    plain = settings.map(lambda value: hashable(value.tolist() if hasattr(value, "tolist") else value))
    return plain[sorted(names, key=lambda name: len(set(plain[name])))]


def associate_parts(results: Results, outcomes: Sequence[str], hold: Sequence[str] | None = None) -> list[Association]:
    """Associate each module type and each third of the depth, from the weights of each tensor at the judged epoch."""
    trials = results.trials[results.trials["finished"]]
    weights = results.frame("weights", [*PLACE, *model_measures()], [STAGES[results.epoch]])
    weights = weights[weights["trial"].isin(trials["trial"])]
    measures = [name for name in model_measures() if weights[name].notna().any()]
    settings = _settings(results, hold)
    rest = trial_means(trials, list(outcomes))
    associations: list[Association] = []
    for part, rows in parts(weights):
        means = part_means(rows, measures).merge(rest, on="trial")
        associations += _associate(means, part, measures, outcomes, settings)
    return _corrected(associations)


def parts(weights: pd.DataFrame) -> Iterable[tuple[str, pd.DataFrame]]:
    """Yield the rows of each module type, and those of weight matrices in each third of the depth."""
    for kind, rows in weights.groupby("module_type", sort=False):
        yield str(kind), rows
    matrices = weights[matrix_rows(weights)]
    if matrices.empty:
        return
    rank = matrices.groupby(["trial", "seed"])["position"].rank(method="dense")
    last = rank.groupby([matrices["trial"], matrices["seed"]]).transform("max")
    third = np.minimum(3.0 * (rank - 1.0) / last, 2.0).astype(int)
    for number, name in enumerate(DEPTHS):
        if (third == number).any():
            yield name, matrices[third == number]


def matrix_rows(weights: pd.DataFrame) -> pd.Series:
    """Tell for each row of `weights.parquet` whether it is of a weight matrix that multiplies."""
    names = zip(weights["tensor"], weights["shape"], weights["module_type"], strict=True)
    return pd.Series([is_matrix(*name) for name in names], weights.index, dtype=bool)


def part_means(rows: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """Return one row per trial: means over its tensors and replicates, weighted by size; undefined values left out."""
    sizes = rows["shape"].map(lambda shape: math.prod(int(side) for side in shape)).astype(float)
    values = rows[list(measures)].astype(float).replace([math.inf, -math.inf], math.nan)
    shares = values.notna().mul(sizes, axis=0).groupby(rows["trial"]).sum()
    sums = values.mul(sizes, axis=0).groupby(rows["trial"]).sum()
    return (sums / shares.where(shares > 0)).reset_index()


def _associate(
    means: pd.DataFrame, part: str, measures: Sequence[str], outcomes: Sequence[str], settings: pd.DataFrame
) -> list[Association]:
    blocks = np.unique(means["block"], return_inverse=True)[1]
    held = hold_fields(blocks, settings.loc[means["trial"]])
    associations = []
    for measure in measures:
        for outcome in outcomes:
            x, y = means[measure].to_numpy(), means[outcome].to_numpy()
            plain = spearman(x, y, blocks)
            nothing_held = not (held.blocked or held.adjusted)
            partial = plain if nothing_held else spearman(x, y, held.labels, held.controls)
            names = (held.blocked, held.adjusted, held.unheld)
            associations.append(Association(part, measure, outcome, plain, math.nan, partial, math.nan, *names))
    return associations


def hold_fields(blocks: np.ndarray, settings: pd.DataFrame) -> Held:
    """Hold each field that varies: as further blocks while these have 3 trials on average, else by its rank.

    blocks: a label of each trial. settings: the fields to hold, a row a trial, the first ones first.
    """
    labels = list(blocks)
    blocked, adjusted, unheld, controls = [], [], [], []
    for name in settings:
        column = list(settings[name])
        finer = list(zip(labels, column, strict=True))
        if len(set(finer)) == len(set(labels)):
            # The field does not vary within blocks.
            continue
        if BLOCK_SIZE * len(set(finer)) <= len(finer):
            labels = finer
            blocked.append(str(name))
        elif all(isinstance(value, int | float) for value in column):
            controls.append(np.asarray(column, np.float64))
            adjusted.append(str(name))
        else:
            unheld.append(str(name))
    codes = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    numbers = np.array([codes[label] for label in labels], int)
    return Held(numbers, tuple(controls), tuple(blocked), tuple(adjusted), tuple(unheld))


def _corrected(associations: Sequence[Association]) -> list[Association]:
    """Correct by Benjamini-Hochberg over all associations that were looked at together."""
    plain = benjamini_hochberg([association.plain.p for association in associations])
    partial = benjamini_hochberg([association.partial.p for association in associations])
    return [
        replace(association, plain_corrected=p, partial_corrected=q)
        for association, p, q in zip(associations, plain, partial, strict=True)
    ]
