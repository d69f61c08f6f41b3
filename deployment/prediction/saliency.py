"""Maps of what speaks for an answer: of a run's network by its gradients, of a model file by occlusion."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.explanation.saliency import METHODS, WINDOWS, default_method
from analysis.trial_evaluation.select_trials import ChosenTrial
from deployment.formats.artefact import BATCH, Artefact

Pixels = NDArray[np.uint8]
Real = NDArray[np.float64]


def explain(artefact: Artefact, chosen: ChosenTrial | None, pixels: Pixels, scores: Real) -> tuple[str, Real]:
    """Return the method's title, and a map (N, [D,] H, W) of each image, for its most probable class.

    chosen: the trial that the file is of, whose weights have gradients. Raises `InputError`.
    """
    classes = scores.argmax(axis=1)
    if chosen is None:
        return "occlusion of the file's probabilities", occlusion_maps(artefact.predict, pixels, classes)
    model = chosen.load(artefact.metadata.seed).model.eval()
    metadata = artefact.metadata.model_copy(update={"input": "normalized"})
    images = torch.from_numpy(metadata.as_input(pixels))
    method = METHODS[default_method(model, images[:1])]
    maps = [method.function(model, images[n : n + 1], torch.tensor([classes[n]])) for n in range(len(images))]
    return method.title, torch.cat(maps).numpy().astype(np.float64)


def occlusion_maps(predict: Callable[[Pixels], Real], pixels: Pixels, classes: NDArray[np.int64]) -> Real:
    """Compute the fall of the class's probability where a window is filled with the image's mean, mean over windows.

    Only what speaks for it. Windows lie half over each other, seven along a side. Source: Zeiler & Fergus (2014).
    """
    maps = np.zeros(pixels.shape[:-1])
    for image, of, found in zip(pixels, classes, maps, strict=True):
        windows = list(windows_of(image.shape[:-1]))
        fill = image.reshape(-1, image.shape[-1]).mean(axis=0).round().astype(np.uint8)
        whole, counts = predict(image[None])[0, of], np.zeros_like(found)
        for start in range(0, len(windows), BATCH):
            part = windows[start : start + BATCH]
            hidden = np.repeat(image[None], len(part), axis=0)
            for copy, window in zip(hidden, part, strict=True):
                copy[window] = fill
            for window, fall in zip(part, whole - predict(hidden)[:, of], strict=True):
                found[window] += fall
                counts[window] += 1
        found /= np.maximum(counts, 1)
    return np.maximum(maps, 0)


def windows_of(sides: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Yield windows that cover all of an image."""
    along = []
    for side in sides:
        size = max(1, -(-side // WINDOWS))
        starts = sorted({*range(0, side - size + 1, max(1, size // 2)), side - size})
        along.append([slice(start, start + size) for start in starts])
    yield from product(*along)
