"""What the tests share: where the real data is, and a cache of their own."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import numpy as np
import pytest

if TYPE_CHECKING:
    from tests.support.ray_head import Head

ROOT = Path(__file__).parent.parent
hypothesis.settings.register_profile("sweeps", deadline=None, derandomize=True)  # a busy machine fails no test
hypothesis.settings.load_profile("sweeps")


@pytest.fixture(autouse=True)
def same_draws() -> None:
    """A test draws the same numbers alone, after others and on every machine, where it names no seed of its own."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - libraries draw from it
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Decoded datasets of the tests, and of the commands they start, go to a folder of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SWEEPS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real MedMNIST, MNIST and MRI files; a test that needs it is skipped where it is not there."""
    root = Path(os.environ.get("SWEEPS_DATA_ROOT") or ROOT.parent / "shared" / "data")
    if not root.is_dir():
        pytest.skip(f"no real data in {root}: set SWEEPS_DATA_ROOT")
    return root


@pytest.fixture(scope="session")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    """A Ray cluster of one node with a token and a dashboard, shared by the tests that need one."""
    pytest.importorskip("aiohttp", reason="needs ray[default]")
    from tests.support.ray_head import ray_head

    with ray_head(tmp_path_factory.mktemp("home")) as running:
        yield running
