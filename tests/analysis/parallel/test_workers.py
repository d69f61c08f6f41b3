"""Measuring over a Ray cluster whose nodes do not see the files, and what goes wrong there."""

from __future__ import annotations

import os
import shutil

import pandas as pd
import pytest

from analysis import table
from analysis.parallel.workers import PortableJob, attempt_elsewhere
from analysis.runs.run_folder import RunFolder
from analysis.weights.measure_run import Replicate, measure_run
from tests.analysis.test_complexity import QUICK, run
from tests.conftest import ROOT
from tests.support.ray_head import Head
from trainables.errors import InputError

__all__ = ["run"]  # the fixture


def size_of(job: Replicate) -> int:
    return sum(path.stat().st_size for _, files in job.parts for path in files.values())


def test_a_job_is_done_in_a_folder_that_has_its_files_alone(run: RunFolder) -> None:
    folder = next(run.trials.glob("*/seed_0"))
    files = {"best": folder / "best_model.safetensors"}
    job = Replicate({}, folder, ((("lmc",), files),))
    assert isinstance(job, PortableJob)
    assert set(job.files()) == {"best_model.safetensors", "initial_model.safetensors"}
    contents = {name: path.read_bytes() for name, path in job.files().items()}
    shutil.rmtree(folder)
    assert attempt_elsewhere(size_of, job, contents) == len(contents["best_model.safetensors"])


@pytest.mark.slow
def test_nodes_that_do_not_see_the_files_find_what_this_machine_finds(head: Head, run: RunFolder) -> None:
    """The run is named by a path relative to our folder, which means nothing in the folder of the workers."""
    measure_run(run, QUICK)
    here = table.read(run.weights_table, "weights")
    run.weights_table.unlink()
    (next(run.trials.glob("*/seed_0")) / "final_model.safetensors").write_bytes(b"no")
    place = os.path.relpath(run.path, ROOT)
    assert not place.startswith("/")
    code, out, errors = head.run(
        "analysis.complexity", place, "--measures", ",".join(QUICK), "--address", head.gcs, PYTHONPATH=str(ROOT)
    )
    assert code == 1, out + errors  # one file is damaged
    assert "problem" in out
    there = table.read(run.weights_table, "weights")
    key = ["trial_id", "seed", "stage", "tensor"]
    expected = here.set_index(key).loc[there.set_index(key).index].reset_index()
    pd.testing.assert_frame_equal(there[expected.columns], expected, check_exact=True)
    assert len(there) == 3 * 3 * 6


@pytest.mark.slow
def test_a_wrong_address_is_one_line(head: Head, run: RunFolder) -> None:
    with pytest.raises(InputError, match=r"nothing answers at 127\.0\.0\.1:9"):
        measure_run(run, QUICK, address="127.0.0.1:9")
