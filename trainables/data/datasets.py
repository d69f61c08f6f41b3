"""The datasets, one entry each, and `load`, which turns a name into checked arrays. Imports no torch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from trainables.data.arrays import Data, Request, as_rgb, load_stored
from trainables.data.dataset_names import absolute, check_name, is_code, split_name
from trainables.errors import InputError, unknown_name
from trainables.user_code.user_paths import user_path


@dataclass(frozen=True)
class Dataset:
    """A dataset's loader as "module:function", the sizes it comes in, and its source.

    The loader takes a `Request`. No sizes: images are resized to the size that is asked for, else to `default_size`;
    where that is 0, the loader chooses.
    """

    loader: str
    sizes: tuple[int, ...]
    meaning: str
    licence: str
    citation: str
    default_size: int = 0


MEDMNIST = "trainables.data.formats.medmnist:load_medmnist"
IDX = "trainables.data.formats.mnist:load_mnist"
SIZES_2D = (28, 64, 128, 224)
SIZES_3D = (28, 64)
# The size of folder images where none is asked for: what ImageNet's networks take.
FOLDER_SIZE = 224
YANG = "Yang et al., Scientific Data 10, 41 (2023)"

DATASETS: dict[str, Dataset] = {
    "digits": Dataset(
        "trainables.data.formats.digits:load_digits", (8,), "handwritten digits, grey, embedded", "CC BY 4.0",
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
    "organmnist3d": Dataset(MEDMNIST, SIZES_3D, "3D abdominal CT, grey, 11 classes", "CC BY 4.0", YANG),
    "nodulemnist3d": Dataset(MEDMNIST, SIZES_3D, "3D chest CT, grey, binary", "CC BY 4.0", YANG),
    "adrenalmnist3d": Dataset(MEDMNIST, SIZES_3D, "3D shape from abdominal CT, binary", "CC BY 4.0", YANG),
    "fracturemnist3d": Dataset(MEDMNIST, SIZES_3D, "3D chest CT, grey, 3 classes", "CC BY 4.0", YANG),
    "vesselmnist3d": Dataset(MEDMNIST, SIZES_3D, "3D shape from brain MRA, binary", "CC BY 4.0", YANG),
    "synapsemnist3d": Dataset(MEDMNIST, SIZES_3D, "3D electron microscope, grey, binary", "CC BY 4.0", YANG),
}  # fmt: skip

FORMATS = "trainables.data.formats"
OWN = ("your own", "your own")
# Data of one's own, by the kind of their name; "" is a user's function.
OWN_DATA: dict[str, Dataset] = {
    "folder": Dataset(f"{FORMATS}.image_folder:load_image_folder", (), "images in class subfolders", *OWN, FOLDER_SIZE),
    "npz": Dataset(f"{FORMATS}.npz:load_npz", (), "arrays of images and labels", *OWN),
    "csv": Dataset(f"{FORMATS}.table_of_files:load_table", (), "a table of image files", *OWN),
    "": Dataset(f"{FORMATS}.user_function:load_user_function", (), "a function that returns arrays", *OWN),
}
HOW_TO_NAME = ("folder:PATH", "npz:FILE", "csv:FILE", "FILE.py:NAME")


def find(name: str) -> Dataset:
    """Return the entry of a dataset, or of data of one's own. Raises `InputError` with the closest match."""
    kind = split_name(name)[0]
    if kind or is_code(name):
        check_name(name)
        return OWN_DATA[kind]
    if name not in DATASETS:
        raise InputError(unknown_name("dataset", name, [*DATASETS, *HOW_TO_NAME]))
    return DATASETS[name]


def canonical(name: str) -> str:
    """Return a name that workers, whose working directory is another, can use: its path is made absolute."""
    find(name)
    return name if name in DATASETS else absolute(name)


def default_data_root() -> Path:
    """Return `SWEEPS_DATA_ROOT`, else `~/.medmnist`, where the medmnist package keeps its files."""
    return Path(os.environ.get("SWEEPS_DATA_ROOT") or Path.home() / ".medmnist")


def native_size(name: str, image_size: int | None) -> int:
    """Return the size to load: the dataset's own where none is asked for; 0 where its loader chooses.

    Raises `InputError` for a size that the dataset lacks.
    """
    entry = find(name)
    if not entry.sizes:
        return image_size or entry.default_size
    if image_size is None:
        return entry.sizes[0]
    if image_size not in entry.sizes:
        raise InputError(f"image_size={image_size}: {name} comes in {', '.join(map(str, entry.sizes))}")
    return image_size


def load(name: str, image_size: int | None = None, data_root: Path | None = None, channels: int | None = None) -> Data:
    """Load and check a dataset, as grey (channels=1) or RGB (3) images where asked.

    Large images are mapped from the cache: see `trainables.data.cache`. Raises `InputError` that names the file, the
    folder and what to do.
    """
    if channels not in (None, 1, 3):
        raise InputError(f"channels={channels}: choose 1 (grey) or 3 (RGB), or leave it out")
    root = user_path(data_root or default_data_root())
    if data_root is not None and not root.is_dir():
        raise InputError(
            f"--data-root {root}: no such folder: name the one that holds the data, make it for a download, or take "
            "--dataset digits"
        )
    data = load_stored(Request(canonical(name), native_size(name, image_size), root, channels, find(name).loader))
    return as_rgb(data) if channels == 3 and data.info.channels == 1 else data
