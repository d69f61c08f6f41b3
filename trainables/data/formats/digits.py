"""scikit-learn's 1,797 real handwritten digits (8×8, grey): the embedded default, no download."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainables.data.arrays import Data, Request, make_data
from trainables.data.splitting import FRACTIONS, SPLIT_SEED, stratified_split


def load_digits(request: Request) -> Data:
    """Split the digits 70/15/15 by class with seed 42, their grey values 0..16 scaled to 0..255."""
    grey, labels = _digits()
    images = np.round(grey * (255 / 16)).astype(np.uint8)[..., None]
    rows = stratified_split(labels, FRACTIONS, SPLIT_SEED)
    splits = {split: (images[chosen], labels[chosen]) for split, chosen in rows.items()}
    return make_data(request.name, "multi-class", tuple(map(str, range(10))), splits)


# a worker that measures loads its data for each trial
@cache
def _digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return grey values 0..16 of shape (1797, 8, 8), and labels.

    Reads the file that `sklearn.datasets.load_digits` reads, where it lies as in version 1.9: to import scikit-learn
    takes a second and 70 MB.
    """
    spec = find_spec("sklearn")
    file = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz" if spec and spec.origin else None
    if file is None or not file.is_file():
        from sklearn.datasets import load_digits as sklearn_digits

        bunch = sklearn_digits()
        return bunch.images, bunch.target.astype(np.int64)
    rows = np.loadtxt(file, delimiter=",")
    return rows[:, :-1].reshape(-1, 8, 8), rows[:, -1].astype(np.int64)
