"""scikit-learn's 1,797 real handwritten digits (8×8, grey): the embedded default, no download."""

from __future__ import annotations

import numpy as np

from trainables.data.arrays import Data, Request, make_data
from trainables.data.splitting import FRACTIONS, SPLIT_SEED, stratified_split


def load_digits(request: Request) -> Data:
    """Split the digits 70/15/15 by class with seed 42, their grey values 0..16 scaled to 0..255."""
    from sklearn.datasets import load_digits as sklearn_digits

    bunch = sklearn_digits()
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    labels = bunch.target.astype(np.int64)
    rows = stratified_split(labels, FRACTIONS, SPLIT_SEED)
    splits = {split: (images[chosen], labels[chosen]) for split, chosen in rows.items()}
    return make_data(request.name, "multi-class", tuple(str(n) for n in bunch.target_names), splits)
