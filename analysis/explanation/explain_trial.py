"""The explanation of one trial, as `analysis.explain` writes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from analysis.evaluation.predictions import Predictions, predict_split
from analysis.explanation.faithfulness import Faithfulness, check_maps
from analysis.explanation.features import (
    Duplicate,
    LabelErrors,
    duplicates_across_splits,
    nearest_images,
    penultimate_features,
    principal_components,
    suspected_label_errors,
    umap_embedding,
)
from analysis.explanation.layers import CONVOLUTIONS, outputs_of, target_layer
from analysis.explanation.saliency import METHODS, default_method
from analysis.trial_evaluation.select_trials import ChosenTrial
from trainables.data.arrays import MULTI_LABEL, Data
from trainables.data.batches import DeviceSplit, normalized, to_device
from trainables.errors import InputError, unknown_name
from trainables.network.trained import check_same_data, load_data_of

Real = NDArray[np.float64]
NEAREST = 5
LEADING = ("surest right", "surest wrong", "least sure")
# Images whose maps are made together.
AT_A_TIME = 8


@dataclass(frozen=True)
class ShownImage:
    """An image that is explained: the reason of its choice, and its number in the split."""

    kind: str
    number: int


@dataclass(frozen=True)
class Explanation:
    """The explanation of the trial's first seed. maps: of the shown images, for the class that the network gave."""

    method: str
    layer: str
    predictions: Predictions
    shown: tuple[ShownImage, ...]
    maps: Real
    faithfulness: Faithfulness
    features: Real
    components: Real
    component_shares: Real
    umap: Real | None
    nearest: NDArray[np.int64]
    similarity: Real
    filters: Real | None
    feature_maps: Real | None
    label_errors: LabelErrors
    duplicates: tuple[Duplicate, ...]
    data: Data


def explain_trial(
    chosen: ChosenTrial, method: str | None, samples: int, wanted: str | None, split: str, data_root: Path | None
) -> Explanation:
    """Explain the first seed's network; the others say whether seeds agree. wanted: a class name, or all.

    Raises `InputError`.
    """
    if method is not None and method not in METHODS:
        raise InputError(unknown_name("method", method, METHODS))
    loaded = [chosen.load(seed) for seed in chosen.weights]
    first, data = loaded[0], load_data_of(loaded[0], data_root)
    if data.info.task == MULTI_LABEL:
        raise InputError("analysis.explain takes one class an image: labels of multi-label data are not explained yet")
    for trained in loaded:
        check_same_data(trained, data)
    predictions = predict_split(first, data, split)
    if len(predictions) != len(data.splits[split]):
        raise InputError(f"--split {split}: the trial was trained on a part of it; choose val or test")
    shown = choose_images(predictions, samples, wanted)
    splits = to_device(data, first.normalization, torch.device("cpu"))
    models = [trained.model.to("cpu") for trained in loaded]
    images = _inputs(splits[split], [one.number for one in shown])
    classes = torch.from_numpy(predictions.predicted[[one.number for one in shown]])
    named = method or default_method(models[0], images[:1])

    def maps_of(model: nn.Module, some: Tensor, of: Tensor) -> Tensor:
        pairs = zip(some.split(AT_A_TIME), of.split(AT_A_TIME), strict=True)
        return torch.cat([METHODS[named].function(model, part, given) for part, given in pairs])

    maps = maps_of(models[0], images, classes)
    features = {name: penultimate_features(models[0], splits[name], data.info.n_classes) for name in (split, "train")}
    components, shares = principal_components(features[split])
    numbers = [one.number for one in shown]
    nearest, similarity = nearest_images(features[split][numbers], features["train"], NEAREST + (split == "train"))
    return Explanation(
        method=named,
        layer=_layer_name(models[0], images[:1]) if named.startswith("gradcam") else "",
        predictions=predictions,
        shown=tuple(shown),
        maps=maps.numpy().astype(np.float64),
        faithfulness=check_maps(models, images, classes, maps_of, maps),
        features=features[split],
        components=components,
        component_shares=shares,
        umap=umap_embedding(features[split]),
        nearest=nearest[:, -NEAREST:],
        similarity=similarity[:, -NEAREST:],
        filters=first_filters(models[0]),
        feature_maps=feature_maps(models[0], images[:1]),
        label_errors=suspected_label_errors(predictions.labels, predictions.scores),
        duplicates=tuple(duplicates_across_splits(data)),
        data=data,
    )


def choose_images(predictions: Predictions, samples: int, wanted: str | None) -> list[ShownImage]:
    """Choose the surest right, the surest wrong and the least sure images; then the surest right of each class in turn.

    wanted: only images whose true class has this name. Raises `InputError`.
    """
    names = predictions.class_names
    if wanted is not None and wanted not in names:
        raise InputError(unknown_name("class", wanted, names))
    confidence, correct = predictions.scores.max(axis=1), predictions.correct
    allowed = np.array([wanted in (None, names[label]) for label in predictions.labels])
    order = [int(i) for i in np.argsort(-confidence, kind="stable") if allowed[i]]
    if not order:
        raise InputError(f"--class {wanted}: {predictions.split} has no image of it")
    sorted_out = ([i for i in order if correct[i]], [i for i in order if not correct[i]], order[::-1])
    kinds = dict(zip(LEADING, sorted_out, strict=True))
    for c, name in enumerate(names) if wanted is None else ():
        kinds[f"surest {name}"] = [i for i in kinds["surest right"] if predictions.labels[i] == c]
    chosen: dict[int, ShownImage] = {}
    for kind, numbers in kinds.items():
        for number in [i for i in numbers if i not in chosen][: samples if kind in LEADING else 1]:
            chosen[number] = ShownImage(kind, number)
    return list(chosen.values())


def _inputs(split: DeviceSplit, numbers: Sequence[int]) -> Tensor:
    rows = torch.tensor(list(numbers))
    return normalized(split, split.images.index_select(0, rows)).contiguous()


def _layer_name(model: nn.Module, image: Tensor) -> str:
    layer = target_layer(model, image.clone())
    return f"{layer.name} ({type(layer.module).__name__}, {'×'.join(map(str, layer.grid))} positions)"


def first_filters(model: nn.Module) -> Real | None:
    """Return the first convolution's kernels, (N, H, W), mean over its input channels.

    Volumes are shown at their middle slice. None for a network without convolutions.
    """
    first = next((module for module in model.modules() if isinstance(module, CONVOLUTIONS)), None)
    if first is None:
        return None
    kernels = first.weight.detach().mean(dim=1).numpy().astype(np.float64)
    planes: Real = kernels[:, kernels.shape[1] // 2] if kernels.ndim == 4 else kernels
    return planes


def feature_maps(model: nn.Module, image: Tensor) -> Real | None:
    """Return the first convolution's outputs, (N, H, W), volumes at their middle slice; None without one."""
    first = next((module for module in model.modules() if isinstance(module, CONVOLUTIONS)), None)
    if first is None:
        return None
    with torch.no_grad(), outputs_of(model, [first]) as kept:
        model(image)
    maps = kept[first][0].numpy().astype(np.float64)
    planes: Real = maps[:, maps.shape[1] // 2] if maps.ndim == 4 else maps
    return planes
