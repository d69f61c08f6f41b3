"""Tests of faithfulness of maps, and of label errors and duplicates found by features."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn

from analysis.explanation.faithfulness import check_maps, probability_curve, randomised, rank_agreement
from analysis.explanation.features import (
    counts_by_splits,
    doubted_labels,
    duplicates_across_splits,
    nearest_images,
    principal_components,
    suspected_label_errors,
)
from trainables.data.datasets import load

RNG = np.random.default_rng(6)


class Corner(nn.Module):
    """Says class 1 as far as the upper left quarter of an image is bright."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.0, 6.0]))

    def forward(self, x: Tensor) -> Tensor:
        return (x[:, 0, :7, :7].mean(dim=(1, 2)) - 0.5)[:, None] * self.weight


def bright() -> tuple[Tensor, Tensor]:
    images = torch.zeros(4, 1, 14, 14)
    images[:, :, :7, :7] = 1.0
    return images, torch.ones(4, dtype=torch.long)


def corner_map(_: nn.Module, images: Tensor, __: Tensor) -> Tensor:
    maps = torch.rand(images.shape[0], *images.shape[2:], generator=torch.Generator().manual_seed(3)) * 0.01
    maps[:, :7, :7] += 1
    return maps


def test_a_true_map_beats_random_ones_and_a_false_one_does_not() -> None:
    images, classes = bright()
    true = check_maps([Corner()], images, classes, corner_map)
    assert true.deletion < true.random_deletion
    assert true.insertion > true.random_insertion
    assert (true.deletion_p, true.insertion_p) == (1 / 21, 1 / 21)
    false = check_maps([Corner()], images, classes, lambda m, i, c: corner_map(m, i, c).flip(1, 2))
    assert false.deletion_p > 0.05
    assert "taking away what they show" in false.verdict


def test_a_map_that_does_not_hang_on_the_weights_is_no_explanation() -> None:
    images, classes = bright()
    found = check_maps([Corner()], images, classes, corner_map)
    assert found.randomised == 1.0
    assert "random weights gives maps like these" in found.verdict
    assert math.isnan(found.seeds)


def test_replicates_that_show_other_parts_are_said() -> None:
    images, classes = bright()
    one, other = Corner(), Corner()

    def maps_of(model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
        own = corner_map(model, images, classes)
        return own.flip(1, 2) if model is other else own

    found = check_maps([one, other], images, classes, maps_of)
    assert found.seeds < 0.5
    assert "differ by their seed alone" in found.verdict


def test_maps_that_do_not_vary_cannot_be_compared_and_are_no_explanation() -> None:
    images, classes = bright()
    flat = check_maps([Corner(), Corner()], images, classes, lambda m, i, c: torch.zeros(len(i), 14, 14))
    assert math.isnan(flat.randomised)
    assert math.isnan(flat.seeds)
    assert math.isnan(rank_agreement(torch.zeros(2, 4, 4), torch.rand(2, 4, 4)))
    assert "cannot be compared" in flat.verdict
    assert "random weights gives maps like these" not in flat.verdict


def test_curves_run_from_the_whole_image_to_none_and_back() -> None:
    images, classes = bright()
    model = Corner()
    whole = float(torch.softmax(model(images), 1)[0, 1].detach())
    maps = corner_map(model, images, classes)
    deletion = probability_curve(model, images, classes, maps, insert=False)
    insertion = probability_curve(model, images, classes, maps, insert=True)
    np.testing.assert_allclose([deletion[0], insertion[-1]], whole, atol=1e-6)
    assert deletion[-1] == insertion[0]


def test_a_randomised_network_keeps_its_shape_and_its_original() -> None:
    model = nn.Linear(5, 3)
    before = model.weight.detach().clone()
    twin = randomised(model)
    assert torch.equal(model.weight, before)
    assert not torch.allclose(twin.weight, before)  # type: ignore[arg-type]
    assert rank_agreement(before[None], before[None]) == 1.0


def test_components_are_scikit_learns() -> None:
    features = RNG.normal(size=(50, 7)) @ RNG.normal(size=(7, 7))
    theirs = PCA(2).fit(features)
    flat, shares = principal_components(features)
    np.testing.assert_allclose(np.abs(flat), np.abs(theirs.transform(features)), atol=1e-9)
    np.testing.assert_allclose(shares, theirs.explained_variance_ratio_, atol=1e-9)
    assert principal_components(np.ones((4, 1)))[1].tolist() == [0.0, 0.0]


def test_the_nearest_image_to_itself_is_itself() -> None:
    features = RNG.normal(size=(20, 4))
    numbers, similar = nearest_images(features, features, 3)
    assert numbers[:, 0].tolist() == list(range(20))
    np.testing.assert_allclose(similar[:, 0], 1, atol=1e-12)


def test_flipped_labels_are_doubted_and_right_ones_are_not_more_than_chance() -> None:
    logits = RNG.normal(size=(600, 3)) * 2.5
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    right = (RNG.random((600, 1)) > scores.cumsum(axis=1)).sum(axis=1).clip(0, 2)
    honest = suspected_label_errors(right, scores)
    assert honest.expected_low <= len(honest.images) <= honest.expected_high
    sure = np.argsort(-scores.max(axis=1))[:60]
    flipped = right.copy()
    flipped[sure] = (scores[sure].argmax(axis=1) + 1) % 3
    found = suspected_label_errors(flipped, scores)
    assert set(sure.tolist()) <= set(found.images)
    assert "more than" in found.verdict
    assert "no more" not in found.verdict
    assert list(found.margins) == sorted(found.margins, reverse=True)


def test_doubted_labels_by_hand() -> None:
    """Thresholds: 0.9 and 0.7 of class 0 give 0.8; 0.8 and 0.1 of class 1 give 0.45."""
    labels = np.array([0, 0, 1, 1])
    scores = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.9, 0.1]])
    assert doubted_labels(labels, scores).tolist() == [3]
    assert suspected_label_errors(labels, scores).believed == (0,)


def test_images_that_stand_in_two_splits_are_found() -> None:
    data = load("digits")
    images = data.splits["test"].images.copy()
    images[4] = data.splits["train"].images[9]
    data = replace(data, splits={**data.splits, "test": replace(data.splits["test"], images=images)})
    found = [one for one in duplicates_across_splits(data) if one.images == (9, 4)]
    assert [one.splits for one in found] == [("train", "test")]
    assert counts_by_splits(found) == {"train and test": 1}
