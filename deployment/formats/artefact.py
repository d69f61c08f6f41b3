"""A model file that is open: its metadata, and a function from images to probabilities."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deployment.model.metadata import ModelMetadata
from trainables.errors import InputError

# Images that are given to a file at a time.
BATCH = 64


def digest_of(content: bytes) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class Artefact:
    """An open model file. run: takes what `ModelMetadata.as_input` gives and returns probabilities (B, classes).

    digest: of the bytes that were opened, since the file may be written again, or removed, while it is in use.
    """

    path: Path
    metadata: ModelMetadata
    run: Callable[[np.ndarray], np.ndarray]
    digest: str

    def predict(self, images: NDArray[np.uint8], batch: int = BATCH) -> NDArray[np.float64]:
        """Return the probabilities of uint8 images (N, [D,] H, W, C), as the network says. Raises `InputError`."""
        if not len(images):
            return np.zeros((0, len(self.metadata.class_names)))
        parts = [
            self.run(self.metadata.as_input(images[start : start + batch])) for start in range(0, len(images), batch)
        ]
        scores = np.concatenate(parts).astype(np.float64)
        if scores.shape != (len(images), len(self.metadata.class_names)):
            raise InputError(
                f"{self.path} gives {scores.shape[1:]} numbers an image, but names {len(self.metadata.class_names)} "
                "classes: export the model again"
            )
        return scores
