"""Images to predict: files, folders and arrays, read as the training's were; what cannot be read is named."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deployment.model.metadata import ModelMetadata
from trainables.atomic_files import files_below
from trainables.data.dataset_names import Window
from trainables.data.formats.dicom import is_dicom
from trainables.data.formats.image_files import SUFFIXES, fault_of
from trainables.data.formats.medical_files import ERRORS, FileReader
from trainables.data.formats.nifti import is_nifti
from trainables.data.reading.decoding import MOST_VALUES, ImageSource, printable, reason
from trainables.data.reading.npz_files import array_shape
from trainables.errors import InputError

# The array of an npz file that is predicted.
ARRAY = "images"


@dataclass(frozen=True)
class InputImage:
    """An image to predict. pixels: of the model's shape; None where fault says why there are none. digest: SHA-256."""

    name: str
    pixels: NDArray[np.uint8] | None
    fault: str = ""
    digest: str = ""
    notes: tuple[str, ...] = ()


def find_inputs(paths: Sequence[Path]) -> list[Path]:
    """Return the files of paths; a folder stands for its image files, in order. Raises `InputError` for none."""
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = [file for file in files_below(path) if _is_image(file)]
        if not inside:
            raise InputError(f"{path} holds no image file: give another folder, or files by their names")
        found += inside
    return found


def _is_image(path: Path) -> bool:
    if path.name.startswith(".") or fault_of(path):
        return False
    return path.suffix.lower() in (*SUFFIXES, ".npz") or is_nifti(path) or is_dicom(path)


def read_inputs(files: Sequence[Path], metadata: ModelMetadata, most: int = MOST_VALUES) -> Iterator[InputImage]:
    """Yield the images of files, in their order, one or (npz) several a file. most: values of a file that is read."""
    for path in files:
        if path.suffix.lower() == ".npz":
            yield from _arrays(path, metadata, most)
        else:
            yield _file(path, metadata, most)


def _file(path: Path, metadata: ModelMetadata, most: int) -> InputImage:
    name = printable(str(path))
    sides = set(metadata.image_shape[:-1])
    if len(sides) > 1:
        return InputImage(name, None, "the model's images are not square: give them in an npz file of its shape")
    fault = fault_of(path)
    if fault:
        return InputImage(name, None, fault)
    window = Window(*metadata.window) if metadata.window else None
    reader, source = FileReader(window, metadata.frame), ImageSource(name, (path,))
    try:
        look = reader.look(source)
        if look.fault or look.pixels > most:
            return InputImage(name, None, look.fault or f"{look.pixels:,} values; at most {most:,} are read")
        pixels = reader.read(source, metadata.image_shape)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except InputError:
        # Not of the file: a library is missing.
        raise
    except ERRORS as error:
        return InputImage(name, None, reason(error))
    return InputImage(name, pixels, "", digest, _size_notes(look.pixels, metadata))


def _size_notes(pixels: int, metadata: ModelMetadata) -> tuple[str, ...]:
    wanted = int(np.prod(metadata.image_shape[:-1]))
    if pixels < wanted:
        return (f"it has {pixels:,} pixels and was enlarged to {wanted:,}",)
    return ()


def _arrays(path: Path, metadata: ModelMetadata, most: int) -> Iterator[InputImage]:
    name = printable(str(path))
    try:
        shape = array_shape(path, ARRAY, "save it again with numpy.savez")
        if prod(shape) > most:
            raise InputError(f"{prod(shape):,} values; at most {most:,} are read")
        with np.load(path, allow_pickle=False) as content:
            images = content[ARRAY]
        if images.ndim == len(metadata.image_shape):
            # Grey images without an axis of channels.
            images = images[..., None]
        metadata.check_images(images)
    except KeyError:
        yield InputImage(name, None, f"has no array {ARRAY!r}")
    except InputError as error:
        yield InputImage(name, None, str(error))
    except Exception as error:
        # NumPy and its zip reader raise many things for a damaged file.
        yield InputImage(name, None, reason(error))
    else:
        if not len(images):
            yield InputImage(name, None, f"its array {ARRAY!r} holds no image")
        for number, image in enumerate(images):
            pixels = np.ascontiguousarray(image)
            yield InputImage(f"{name}[{number}]", pixels, "", hashlib.sha256(pixels.tobytes()).hexdigest())
