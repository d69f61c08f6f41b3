"""NIfTI files (.nii, .nii.gz), turned to one orientation. Needs nibabel (the extra `images`).

Volumes are (slices from feet to head, rows from front to back, columns from the patient's right to left), as an axial
DICOM series is. A file that is one voxel thick is a flat image: an axial one as above, others with the head up.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from trainables.data.dataset_names import Window
from trainables.data.reading.decoding import MOST_VALUES, Look
from trainables.errors import InputError, pip_install

SUFFIXES = (".nii", ".nii.gz")


def is_nifti(path: Path) -> bool:
    """Tell whether a file is NIfTI by its suffix."""
    return path.name.lower().endswith(SUFFIXES)


def look(path: Path, window: Window | None) -> Look:
    """Read a file's header. Raises what nibabel raises, and `ValueError` where it is no volume."""
    image = _opened(path)
    shape, axes = _shape(image), _axes(image)
    kind = image.get_data_dtype()
    deep = kind.fields is None and kind != np.uint8 and window is None
    depth = int(shape[axes.index(2)])
    values = int(np.prod(shape, dtype=np.int64)) * (3 if kind.fields else 1)
    return Look(kind.fields is None, 1, values, is_3d=1 not in shape, by_percentiles=deep, depth=depth)


def values(path: Path, frame: int | None = None) -> np.ndarray:
    """Return the values (D, H, W, 1 or 3) of a volume, scaled as its header says, or one axial slice, (H, W, 1 or 3).

    frame: counted from 0.
    """
    nibabel, image = _nibabel(), _opened(path)
    shape = _shape(image)
    _axes(image)
    if np.prod(shape, dtype=np.int64) > MOST_VALUES:
        raise ValueError(f"{shape} values are too many")
    stored = np.asanyarray(image.dataobj).reshape(shape)
    if stored.dtype.fields:
        stored = np.stack([stored[name] for name in ("R", "G", "B")], axis=-1)
    if stored.dtype.kind == "c":
        raise ValueError("complex values are no image")
    canonical = nibabel.apply_orientation(stored, nibabel.io_orientation(image.affine))
    # From left to right, back to front, feet to head, to the order of an axial DICOM series.
    volume = np.moveaxis(canonical[::-1, ::-1], (0, 1, 2), (2, 1, 0))
    volume = volume if stored.ndim == 4 else volume[..., None]
    if frame is not None:
        return np.asarray(volume[frame])
    thin = [axis for axis in range(3) if volume.shape[axis] == 1]
    if not thin:
        return volume
    flat = np.take(volume, 0, axis=thin[0])
    return flat if thin[0] == 0 else flat[::-1]


def _shape(image: Any) -> tuple[int, ...]:
    """Return the three lengths of a volume; further axes of length 1 are left out."""
    shape = tuple(int(length) for length in image.shape)
    if len(shape) < 3:
        shape = (*shape, *(1,) * (3 - len(shape)))
    if 0 in shape or any(length != 1 for length in shape[3:]):
        raise ValueError(f"{len(shape)} axes {shape}: write each volume to a file of its own")
    return shape[:3]


def _axes(image: Any) -> list[int]:
    """Return for each stored axis the one it becomes: 0 to the right, 1 to the front, 2 to the head."""
    axes = _nibabel().io_orientation(image.affine)[:, 0]
    if not np.isfinite(axes).all():
        raise ValueError("its affine says no orientation")
    return [int(axis) for axis in axes]


def _opened(path: Path) -> Any:
    nibabel = _nibabel()
    image = nibabel.load(path)
    if not hasattr(image, "affine") or image.affine is None:
        raise ValueError("has no affine")
    return image


def _nibabel() -> Any:
    try:
        import nibabel
    except ModuleNotFoundError:
        raise InputError(f"NIfTI files are read by nibabel, which is missing: {pip_install('images')}") from None
    return nibabel
