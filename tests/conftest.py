"""What the tests share: where the real data is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real MedMNIST, MNIST and MRI files; a test that needs it is skipped where it is not there."""
    root = Path(os.environ.get("SWEEPS_DATA_ROOT") or ROOT.parent / "shared" / "data")
    if not root.is_dir():
        pytest.skip(f"no real data in {root}: set SWEEPS_DATA_ROOT")
    return root
