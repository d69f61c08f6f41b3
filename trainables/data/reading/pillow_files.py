"""Image files that Pillow reads: PNG, JPEG, TIFF and others, also grey ones of 16 or 32 bits and stacks of pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, ImageSequence

from trainables.data.reading.decoding import Look

ERRORS: tuple[type[Exception], ...] = (
    OSError, ValueError, SyntaxError, MemoryError, EOFError, Image.DecompressionBombError,
)  # fmt: skip


# TIFF's tag PhotometricInterpretation, and a value of it.
PHOTOMETRIC, WHITE_IS_ZERO = 262, 0


# Others that Pillow knows start a program (EPS: Ghostscript) or are no images of a study.
FORMATS = ("BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")


def _opened(path: Path) -> Image.Image:
    return Image.open(path, formats=FORMATS)


def look(path: Path) -> Look:
    """Read a file's header; no pixel is decoded."""
    with _opened(path) as image:
        # A second picture of a phone's JPEG is no page.
        pages = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
        grey = image.mode in ("1", "L", "LA", "La") or is_deep(image)
        return Look(grey, pages, image.width * image.height, by_percentiles=is_deep(image), mode=image.mode)


def is_deep(image: Image.Image) -> bool:
    """Tell whether an image is grey of more than 8 bits."""
    return image.mode[0] in "IF"


def is_stack(path: Path) -> bool:
    """Tell whether a file holds a volume: a TIFF of several pages."""
    with _opened(path) as image:
        return image.format == "TIFF" and getattr(image, "n_frames", 1) > 1


def square(path: Path, side: int, channels: int) -> NDArray[np.uint8]:
    """Return the image upright, in one mode, squeezed to (side, side, channels) uint8.

    Holds one copy of a large image.
    """
    with _opened(path) as image:
        upright: Image.Image = image
        if "transparency" in image.info:
            upright = image.convert("RGBA")
        ImageOps.exif_transpose(upright, in_place=True)
        mode = "L" if channels == 1 else "RGB"
        if upright.mode != mode:
            upright = upright.convert(mode)
        resized = upright.resize((side, side), Image.Resampling.BILINEAR)
        return np.asarray(resized).reshape(side, side, channels)


def page(path: Path, number: int) -> np.ndarray:
    """Return one page (H, W, 1 or 3) of a file, counted from 0: colour as uint8, grey as it is stored."""
    with _opened(path) as image:
        if number:
            image.seek(number)
        return _values(image)


def stack(path: Path) -> np.ndarray:
    """Return all pages (D, H, W, 1 or 3) of a file, as `page` does."""
    with _opened(path) as image:
        return stacked([_values(each) for each in ImageSequence.Iterator(image)])


def stacked(pages: Sequence[np.ndarray]) -> np.ndarray:
    """Put pages one upon the other. Raises `ValueError` where they differ in size or mode."""
    if len({each.shape for each in pages}) > 1:
        raise ValueError("its pages differ in size or mode: take one with frame=1")
    return np.stack(pages)


def _values(image: Image.Image) -> np.ndarray:
    if "transparency" in image.info:
        image = image.convert("RGBA")
    upright = ImageOps.exif_transpose(image)
    if upright.mode in ("1", "LA", "La"):
        upright = upright.convert("L")
    elif upright.mode != "L" and not is_deep(upright):
        upright = upright.convert("RGB")
    found = np.asarray(upright)
    if found.dtype.kind == "u" and found.dtype.itemsize == 2 and _is_white_zero(image):
        found = np.iinfo(found.dtype).max - found
    return found if found.ndim == 3 else found[..., None]


def _is_white_zero(image: Image.Image) -> bool:
    """Tell whether 0 is white in a TIFF; Pillow inverts such files of 8 bits, and not those of 16."""
    tags = getattr(image, "tag_v2", None)
    return tags is not None and tags.get(PHOTOMETRIC) == WHITE_IS_ZERO
