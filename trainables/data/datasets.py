"""The datasets, one entry each, and `load`, which turns a name into checked arrays. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from trainables.data.arrays import Data
from trainables.errors import InputError, unknown_name


@dataclass(frozen=True)
class Dataset:
    """How a dataset is found: its loader as "module:function", the sizes it comes in, and where it is from."""

    loader: str
    sizes: tuple[int, ...]
    meaning: str
    licence: str
    citation: str


MEDMNIST = "trainables.data.medmnist:load_medmnist"
IDX = "trainables.data.mnist:load_mnist"
SIZES_2D = (28, 64, 128, 224)
YANG = "Yang et al., Scientific Data 10, 41 (2023)"

DATASETS: dict[str, Dataset] = {
    "digits": Dataset(
        "trainables.data.digits:load_digits", (8,), "handwritten digits, grey, embedded", "CC BY 4.0",
        "Alpaydin & Kaynak, UCI Machine Learning Repository (1998)",
    ),
    "mnist": Dataset(IDX, (28,), "handwritten digits, grey", "CC BY-SA 3.0", "LeCun et al., Proc. IEEE 86 (1998)"),
    "fashionmnist": Dataset(IDX, (28,), "articles of clothing, grey", "MIT", "Xiao et al., arXiv:1708.07747 (2017)"),
    "pathmnist": Dataset(MEDMNIST, SIZES_2D, "colon pathology, RGB, 9 classes", "CC BY 4.0", YANG),
    "chestmnist": Dataset(MEDMNIST, SIZES_2D, "chest X-ray, grey, 14 labels", "CC BY 4.0", YANG),
    "dermamnist": Dataset(MEDMNIST, SIZES_2D, "dermatoscope, RGB, 7 classes", "CC BY-NC 4.0", YANG),
    "octmnist": Dataset(MEDMNIST, SIZES_2D, "retinal OCT, grey, 4 classes", "CC BY 4.0", YANG),
    "pneumoniamnist": Dataset(MEDMNIST, SIZES_2D, "chest X-ray, grey, binary", "CC BY 4.0", YANG),
    "retinamnist": Dataset(MEDMNIST, SIZES_2D, "fundus, RGB, 5 ordinal grades", "CC BY 4.0", YANG),
    "breastmnist": Dataset(MEDMNIST, SIZES_2D, "breast ultrasound, grey, binary", "CC BY 4.0", YANG),
    "bloodmnist": Dataset(MEDMNIST, SIZES_2D, "blood cell microscope, RGB, 8 classes", "CC BY 4.0", YANG),
    "tissuemnist": Dataset(MEDMNIST, SIZES_2D, "kidney cortex microscope, grey, 8 classes", "CC BY 4.0", YANG),
    "organamnist": Dataset(MEDMNIST, SIZES_2D, "abdominal CT, axial, grey, 11 classes", "CC BY 4.0", YANG),
    "organcmnist": Dataset(MEDMNIST, SIZES_2D, "abdominal CT, coronal, grey, 11 classes", "CC BY 4.0", YANG),
    "organsmnist": Dataset(MEDMNIST, SIZES_2D, "abdominal CT, sagittal, grey, 11 classes", "CC BY 4.0", YANG),
}  # fmt: skip


def find(name: str) -> Dataset:
    """The entry of a dataset. Raises `InputError` with the closest match."""
    if name not in DATASETS:
        raise InputError(unknown_name("dataset", name, DATASETS))
    return DATASETS[name]


def default_data_root() -> Path:
    """`SWEEPS_DATA_ROOT`, else `~/.medmnist`, where the medmnist package keeps its files."""
    return Path(os.environ.get("SWEEPS_DATA_ROOT") or Path.home() / ".medmnist")


def native_size(name: str, image_size: int | None) -> int:
    """The size to load: the dataset's own where none is asked for. Raises `InputError` for a size it lacks."""
    sizes = find(name).sizes
    if image_size is None:
        return sizes[0]
    if image_size not in sizes:
        raise InputError(f"image_size={image_size}: {name} comes in {', '.join(map(str, sizes))}")
    return image_size


def load(name: str, image_size: int | None = None, data_root: Path | None = None) -> Data:
    """Load and check a dataset. Raises `InputError` that names the file, the folder and what to do."""
    entry = find(name)
    module, function = entry.loader.split(":")
    loader: Callable[..., Data] = getattr(import_module(module), function)
    size = native_size(name, image_size)
    if function == "load_digits":
        return loader(name, size)
    root = (data_root or default_data_root()).expanduser()
    return loader(name, size, root)
