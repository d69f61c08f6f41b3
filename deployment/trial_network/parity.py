"""An exported file beside the network that it was made of, on real images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.evaluation.predictions import Predictions
from deployment.formats.artefact import Artefact
from trainables.data.arrays import Split
from trainables.metrics.per_class import predicted_labels

BATCHES = (1, 4, 64)
# The largest difference of a probability that rounding explains.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Parity:
    """Differences of an exported file.

    differences: the largest of any probability, by batch size, over the first images of the test split (one batch), and
    `all`: over the whole split. answers: images whose answer is the network's own.
    """

    file: str
    bytes: int
    images: int
    answers: int
    differences: dict[str, float]

    @property
    def holds(self) -> bool:
        """Tell whether the file is the same model: every probability within 1e-4, every answer the same."""
        return self.answers == self.images and all(value <= TOLERANCE for value in self.differences.values())


def check_parity(artefact: Artefact, split: Split, own: Predictions, file: str) -> Parity:
    """Run a file over a split at several batch sizes, beside the network's own predictions of it. file: its name."""
    differences = {
        str(batch): _largest(artefact.predict(split.images[:batch], batch), own.scores[:batch]) for batch in BATCHES
    }
    whole = artefact.predict(split.images)
    differences["all"] = _largest(whole, own.scores)
    same = predicted_labels(whole, own.task) == own.predicted
    answers = int((same.all(axis=1) if same.ndim == 2 else same).sum())
    return Parity(file, artefact.path.stat().st_size, len(own), answers, differences)


def _largest(first: np.ndarray, second: np.ndarray) -> float:
    """Return the largest difference; infinite where a value is not finite on one side alone."""
    both = np.isnan(first) & np.isnan(second)
    difference = np.where(both, 0.0, np.abs(first - second))
    return float(np.where(np.isfinite(difference), difference, np.inf).max())
