"""Dividing images into train, val and test, and taking a part of a split: seeded, by class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trainables.data.arrays import SPLITS

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


def stratified_rows(labels: np.ndarray, fraction: float) -> NDArray[np.int64]:
    """Return the sorted rows of a part of a split: the same share of each class, at least one image.

    Multi-label splits are not divided by class.
    Drawn with seed 42, so that every trial meets the same part; a larger part holds the smaller ones.
    """
    rng = np.random.default_rng(SPLIT_SEED)
    classes = labels if labels.ndim == 1 else np.zeros(len(labels), np.int64)
    shuffled = [rng.permutation(np.flatnonzero(classes == label)) for label in np.unique(classes)]
    return np.sort(np.concatenate([rows[: max(1, round(fraction * len(rows)))] for rows in shuffled]))
