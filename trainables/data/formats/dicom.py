"""DICOM files: one frame, several frames, or the slices of a series as a volume. Needs pydicom (the extra `images`)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.data.dataset_names import Window
from trainables.data.formats.dicom_values import has_rescaling, of_frame, rescaled, to_uint8, window_of
from trainables.data.reading.decoding import Look
from trainables.errors import InputError, pip_install

COLOURS = ("RGB", "YBR", "PALETTE")
# Bytes of a file that is compressed as a whole.
MOST_DEFLATED = 2**29


@dataclass(frozen=True)
class Slice:
    """One frame of one file. frame: counted from 0."""

    path: Path
    frame: int


def is_dicom(path: Path) -> bool:
    """Tell whether a file is DICOM, by its mark after 128 bytes or its suffix; many have no suffix."""
    if path.suffix.lower() in (".dcm", ".dicom"):
        return True
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def look(paths: Sequence[Path], is_series: bool, window: Window | None) -> Look:
    """Read the headers of a file or of a series.

    Raises what pydicom raises, and `ValueError` for what is no image, or no one volume.
    """
    slices = slices_of(paths, is_series)
    header = _header(slices[len(slices) // 2].path)
    grey = int(header.get("SamplesPerPixel", 1)) == 1 and not _is_colour(header)
    own_window = window_of(header, 0) is not None or "VOILUTSequence" in header
    deep = int(header.get("BitsStored", 8)) > 8 or has_rescaling(header)
    values = len(slices) * int(header.Rows) * int(header.Columns) * (1 if grey else 3)
    unscaled = grey and deep and window is None and not own_window
    return Look(grey, 1, values, is_3d=is_series or len(slices) > 1, by_percentiles=unscaled, depth=len(slices))


def read(paths: Sequence[Path], is_series: bool, window: Window | None, frame: int | None) -> NDArray[np.uint8]:
    """Return the frames (D, H, W, 1 or 3) of a file or series, or the one of them that is asked for, as uint8.

    Grey values are rescaled by slope and intercept (or the modality table); then shown by the window that is asked
    for, else the header's (of the middle slice) or its table, else as `image_to_uint8` says; MONOCHROME1 is inverted.
    frame: counted from 0. One file of one frame is (H, W, 1 or 3).
    """
    slices = slices_of(paths, is_series)
    chosen = slices if frame is None else [slices[frame]]
    middle = chosen[len(chosen) // 2]
    header = _header(middle.path)
    if _is_colour(header):
        shown = np.stack([_colour(dataset, part.frame) for dataset, part in _datasets(chosen)])
    else:
        kind = np.float64 if len(chosen) == 1 else np.float32
        values = np.stack([rescaled(_pixels(d, part.frame), d, part.frame, kind) for d, part in _datasets(chosen)])
        shown = to_uint8(values, header, middle.frame, window)[..., None]
    flat = frame is not None or (len(slices) == 1 and not is_series)
    return shown[0] if flat else shown


def slices_of(paths: Sequence[Path], is_series: bool) -> list[Slice]:
    """Return the frames of a file, or the slices of a series from one end to the other.

    They are sorted by position along the normal of their plane, else by instance number, else as they are given. Raises
    `ValueError` where the files are of several series or sizes, or two lie at one position.
    """
    headers = [_header(path) for path in paths]
    if not is_series or len(paths) == 1:
        return _frames(paths[0], headers[0])
    for what, values in (
        ("series", {str(header.get("SeriesInstanceUID", "")) for header in headers}),
        ("sizes", {(int(header.Rows), int(header.Columns)) for header in headers}),
        ("kinds of pixels", {str(header.get("PhotometricInterpretation", "")) for header in headers}),
    ):
        if len(values) > 1:
            raise ValueError(f"its {len(paths)} files are of {len(values)} {what}: name one in a volume")
    if any(int(header.get("NumberOfFrames") or 1) > 1 for header in headers):
        raise ValueError("a slice of a series has several frames: name each such file by itself")
    positions = [_position(header, 0) for header in headers]
    if any(position is None for position in positions):
        numbers = [header.get("InstanceNumber") for header in headers]
        positions = [None if number is None else float(number) for number in numbers]
    return [Slice(paths[row], 0) for row in _sorted(positions)]


def _frames(path: Path, header: Any) -> list[Slice]:
    """Return the frames of a file, sorted by position where each has one of its own."""
    n = int(header.get("NumberOfFrames") or 1)
    if n == 1:
        return [Slice(path, 0)]
    positions = [_position(header, frame) for frame in range(n)]
    distinct = None not in positions and len(set(positions)) == n
    return [Slice(path, frame) for frame in (_sorted(positions) if distinct else range(n))]


def _sorted(positions: Sequence[float | None]) -> list[int]:
    """Return the order of positions; the given one where some have none."""
    known = [position for position in positions if position is not None]
    if len(known) < len(positions):
        return list(range(len(positions)))
    if len(set(known)) < len(known):
        raise ValueError("two slices lie at one position: it holds several volumes, such as phases or echoes")
    return sorted(range(len(known)), key=known.__getitem__)


def _position(header: Any, frame: int) -> float | None:
    """Return the position of a frame along the normal of its plane, in mm; None where the header has none."""
    place = of_frame(header, frame, "PlanePositionSequence", "ImagePositionPatient")
    plane = of_frame(header, frame, "PlaneOrientationSequence", "ImageOrientationPatient")
    if place is None or plane is None or len(place) != 3 or len(plane) != 6:
        return None
    row, column = np.array(plane[:3], float), np.array(plane[3:], float)
    return round(float(np.cross(row, column) @ np.array(place, float)), 4)


def _header(path: Path) -> Any:
    pydicom = _pydicom()
    _check_deflated(path)
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True)
    except pydicom.errors.InvalidDicomError:
        raise ValueError("no DICOM file: the mark DICM after its first 128 bytes is missing") from None
    if header.get("Rows") is None or header.get("Columns") is None:
        raise ValueError(f"no image, but {header.get('Modality') or 'a file'} without pixels")
    return header


def _check_deflated(path: Path) -> None:
    """Raise `ValueError` where a file that is compressed as a whole holds too much; pydicom would inflate all of it."""
    from pydicom.filereader import read_file_meta_info
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    with path.open("rb") as file:
        if file.read(132)[128:] != b"DICM":
            return
        meta = read_file_meta_info(path)
        if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
            return
        # The element that says the length of the others takes 12 bytes.
        file.seek(132 + 12 + int(meta.FileMetaInformationGroupLength))
        inflating, size, left = zlib.decompressobj(-zlib.MAX_WBITS), 0, b""
        while (left or (left := file.read(2**20))) and not inflating.eof:
            size += len(inflating.decompress(left, 2**24))
            left = inflating.unconsumed_tail
            if size > MOST_DEFLATED:
                raise ValueError(f"more than {MOST_DEFLATED:,} bytes when inflated")


def _datasets(slices: Sequence[Slice]) -> Iterator[tuple[Any, Slice]]:
    """Yield each slice with the dataset of its file, which is read once."""
    pydicom, last, dataset = _pydicom(), None, None
    for part in slices:
        if part.path != last:
            dataset = pydicom.dcmread(part.path)
            last = part.path
        yield dataset, part


def _pixels(dataset: Any, frame: int) -> np.ndarray:
    """Return the stored values of a frame; YBR becomes RGB."""
    from pydicom.pixels import pixel_array

    several = int(dataset.get("NumberOfFrames") or 1) > 1
    values: np.ndarray = pixel_array(dataset, index=frame) if several else pixel_array(dataset)
    return values


def _is_colour(header: Any) -> bool:
    return str(header.get("PhotometricInterpretation", "")).startswith(COLOURS)


def _colour(dataset: Any, frame: int) -> NDArray[np.uint8]:
    """Return a frame (H, W, 3) of colour, the upper eight bits of each channel."""
    from pydicom.pixels import apply_color_lut

    values, bits = _pixels(dataset, frame), int(dataset.get("BitsStored", 8))
    if str(dataset.PhotometricInterpretation).startswith("PALETTE"):
        values = apply_color_lut(values, dataset)
        bits = 8 * values.dtype.itemsize
    return (values >> max(0, bits - 8)).astype(np.uint8)


def _pydicom() -> Any:
    try:
        import pydicom
    except ModuleNotFoundError:
        raise InputError(f"DICOM files are read by pydicom, which is missing: {pip_install('images')}") from None
    return pydicom
