"""Uploaded files: their kind by their content, their size by their header, their pixels as training's were read."""

from __future__ import annotations

import gzip
import shutil
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from PIL import Image

from analysis.terminal.plain_text import visible
from deployment.model.metadata import ModelMetadata
from deployment.prediction.image_inputs import InputImage, read_inputs
from deployment.service.errors import Refusal
from deployment.service.settings import Settings
from trainables.data.reading.decoding import reason

# How files of a kind begin, and from which byte on.
MARKS: tuple[tuple[str, int, tuple[bytes, ...]], ...] = (
    (".png", 0, (b"\x89PNG\r\n\x1a\n",)),
    (".jpg", 0, (b"\xff\xd8\xff",)),
    (".tif", 0, (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    (".dcm", 128, (b"DICM",)),
    (".nii", 344, (b"n+1\0",)),
    (".nii", 4, (b"n+2\0",)),
    (".nii.gz", 0, (b"\x1f\x8b",)),
    (".npz", 0, (b"PK\x03\x04",)),
)
# Bytes of a name of a file that an answer repeats.
LONGEST_NAME = 100
# Pages of a TIFF.
PAGES = 1024
# Bytes of a value of a NIfTI file, at most.
WIDEST = 16


def kind_of(start: bytes) -> str | None:
    """Return the suffix of the kind of file that begins so; None for what is not taken."""
    return next((suffix for suffix, at, marks in MARKS if start[at:].startswith(marks)), None)


def read_uploads(
    files: Sequence[tuple[str, BinaryIO]], metadata: ModelMetadata, settings: Settings
) -> list[InputImage]:
    """Read files with the names that their sender gave them; what cannot be read is named. Raises `Refusal`."""
    found: list[InputImage] = []
    with TemporaryDirectory(prefix="sweeps-upload-") as folder:
        for number, (name, content) in enumerate(files):
            found += _read(Path(folder), number, visible(name[:LONGEST_NAME]), content, metadata, settings)
            if len(found) > settings.images:
                raise Refusal(413, "too_many_images", f"send at most {settings.images} images at a time")
    return found


def _read(
    folder: Path, number: int, name: str, content: BinaryIO, metadata: ModelMetadata, settings: Settings
) -> Iterator[InputImage]:
    start = content.read(512)
    content.seek(0)
    suffix = kind_of(start)
    if suffix is None:
        yield InputImage(name, None, "is no PNG, JPEG, TIFF, DICOM, NIfTI or npz file")
        return
    path = folder / f"{number}{suffix.removesuffix('.gz')}"
    try:
        _copy(content, path, suffix, settings)
        if suffix == ".tif":
            _check_pages(path, settings.pixels)
        for image in read_inputs([path], metadata, settings.pixels):
            own = image.name.replace(str(path), name, 1)
            yield replace(image, name=own, fault=image.fault.replace(str(path), name))
    except Refusal as refusal:
        yield InputImage(name, None, refusal.message)
    except (OSError, EOFError, ValueError, zlib.error, SyntaxError) as error:
        yield InputImage(name, None, reason(error).replace(str(path), name))
    finally:
        path.unlink(missing_ok=True)


def _copy(content: BinaryIO, path: Path, suffix: str, settings: Settings) -> None:
    """Write an upload to a file; what is packed by gzip is unpacked, up to what the largest image would take."""
    with path.open("wb") as target:
        if not suffix.endswith(".gz"):
            shutil.copyfileobj(content, target, 2**20)
            return
        left = settings.pixels * WIDEST
        with gzip.GzipFile(fileobj=content, mode="rb") as packed:
            while part := packed.read(2**20):
                left -= len(part)
                if left < 0:
                    raise ValueError(f"more than {settings.pixels * WIDEST:,} bytes when unpacked")
                target.write(part)


def _check_pages(path: Path, most: int) -> None:
    """Raise `ValueError` for a TIFF of too many pages or pixels; its reader would walk through all of them."""
    pixels = 0
    with Image.open(path, formats=("TIFF",)) as image:
        for page in range(PAGES + 1):
            try:
                image.seek(page)
            except EOFError:
                return
            pixels += image.width * image.height
            if pixels > most:
                raise ValueError(f"{pixels:,} values and more; at most {most:,} are read")
    raise ValueError(f"more than {PAGES} pages")
