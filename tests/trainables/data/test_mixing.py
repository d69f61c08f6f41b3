"""Cutout, mixup and cutmix: shares of the image, and targets that are the shares of the pixels."""

from __future__ import annotations

import pytest
import torch

from trainables.data.augmentation import strengths_of
from trainables.data.mixing import boxes, cut_and_mix

SHAPES = {"grey": (12, 12, 1), "RGB": (12, 12, 3), "3D": (8, 8, 8, 1)}
MIXES = ("mixup", "cutmix", "mixup+cutmix")


@pytest.mark.parametrize("kind", SHAPES)
def test_cutout_cuts_the_named_share(kind: str) -> None:
    images = torch.ones(3000, 1, *SHAPES[kind][:-1])
    cut = boxes(images, torch.full((3000,), 0.5)).float().mean(dim=tuple(range(1, images.ndim)))
    axes = images.ndim - 2
    assert float(cut.max()) == pytest.approx(0.5**axes)
    # with the centre anywhere, what lies in the image is on average s - s²/4 = 0.4375 of each side
    assert float(cut.mean()) == pytest.approx(0.4375**axes, rel=0.06)


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("name", MIXES)
def test_mixed_targets_are_the_shares_of_the_pixels(name: str, kind: str) -> None:
    """Each image is constant and its own class, so that the pixels say what was mixed."""
    n = 40
    images = torch.arange(n).float().view(n, *[1] * (len(SHAPES[kind]))).expand(n, 1, *SHAPES[kind][:-1])
    torch.manual_seed(3)
    inputs, targets = cut_and_mix(images, torch.arange(n), strengths_of(name), n)
    assert torch.allclose(targets.sum(dim=1), torch.ones(n))
    means = inputs.flatten(1).mean(dim=1)
    assert torch.allclose(targets @ torch.arange(n).float(), means, atol=1e-3)
    values = [len(torch.unique(image)) for image in inputs]
    assert set(values) == {"mixup": {1}, "cutmix": {1, 2}, "mixup+cutmix": {1, 2}}[name]
    own = targets[torch.arange(n), torch.arange(n)]
    assert len(torch.unique(own)) > n / 3, "a draw for each image"


def test_mixing_keeps_several_labels() -> None:
    labels = torch.tensor([[1, 0, 1], [1, 1, 0]])
    _, targets = cut_and_mix(torch.zeros(2, 1, 4, 4), labels, {"mixup": 1.0}, 3)
    assert torch.equal(targets[:, 0], torch.ones(2)), "a label that both have stays whole"
    assert targets.shape == (2, 3)
