"""Tests of saliency maps: deletion and insertion against random maps, randomised weights, and agreement of seeds."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from analysis.explanation.saliency import baseline

STEPS = 10
RANDOM_MAPS = 20
# Positions along a side of a random map, as smooth as a class activation map.
GRID = 7
# Spearman's rho from which on two maps are called alike.
ALIKE = 0.5
LEVEL = 0.05
Maps = Callable[[nn.Module, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Faithfulness:
    """Tests of maps.

    deletion, insertion: area under the class's probability, mean over images, as the parts that the map names first are
    removed or put back; p: share of random maps that are as good, each counted once more. randomised: Spearman's rho
    with the map of the same network with drawn weights. seeds: mean rho between replicates' maps; NaN for one. Both are
    NaN where no image has two maps that vary.
    """

    images: int
    networks: int
    deletion: float
    random_deletion: float
    deletion_p: float
    insertion: float
    random_insertion: float
    insertion_p: float
    randomised: float
    seeds: float
    deletion_curve: tuple[float, ...]
    random_deletion_curve: tuple[float, ...]
    insertion_curve: tuple[float, ...]
    random_insertion_curve: tuple[float, ...]

    @property
    def failings(self) -> list[str]:
        """Return the arguments against the maps, in words."""
        failings = []
        if not self.deletion_p <= LEVEL:
            failings.append("taking away what they show hurts no more than taking away a random part")
        if not self.insertion_p <= LEVEL:
            failings.append("putting back what they show helps no more than a random part")
        if self.randomised >= ALIKE:
            failings.append("a network with random weights gives maps like these")
        if self.seeds < ALIKE:
            failings.append("networks that differ by their seed alone show other parts")
        undefined = [self.randomised, *([self.seeds] if self.networks > 1 else [])]
        if any(map(math.isnan, undefined)):
            failings.append("maps are the same everywhere, so that they cannot be compared with those of other weights")
        return failings

    @property
    def verdict(self) -> str:
        """Return the tests' result in a sentence."""
        if self.failings:
            return f"no explanation: {'; '.join(self.failings)}"
        return "stands the tests: deletion and insertion beat random maps, and the maps hang on the weights"


def check_maps(
    models: Sequence[nn.Module], images: Tensor, classes: Tensor, method: Maps, own: Tensor | None = None
) -> Faithfulness:
    """Test a method's maps of the first network; the others are replicates. images: (B, C, [D,] H, W), normalised."""
    model = models[0]
    maps = method(model, images, classes) if own is None else own
    generator = torch.Generator().manual_seed(0)
    random = [random_maps(maps, generator) for _ in range(RANDOM_MAPS)]
    results = {}
    for way, insert in (("deletion", False), ("insertion", True)):
        curve = probability_curve(model, images, classes, maps, insert=insert)
        others = [probability_curve(model, images, classes, one, insert=insert) for one in random]
        areas = np.array([one.mean() for one in others])
        as_good = (areas >= curve.mean()) if insert else (areas <= curve.mean())
        p = (1 + int(as_good.sum())) / (1 + len(others))
        results[way] = (float(curve.mean()), float(areas.mean()), p, curve, np.mean(others, axis=0))
    deletion, insertion = results["deletion"], results["insertion"]
    return Faithfulness(
        len(images), len(models), *deletion[:3], *insertion[:3],
        rank_agreement(maps, method(randomised(model), images, classes)),
        _agreement_of_seeds(models, images, classes, method, maps),
        tuple(deletion[3].tolist()), tuple(deletion[4].tolist()), tuple(insertion[3].tolist()),
        tuple(insertion[4].tolist()),
    )  # fmt: skip


def probability_curve(
    model: nn.Module, images: Tensor, classes: Tensor, maps: Tensor, *, insert: bool, steps: int = STEPS
) -> NDArray[np.float64]:
    """Return the probability of the class after each share of positions was removed or put back, (steps + 1,).

    It is the mean over images.
    """
    flat = maps.flatten(1)
    order = torch.argsort(flat, dim=1, descending=True, stable=True)
    ranks = torch.empty_like(order).scatter_(
        1, order, torch.arange(flat.shape[1], device=order.device).expand_as(order)
    )
    shape = (len(images), 1, *images.shape[2:])
    empty = baseline(images)
    curve = []
    for step in range(steps + 1):
        first = (ranks < round(flat.shape[1] * step / steps)).reshape(shape)
        with torch.no_grad():
            logits = model(torch.where(first == insert, images, empty))
        curve.append(float(torch.softmax(logits, dim=1).gather(1, classes[:, None]).mean()))
    return np.array(curve)


def random_maps(maps: Tensor, generator: torch.Generator) -> Tensor:
    """Draw maps without a meaning that are as smooth as a class activation map."""
    axes = maps.dim() - 1
    small = torch.rand((len(maps), 1, *(GRID,) * axes), generator=generator).to(maps.device)
    mode = "trilinear" if axes == 3 else "bilinear"
    return functional.interpolate(small, size=maps.shape[1:], mode=mode, align_corners=False)[:, 0]


def randomised(model: nn.Module) -> nn.Module:
    """Copy a model with all parameters drawn anew, each from normal numbers with its own mean and deviation; seeded.

    (Adebayo et al. 2018, the randomisation of all layers at once.)
    """
    twin = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in twin.parameters():
            deviation = float(parameter.std()) if parameter.numel() > 1 else 0.0
            drawn = torch.randn(parameter.shape, generator=generator).to(parameter.device)
            parameter.copy_(drawn * deviation + parameter.mean())
    return twin.eval()


def rank_agreement(first: Tensor, second: Tensor) -> float:
    """Return Spearman's rho of two sets of maps, mean over images with varying maps; NaN without any."""
    from scipy.stats import spearmanr

    rhos = []
    for one, two in zip(first.flatten(1).cpu().numpy(), second.flatten(1).cpu().numpy(), strict=True):
        if np.ptp(one) > 0 and np.ptp(two) > 0:
            rhos.append(float(spearmanr(one, two).statistic))
    return float(np.mean(rhos)) if rhos else math.nan


def _agreement_of_seeds(
    models: Sequence[nn.Module], images: Tensor, classes: Tensor, method: Maps, own: Tensor
) -> float:
    maps = [own, *(method(model, images, classes) for model in models[1:])]
    pairs = [rank_agreement(maps[i], maps[j]) for i in range(len(maps)) for j in range(i)]
    known = [rho for rho in pairs if math.isfinite(rho)]
    return float(np.mean(known)) if known else math.nan
