"""Statistics of the outputs of a trained model's layers, and whether their sums are kept, for `run_stats.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from analysis.behaviour.activation_statistics import activation_statistics
from analysis.behaviour.layers import with_validation_split
from analysis.weights.files import Reader, read_tensors
from trainables.data.arrays import Data
from trainables.data.batches import subset
from trainables.layers.stochastic_matrices import column_sums

# Images of the validation split at most: enough for means and sums, and quick for large networks on a CPU.
IMAGES = 512


def layer_statistics(
    path: Path,
    data_root: Path | None = None,
    images: int = IMAGES,
    data: Data | None = None,
    read: Reader = read_tensors,
    dataset: str | None = None,
) -> dict[str, Any]:
    """Measure activations by layer, before and after, on validation images, and the sums of stochastic columns.

    path: a weights file of a run. images: how many at most; the same share of each class, always the same ones.

    data: that of the file's config, where it is loaded already. read: as `read_learned` has it. dataset: where the data
    lie now, if not where the file says. Ready for JSON, where what is undefined is None. Raises `InputError` where the
    file does not say how it was trained, or where the data is another.
    """
    # One process runs on each processor.
    torch.set_num_threads(1)
    model, split, _ = with_validation_split(path, data_root, data, read, dataset)
    # By class and seeded: the first images of a folder are all of one class.
    chosen = subset(split, images / len(split)) if len(split) > images else split
    return {
        "images": len(chosen),
        "activations": activation_statistics(model, chosen),
        "column_sums": {layer: list(sums) for layer, sums in column_sums(model).items()},
    }
