"""Other types of numbers as uint8: windows, percentiles and the range of a training split."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trainables.data.dataset_names import Window

# Of an image that has more than 8 bits and no window: its darkest and brightest values, outliers left out.
PERCENTILES = (0.5, 99.5)
# Values that are looked at in one piece.
PIECE = 2**24


def stretched(values: np.ndarray, low: float, high: float) -> NDArray[np.uint8]:
    """Map `low` to 0 and `high` to 255, linearly, rounded to the nearest; what lies beyond is cut.

    NaN becomes 0. Computed in float64, piece by piece. Where `high` is not above `low`, all is 0.
    """
    if not high > low or not values.size:
        return np.zeros(values.shape, np.uint8)
    result, start = np.empty(values.shape, np.uint8), 0
    for piece in _pieces(values, 2**20):
        shares = (np.asarray(piece, np.float64) - low) / (high - low) * 255
        result[start : start + len(piece)] = np.rint(np.clip(np.nan_to_num(shares, nan=0.0), 0, 255))
        start += len(piece)
    return result


def windowed(values: np.ndarray, window: Window) -> NDArray[np.uint8]:
    """Map center - width / 2 to 0 and center + width / 2 to 255: DICOM's function LINEAR_EXACT."""
    return stretched(values, window.center - window.width / 2, window.center + window.width / 2)


def image_to_uint8(
    values: np.ndarray, window: Window | None, padding: tuple[float, float] | None = None
) -> NDArray[np.uint8]:
    """Bring one image or volume to uint8 by itself. padding: ends of the values that are no part of the image.

    By the window, where there is one. Else uint8 stays as it is, bool becomes 0 and 255, and of other types the 0.5th
    and the 99.5th percentile of the finite values become 0 and 255 (the lowest and highest, where these are equal).
    """
    if window is not None:
        return windowed(values, window)
    if values.dtype == np.uint8:
        return values
    if values.dtype == bool:
        return values.astype(np.uint8) * np.uint8(255)
    counted = np.isfinite(values)
    if padding is not None:
        counted &= (values < padding[0]) | (values > padding[1])
    finite = values[counted]
    if finite.size == 0:
        return np.zeros(values.shape, np.uint8)
    low, high = np.percentile(finite, PERCENTILES)
    if low == high:
        low, high = finite.min(), finite.max()
    return stretched(values, float(low), float(high))


def limits_of(values: np.ndarray) -> tuple[float, float]:
    """Return the lowest and highest finite value of an array that may be mapped; NaN where none is finite."""
    low, high = np.inf, -np.inf
    for piece in _pieces(values):
        finite = piece[np.isfinite(piece)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    return (low, high) if low <= high else (np.nan, np.nan)


def not_finite(values: np.ndarray) -> int:
    """Count the values that are infinite or no number."""
    if values.dtype.kind != "f":
        return 0
    return sum(int(np.count_nonzero(~np.isfinite(piece))) for piece in _pieces(values))


def _pieces(values: np.ndarray, most: int = PIECE) -> list[np.ndarray]:
    """Return views of an array, of about `most` values each."""
    step = max(1, most // max(1, values[0].size)) if len(values) else 1
    return [values[start : start + step] for start in range(0, len(values), step)]
