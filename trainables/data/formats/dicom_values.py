"""Stored values of DICOM files, rescaled and brought to uint8 as a viewer shows them. Needs pydicom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.data.dataset_names import Window
from trainables.data.reading.intensity import image_to_uint8, stretched, windowed


def of_frame(header: Any, frame: int, sequence: str, name: str) -> Any:
    """Return a value of a frame: its own, or one shared by all (enhanced files), else the header's; None if none."""
    own = header.get("PerFrameFunctionalGroupsSequence") or []
    shared = header.get("SharedFunctionalGroupsSequence") or []
    for group in (*own[frame : frame + 1], *shared[:1]):
        for item in (group.get(sequence) or [])[:1]:
            if item.get(name) is not None:
                return item.get(name)
    return header.get(name)


def rescaled(values: np.ndarray, header: Any, frame: int, kind: type) -> np.ndarray:
    """Return a frame's stored values in the header's own unit: by its table, else by slope and intercept."""
    from pydicom.pixels import apply_modality_lut

    if "ModalityLUTSequence" in header:
        return np.asarray(apply_modality_lut(values, header), kind)
    slope, intercept = _rescaling(header, frame)
    return np.asarray(values * slope + intercept, kind)


def _rescaling(header: Any, frame: int) -> tuple[float, float]:
    """Return slope and intercept of a frame."""
    slope = of_frame(header, frame, "PixelValueTransformationSequence", "RescaleSlope")
    intercept = of_frame(header, frame, "PixelValueTransformationSequence", "RescaleIntercept")
    return float(1 if slope is None else slope), float(intercept or 0)


def has_rescaling(header: Any) -> bool:
    """Tell whether stored values are in another unit than the header's."""
    return "ModalityLUTSequence" in header or _rescaling(header, 0) != (1.0, 0.0)


def to_uint8(values: np.ndarray, header: Any, frame: int, window: Window | None) -> NDArray[np.uint8]:
    """Bring rescaled values to uint8, black to white as a viewer shows them.

    By the window that is asked for, else by the header's table or its window; without any, 8 bits stay and more are
    stretched by percentiles.
    """
    bits = int(header.get("BitsStored", 8))
    own = window_of(header, frame)
    if window is not None:
        shown = _linear(values, window)
    elif "VOILUTSequence" in header:
        shown = _by_table(values, header)
    elif own is not None:
        function = of_frame(header, frame, "FrameVOILUTSequence", "VOILUTFunction") or "LINEAR"
        shown = FUNCTIONS.get(str(function), _linear)(values, own)
    elif bits <= 8 and not has_rescaling(header):
        shown = stretched(values, 0, 2**bits - 1)
    else:
        shown = image_to_uint8(values, None, _padding(header, frame))
    return 255 - shown if header.get("PhotometricInterpretation") == "MONOCHROME1" else shown


def window_of(header: Any, frame: int) -> Window | None:
    """Return the first window of a header; None where there is none, or one of no width."""
    ends = [of_frame(header, frame, "FrameVOILUTSequence", name) for name in ("WindowCenter", "WindowWidth")]
    if any(end is None or end == "" for end in ends):
        return None
    center, width = (float(end[0] if isinstance(end, Sequence) or hasattr(end, "__getitem__") else end) for end in ends)
    return Window(center, width) if np.isfinite(center) and width > 0 else None


def _padding(header: Any, frame: int) -> tuple[float, float] | None:
    """Return the ends of the values that fill what was not scanned, rescaled; None where the header names none."""
    if header.get("PixelPaddingValue") is None or "ModalityLUTSequence" in header:
        return None
    ends = (header.PixelPaddingValue, header.get("PixelPaddingRangeLimit", header.PixelPaddingValue))
    slope, intercept = _rescaling(header, frame)
    low, high = sorted(float(end) * slope + intercept for end in ends)
    return low, high


def _linear(values: np.ndarray, window: Window) -> NDArray[np.uint8]:
    """Map as DICOM PS3.3 C.11.2.1.2.1 says: 0 up to middle - half, 255 above middle + half."""
    middle, half = window.center - 0.5, (window.width - 1) / 2
    if half <= 0:
        return np.where(values > middle, 255, 0).astype(np.uint8)
    return stretched(values, middle - half, middle + half)


def _sigmoid(values: np.ndarray, window: Window) -> NDArray[np.uint8]:
    """Map as DICOM PS3.3 C.11.2.1.3.1 says: 255 / (1 + exp(-4 (x - center) / width))."""
    powers = np.clip(-4 * (np.asarray(values, np.float64) - window.center) / window.width, -700, 700)
    return np.rint(255 / (1 + np.exp(powers))).astype(np.uint8)


FUNCTIONS = {"LINEAR": _linear, "LINEAR_EXACT": windowed, "SIGMOID": _sigmoid}


def _by_table(values: np.ndarray, header: Any) -> NDArray[np.uint8]:
    """Show values by the header's own table, whose entries run from 0 to 2 to the power of their bits, less 1."""
    from pydicom.pixels import apply_voi

    found = apply_voi(np.rint(values).astype(np.int64), header)
    return stretched(found, 0, 2 ** int(header.VOILUTSequence[0].LUTDescriptor[2]) - 1)
