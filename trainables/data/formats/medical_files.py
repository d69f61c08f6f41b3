"""One image or volume from its files, whichever their format: NIfTI, DICOM, or what Pillow reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainables.data.dataset_names import Window
from trainables.data.formats import dicom, nifti
from trainables.data.reading import pillow_files
from trainables.data.reading.decoding import ImageSource, Look
from trainables.data.reading.intensity import image_to_uint8
from trainables.data.reading.resizing import resized, to_channels

ERRORS = pillow_files.ERRORS


@dataclass(frozen=True)
class FileReader:
    """The way files are read. frame: the slice that is taken of a volume, from 1 on, or "middle"; None: all of it."""

    window: Window | None = None
    frame: int | str | None = None

    def look(self, source: ImageSource) -> Look:
        """Read the headers of a source. Raises one of `ERRORS` where it cannot be read."""
        with _as_value_error():
            found = self._look(source.paths, source.is_series)
        if self.frame is None:
            return found
        _number(self.frame, found.depth)
        return replace(found, is_3d=False, pages=1, pixels=found.pixels // max(1, found.depth))

    def read(self, source: ImageSource, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Read a source as uint8 of a shape: (side, side, channels), or with three sides."""
        if len(shape) == 3 and self._is_plain(source):
            return pillow_files.square(source.paths[0], shape[0], shape[-1])
        image = self.image(source)
        if image.ndim != len(shape):
            raise ValueError(f"has {image.ndim - 1} axes, others have {len(shape) - 1}")
        return resized(to_channels(image, shape[-1]), shape[0])

    def image(self, source: ImageSource) -> NDArray[np.uint8]:
        """Read a source in its own size as uint8 (H, W, 1 or 3) or (D, H, W, 1 or 3)."""
        with _as_value_error():
            return self._image(source.paths, source.is_series)

    def _is_plain(self, source: ImageSource) -> bool:
        """Tell whether a source is a flat image of 8 bits, which Pillow reads without a copy."""
        path = source.paths[0]
        if source.is_series or self.window is not None or self.frame is not None:
            return False
        return not (nifti.is_nifti(path) or dicom.is_dicom(path)) and not pillow_files.look(path).by_percentiles

    def _look(self, paths: Sequence[Path], is_series: bool) -> Look:
        if nifti.is_nifti(paths[0]):
            _refuse_series(is_series)
            return nifti.look(paths[0], self.window)
        if dicom.is_dicom(paths[0]):
            return dicom.look(paths, is_series, self.window)
        found = [pillow_files.look(path) for path in paths]
        deep = any(look.by_percentiles for look in found) and self.window is None
        if is_series:
            grey = all(look.grey for look in found)
            return Look(grey, 1, sum(look.pixels for look in found), "", True, deep, depth=len(found))
        one = replace(found[0], by_percentiles=deep, depth=found[0].pages)
        is_stack = pillow_files.is_stack(paths[0])
        return replace(one, pages=1, pixels=one.pixels * one.pages, is_3d=True) if is_stack else one

    def _image(self, paths: Sequence[Path], is_series: bool) -> NDArray[np.uint8]:
        if dicom.is_dicom(paths[0]) and not nifti.is_nifti(paths[0]):
            frame = None if self.frame is None else self._frame(len(dicom.slices_of(paths, is_series)))
            return dicom.read(paths, is_series, self.window, frame)
        if nifti.is_nifti(paths[0]):
            found = nifti.values(paths[0], self._frame(nifti.look(paths[0], self.window).depth))
        elif is_series:
            frame = self._frame(len(paths))
            pages = [pillow_files.page(path, 0) for path in (paths if frame is None else [paths[frame]])]
            found = pillow_files.stacked(pages) if frame is None else pages[0]
        else:
            frame = self._frame(pillow_files.look(paths[0]).pages)
            whole = frame is None and pillow_files.is_stack(paths[0])
            found = pillow_files.stack(paths[0]) if whole else pillow_files.page(paths[0], frame or 0)
        return found if found.shape[-1] == 3 else image_to_uint8(found, self.window)

    def _frame(self, depth: int) -> int | None:
        return None if self.frame is None else _number(self.frame, depth)


@contextmanager
def _as_value_error() -> Iterator[None]:
    """Turn whatever a library raises for a file into a `ValueError` of one line."""
    try:
        yield
    except ERRORS:
        raise
    except Exception as error:
        kind = "" if isinstance(error, RuntimeError) else f"{type(error).__name__}: "
        text = " ".join(line.strip() for line in str(error).splitlines())
        raise ValueError(f"{kind}{text[:300]}") from None


def _number(frame: int | str, depth: int) -> int:
    """Return the number of a slice, counted from 0."""
    if isinstance(frame, str):
        return depth // 2
    if frame > depth:
        raise ValueError(f"has {depth} slice(s), and frame={frame} is asked for")
    return frame - 1


def _refuse_series(is_series: bool) -> None:
    if is_series:
        raise ValueError("a NIfTI file is a volume by itself, and no slice of a series")
