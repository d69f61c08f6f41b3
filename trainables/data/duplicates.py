"""Images that are equal byte for byte, within a split and between two."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np


def rows_by_image(images: np.ndarray) -> dict[bytes, list[int]]:
    """Return the rows of each different image, by its digest."""
    rows: dict[bytes, list[int]] = {}
    for row, image in enumerate(images):
        rows.setdefault(hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest(), []).append(row)
    return rows


def shared_images(name: str, splits: Mapping[str, np.ndarray]) -> Iterator[str]:
    """Yield a line for each two splits that hold the same images: a model may know them by heart."""
    rows = {split: rows_by_image(images) for split, images in splits.items()}
    for first, second in combinations(rows, 2):
        n = len(rows[first].keys() & rows[second].keys())
        if n:
            yield f"{name}: {n} image{'s' * (n != 1)} of {second} stand{'s' * (n == 1)} byte by byte in {first}, too"
