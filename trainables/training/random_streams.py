"""Random streams as a function of seed and epoch alone, so that a resumed trial draws the same numbers."""

from __future__ import annotations

import hashlib
import random
import sys

import numpy as np


def stream(seed: int, epoch: int) -> int:
    """Return the seed of an epoch's random stream, of 63 bits; epoch 0: what is drawn before the first epoch."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{epoch}".encode()).digest()[:8], "big") >> 1


def seed_generators(seed: int, epoch: int) -> None:
    """Seed the global generators of `random`, NumPy and, where it is loaded, torch, for an epoch."""
    value = stream(seed, epoch)
    random.seed(value)
    # A user's function draws from the global generator.
    np.random.seed(value % 2**32)  # noqa: NPY002
    if torch := sys.modules.get("torch"):
        torch.manual_seed(value)
