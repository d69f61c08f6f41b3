"""Is a saliency map true? Deletion and insertion against random maps, randomised weights, and agreement of seeds."""

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
GRID = 7  # positions along a side of a random map, as smooth as a class activation map
ALIKE = 0.5  # Spearman's rho from which on two maps are called alike
LEVEL = 0.05
Maps = Callable[[nn.Module, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Faithfulness:
    """deletion, insertion: area under the class's probability, mean over images, as the parts that the map names first
    are taken away or put back; p: share of random maps that are as good, each counted once more. randomised: Spearman's
    rho with the map of the same network with drawn weights. seeds: mean rho between replicates' maps; NaN for one."""

    images: int
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
        """What speaks against the maps."""
        found = []
        if not self.deletion_p <= LEVEL:
            found.append("taking away what they show hurts no more than taking away a random part")
        if not self.insertion_p <= LEVEL:
            found.append("putting back what they show helps no more than a random part")
        if not self.randomised < ALIKE:
            found.append("a network with random weights gives maps like these")
        if self.seeds < ALIKE:
            found.append("networks that differ by their seed alone show other parts")
        return found

    @property
    def verdict(self) -> str:
        """The maps in a sentence."""
        if self.failings:
            return f"no explanation: {'; '.join(self.failings)}"
        return "stands the tests: deletion and insertion beat random maps, and the maps hang on the weights"


def check_maps(
    models: Sequence[nn.Module], images: Tensor, classes: Tensor, method: Maps, own: Tensor | None = None
) -> Faithfulness:
    """Tests a method's maps of the first network; the others are replicates. images: (B, C, [D,] H, W), normalised."""
    model = models[0]
    maps = method(model, images, classes) if own is None else own
    generator = torch.Generator().manual_seed(0)
    random = [random_maps(maps, generator) for _ in range(RANDOM_MAPS)]
    found = {}
    for way, insert in (("deletion", False), ("insertion", True)):
        curve = probability_curve(model, images, classes, maps, insert=insert)
        others = [probability_curve(model, images, classes, one, insert=insert) for one in random]
        areas = np.array([one.mean() for one in others])
        as_good = (areas >= curve.mean()) if insert else (areas <= curve.mean())
        p = (1 + int(as_good.sum())) / (1 + len(others))
        found[way] = (float(curve.mean()), float(areas.mean()), p, curve, np.mean(others, axis=0))
    deletion, insertion = found["deletion"], found["insertion"]
    return Faithfulness(
        len(images), *deletion[:3], *insertion[:3], rank_agreement(maps, method(randomised(model), images, classes)),
        _agreement_of_seeds(models, images, classes, method, maps),
        tuple(deletion[3].tolist()), tuple(deletion[4].tolist()), tuple(insertion[3].tolist()),
        tuple(insertion[4].tolist()),
    )  # fmt: skip


def probability_curve(
    model: nn.Module, images: Tensor, classes: Tensor, maps: Tensor, *, insert: bool, steps: int = STEPS
) -> NDArray[np.float64]:
    """Probability of the class, mean over images, after each share of positions was taken away or put back:
    (steps + 1,)."""
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
    """Maps without a meaning that are as smooth as a class activation map."""
    axes = maps.dim() - 1
    small = torch.rand((len(maps), 1, *(GRID,) * axes), generator=generator).to(maps.device)
    mode = "trilinear" if axes == 3 else "bilinear"
    return functional.interpolate(small, size=maps.shape[1:], mode=mode, align_corners=False)[:, 0]


def randomised(model: nn.Module) -> nn.Module:
    """A copy with all parameters drawn anew, each from normal numbers with its own mean and spread; seeded.

    (Adebayo et al. 2018, the randomisation of all layers at once.)
    """
    twin = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in twin.parameters():
            spread = float(parameter.std()) if parameter.numel() > 1 else 0.0
            drawn = torch.randn(parameter.shape, generator=generator).to(parameter.device)
            parameter.copy_(drawn * spread + parameter.mean())
    return twin.eval()


def rank_agreement(first: Tensor, second: Tensor) -> float:
    """Spearman's rho of two sets of maps, mean over images; images whose map is all alike are left out (NaN if all)."""
    from scipy.stats import spearmanr

    found = []
    for one, two in zip(first.flatten(1).cpu().numpy(), second.flatten(1).cpu().numpy(), strict=True):
        if np.ptp(one) > 0 and np.ptp(two) > 0:
            found.append(float(spearmanr(one, two).statistic))
    return float(np.mean(found)) if found else 0.0


def _agreement_of_seeds(
    models: Sequence[nn.Module], images: Tensor, classes: Tensor, method: Maps, own: Tensor
) -> float:
    maps = [own, *(method(model, images, classes) for model in models[1:])]
    pairs = [rank_agreement(maps[i], maps[j]) for i in range(len(maps)) for j in range(i)]
    return float(np.mean(pairs)) if pairs else math.nan
