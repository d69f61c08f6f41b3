"""Dividing images into train, val and test, and taking a part of a split: seeded, by class."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from trainables.data.arrays import SPLITS
from trainables.errors import InputError

# The seed of every division that is ours and not published.
SPLIT_SEED = 42
FRACTIONS = (0.70, 0.15, 0.15)


def stratified_split(
    labels: np.ndarray, fractions: tuple[float, float, float], seed: int
) -> dict[str, NDArray[np.int64]]:
    """Return the row numbers of train, val and test; each class is divided in the same proportions. Seeded, sorted."""
    rng = np.random.default_rng(seed)
    parts: dict[str, list[np.ndarray]] = {split: [] for split in SPLITS}
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        cuts = np.round(np.cumsum(fractions)[:2] * len(rows)).astype(int)
        for split, chosen in zip(SPLITS, np.split(rows, cuts), strict=True):
            parts[split].append(chosen)
    return {split: np.sort(np.concatenate(chosen)) for split, chosen in parts.items()}


def grouped_split(
    labels: np.ndarray, groups: np.ndarray, fractions: tuple[float, float, float], seed: int
) -> dict[str, NDArray[np.int64]]:
    """Split like `stratified_split`, but keep groups (patients) whole; a group counts for its commonest class.

    Within a class groups are drawn in random order, and each goes to the split that lacks most images of its share.
    """
    rng = np.random.default_rng(seed)
    names, member = np.unique(groups, return_inverse=True)
    sizes = np.bincount(member)
    classes, inverse = np.unique(labels, return_inverse=True)
    table = np.zeros((len(names), len(classes)), np.int64)
    np.add.at(table, (member, inverse), 1)
    main = table.argmax(axis=1)
    split_of = np.zeros(len(names), np.int64)
    for label in range(len(classes)):
        chosen = rng.permutation(np.flatnonzero(main == label))
        lacking = np.where(np.array(fractions) > 0, np.array(fractions) * sizes[chosen].sum(), -np.inf)
        for group in chosen:
            split_of[group] = int(lacking.argmax())
            lacking[split_of[group]] -= sizes[group]
    return {split: np.flatnonzero(split_of[member] == number) for number, split in enumerate(SPLITS)}


def strata_of(labels: np.ndarray) -> NDArray[np.int64]:
    """Return one class for each image: of several labels, its rarest one, or a class of its own for none."""
    if labels.ndim == 1:
        return labels
    counts = labels.sum(axis=0)
    rarity = np.where(labels == 1, counts, len(labels) + 1)
    return np.where(labels.any(axis=1), rarity.argmin(axis=1), labels.shape[1])


def divide(
    where: str, labels: np.ndarray, groups: np.ndarray | None = None, given: np.ndarray | None = None
) -> tuple[dict[str, NDArray[np.int64]], list[str]]:
    """Return the rows of train, val and test, and notes on how they came about.

    given: the split of each row, where the data are divided; a val or test that lacks is cut from train. Undivided
    data are split 70/15/15. groups: rows of one group stay in one split. where: the data, for messages. Raises
    `InputError` where there is no train, or a group stands in several of the given splits.
    """
    strata = strata_of(labels)
    by = "class" if groups is None else "class and group"
    if given is None:
        rows = _cut(strata, groups, FRACTIONS)
        return rows, [f"{where}: split 70/15/15 by {by} with seed {SPLIT_SEED}"]
    rows = {split: np.flatnonzero(given == split) for split in SPLITS}
    if groups is not None:
        _check_groups(where, groups, rows)
    missing = [split for split in SPLITS if len(rows[split]) == 0]
    if "train" in missing:
        raise InputError(f"{where} has no train, from which others could be cut: name one split train")
    if not missing:
        return rows, []
    _, val, test = FRACTIONS
    shares = (val if "val" in missing else 0.0, test if "test" in missing else 0.0)
    train = rows["train"]
    parts = _cut(strata[train], None if groups is None else groups[train], (1 - sum(shares), *shares))
    cut = {split: train[parts[split]] for split in ("train", *missing)}
    notes = [f"{where} has no {split}: 15 % of train, drawn by {by} with seed {SPLIT_SEED}" for split in missing]
    return {**rows, **cut}, notes


def _cut(
    strata: np.ndarray, groups: np.ndarray | None, fractions: tuple[float, float, float]
) -> dict[str, NDArray[np.int64]]:
    if groups is None:
        return stratified_split(strata, fractions, SPLIT_SEED)
    return grouped_split(strata, groups, fractions, SPLIT_SEED)


def _check_groups(where: str, groups: np.ndarray, rows: dict[str, NDArray[np.int64]]) -> None:
    members = {split: set(groups[chosen].tolist()) for split, chosen in rows.items()}
    for first, second in combinations(SPLITS, 2):
        if shared := sorted(members[first] & members[second]):
            more = ", ..." if len(shared) > 3 else ""
            raise InputError(
                f"{where}: {len(shared)} group(s) stand in both {first} and {second} "
                f"({', '.join(map(str, shared[:3]))}{more}): keep each group in one split, or leave the splits out"
            )


def noisy_labels(labels: np.ndarray, share: float, n_classes: int) -> np.ndarray:
    """Return labels (N,) of which a share is replaced, each by any other class with equal chance.

    Drawn with seed 42, so that every trial meets the same labels; a larger share replaces what a smaller one does, too.
    """
    rng = np.random.default_rng(SPLIT_SEED)
    order, steps = rng.permutation(len(labels)), rng.integers(1, n_classes, len(labels))
    chosen = order[: round(share * len(labels))]
    noisy = labels.copy()
    noisy[chosen] = (noisy[chosen] + steps[chosen]) % n_classes
    return noisy


def stratified_rows(labels: np.ndarray, fraction: float) -> NDArray[np.int64]:
    """Return the sorted rows of a part of a split: the same share of each class, at least one image.

    Multi-label splits are not divided by class.
    Drawn with seed 42, so that every trial meets the same part; a larger part holds the smaller ones.
    """
    rng = np.random.default_rng(SPLIT_SEED)
    classes = labels if labels.ndim == 1 else np.zeros(len(labels), np.int64)
    shuffled = [rng.permutation(np.flatnonzero(classes == label)) for label in np.unique(classes)]
    return np.sort(np.concatenate([rows[: max(1, round(fraction * len(rows)))] for rows in shuffled]))
