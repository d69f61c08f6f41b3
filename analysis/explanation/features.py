"""Findings from the penultimate layer: an embedding, nearest training images, label errors, and duplicates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from analysis.explanation.layers import feature_module
from trainables.data.arrays import Data
from trainables.data.batches import DeviceSplit, batches
from trainables.data.duplicates import rows_by_image
from trainables.training.evaluation import evaluation_batch

Real = NDArray[np.float64]
SIMULATIONS = 200


@torch.no_grad()
def penultimate_features(model: nn.Module, split: DeviceSplit, n_classes: int) -> Real:
    """Return the input of a network's last linear layer for each image: (N, features)."""
    features: list[Tensor] = []
    size = evaluation_batch(model, split)
    first, _ = next(iter(batches(split, 1)))
    module = feature_module(model, first, n_classes)
    handle = module.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0].detach().flatten(1).cpu()))
    try:
        for images, _ in batches(split, size):
            model(images)
    finally:
        handle.remove()
    return torch.cat(features).numpy().astype(np.float64)


def principal_components(features: Real) -> tuple[Real, Real]:
    """Return the first two principal components, (N, 2), and the share of the variance of each."""
    centred = features - features.mean(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    total = float((values**2).sum())
    flat = np.zeros((len(features), 2))
    shown = min(2, len(values))
    flat[:, :shown] = left[:, :shown] * values[:shown]
    shares = np.zeros(2)
    shares[:shown] = values[:shown] ** 2 / total if total else 0.0
    return flat, shares


def umap_embedding(features: Real) -> Real | None:
    """Return UMAP in two dimensions, (N, 2), seeded; None where the package umap-learn is not installed."""
    try:
        from umap import UMAP
    except ImportError:
        return None
    embedding: Real = UMAP(random_state=0, n_jobs=1).fit_transform(features)
    return embedding


def nearest_images(of: Real, among: Real, count: int = 5) -> tuple[NDArray[np.int64], Real]:
    """Return the images with the most similar features: their numbers and cosine similarities, (N, count) each."""
    left, right = (values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12) for values in (of, among))
    similar = left @ right.T
    nearest = np.argsort(-similar, axis=1, kind="stable")[:, :count]
    return nearest, np.take_along_axis(similar, nearest, axis=1)


@dataclass(frozen=True)
class LabelErrors:
    """Images whose label the network doubts, the most doubtful first, and its own answers.

    expected: how many there would be if every label were right and drawn by the probabilities, with a 95 % range.
    """

    images: tuple[int, ...]
    labels: tuple[int, ...]
    believed: tuple[int, ...]
    margins: tuple[float, ...]
    expected: float
    expected_low: float
    expected_high: float

    @property
    def verdict(self) -> str:
        """Return the result in a sentence."""
        more = len(self.images) > self.expected_high
        said = "more than" if more else "no more than"
        return (
            f"{len(self.images)} labels are doubted, {said} right labels would give ({self.expected:.1f}, "
            f"{self.expected_low:.0f} to {self.expected_high:.0f})"
        )


def doubted_labels(labels: NDArray[np.int64], scores: Real) -> NDArray[np.int64]:
    """Return the numbers of the images whose label confident learning doubts (Northcutt et al. 2021, section 3.1).

    An image counts for the class with the highest probability among those that reach the mean probability that images
    with that label have; its label is doubted where that is another class.
    """
    thresholds = np.array([scores[labels == c, c].mean() if (labels == c).any() else np.inf
                           for c in range(scores.shape[1])])  # fmt: skip
    reached = np.where(scores >= thresholds, scores, -1.0)
    best = reached.argmax(axis=1)
    return np.flatnonzero((reached.max(axis=1) >= 0) & (best != labels))


def suspected_label_errors(labels: NDArray[np.int64], scores: Real) -> LabelErrors:
    """Return doubted labels with their margins (the believed class's probability less the label's), and the null."""
    rows = doubted_labels(labels, scores)
    others = scores[rows].copy()
    others[np.arange(len(rows)), labels[rows]] = -1
    believed = others.argmax(axis=1) if len(rows) else np.zeros(0, np.int64)
    margins = scores[rows, believed] - scores[rows, labels[rows]]
    order = np.argsort(-margins, kind="stable")
    rng = np.random.default_rng(0)
    steps = np.cumsum(scores, axis=1)
    counts = []
    for _ in range(SIMULATIONS):
        drawn = np.minimum((rng.random((len(scores), 1)) * steps[:, -1:] > steps).sum(axis=1), scores.shape[1] - 1)
        counts.append(len(doubted_labels(drawn, scores)))
    low, high = np.quantile(counts, [0.025, 0.975])
    return LabelErrors(
        tuple(map(int, rows[order])), tuple(map(int, labels[rows[order]])), tuple(map(int, believed[order])),
        tuple(map(float, margins[order])), float(np.mean(counts)), float(low), float(high),
    )  # fmt: skip


@dataclass(frozen=True)
class Duplicate:
    """Byte-identical images of two splits."""

    splits: tuple[str, str]
    images: tuple[int, int]
    labels_agree: bool


def duplicates_across_splits(data: Data) -> list[Duplicate]:
    """Return every image of a split that stands byte for byte in an earlier one (train, val, test)."""
    first: dict[bytes, tuple[str, int]] = {}
    duplicates = []
    for name, split in data:
        rows = rows_by_image(split.stored)
        again = ((row, digest) for digest in rows.keys() & first.keys() for row in rows[digest])
        for number, digest in sorted(again):
            other, there = first[digest]
            agree = bool(np.all(data.splits[other].labels[there] == split.labels[number]))
            duplicates.append(Duplicate((other, name), (there, number), agree))
        first = {**{digest: (name, numbers[0]) for digest, numbers in rows.items()}, **first}
    return duplicates


def counts_by_splits(duplicates: list[Duplicate]) -> Mapping[str, int]:
    """Count duplicates by splits: `{"train and test": 1}`."""
    names = [" and ".join(one.splits) for one in duplicates]
    return {name: names.count(name) for name in dict.fromkeys(names)}
