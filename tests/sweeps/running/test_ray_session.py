"""Ray is started, and one line is said where it cannot be or is lost; without a Ray."""

from __future__ import annotations

import logging
import os
import tempfile
import traceback
from pathlib import Path
from typing import Any

import psutil
import pytest
from ray import tune
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.air.execution._internal.tracked_actor import TrackedActor
from ray.air.execution._internal.tracked_actor_task import TrackedActorTask

from analysis.parallel import ray_private
from analysis.parallel.ray_private import losses_are_deaths
from sweeps.running import ray_session
from sweeps.running.ray_session import RayLost, loss_in, losses_raised, ray, start_ray
from sweeps.running.reasons import DIED, OUT_OF_MEMORY, cause_in
from sweeps.running.tuner import own_errors
from trainables.errors import InputError


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[BaseException | None]:
    """Errors that the next starts of Ray raise; None: it starts."""
    coming: list[BaseException | None] = []

    def init(**options: Any) -> None:
        if error := coming.pop(0):
            raise error

    class Child:
        def __init__(self, name: str, status: str = psutil.STATUS_SLEEPING) -> None:
            self.name, self.status, self.is_running = lambda: name, lambda: status, lambda: True

    # ids of processes start again from the lowest: those that a process before this one has left may come last
    left = [Child(name, psutil.STATUS_ZOMBIE) for name in ("gcs_server", "raylet")]
    children = [*left, Child("gcs_server"), Child("raylet"), *left]
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray_session.psutil.Process, "children", lambda self: children)
    monkeypatch.setattr(ray_session, "_services", [])
    return coming


SLOW = Exception("The current node timed out during startup. This could happen because some of the raylet failed")


def test_a_start_that_takes_too_long_is_tried_once_more(starts: list[BaseException | None]) -> None:
    starts += [SLOW, None]
    start_ray()
    assert not starts
    assert ray_session.lost_service() == ""


@pytest.mark.parametrize("error", [SLOW, OSError("no room"), ValueError("bad"), RuntimeError(""), Exception("what")])
def test_a_ray_that_cannot_be_started_is_one_line(starts: list[BaseException | None], error: Exception) -> None:
    starts += [error, error]
    with pytest.raises(InputError, match=r"^Ray cannot be started on this machine: [^\n]+$"):
        start_ray()


def test_a_temporary_folder_of_somebody_else_is_said_with_the_remedy(starts: list[BaseException | None]) -> None:
    starts += [PermissionError(13, "Permission denied", "/somewhere/ray")] * 2
    with pytest.raises(InputError, match="set RAY_TMPDIR to a folder that you may write into"):
        start_ray()


def test_where_shared_memory_cannot_be_written_the_object_store_gets_another_place(
    starts: list[BaseException | None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ray_private, "SHARED_MEMORY", tmp_path)
    given: list[dict[str, Any]] = []
    init = ray.init
    monkeypatch.setattr(ray, "init", lambda **options: (given.append(options), init(**options)))
    starts += [None, None]
    start_ray()
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path and access(path, mode))
    start_ray()
    assert [options.get("_plasma_directory") for options in given] == [None, tempfile.gettempdir()]


def test_a_temporary_folder_that_python_passes_over_is_not_left_to_ray(
    starts: list[BaseException | None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Root may write everywhere, so what Python chose is set here."""
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("RAY_TMPDIR", "")
    starts.append(None)
    start_ray()
    assert os.environ["RAY_TMPDIR"] == "/tmp"


def test_a_long_temporary_folder_gives_way_to_a_short_one(
    starts: list[BaseException | None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / ("x" * 60)))
    starts.append(None)
    start_ray()
    assert os.environ["RAY_TMPDIR"] == "/tmp"
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / ("x" * 60)))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(InputError, match="set RAY_TMPDIR to a shorter folder"):
        start_ray()


@pytest.mark.parametrize("home", [None, "/"])
def test_without_a_home_the_token_is_handed_on(
    starts: list[BaseException | None], monkeypatch: pytest.MonkeyPatch, home: str | None
) -> None:
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)

    def unknown() -> Path:
        if home is None:
            raise RuntimeError("Could not determine home directory.")
        return Path(home)

    monkeypatch.setattr(Path, "home", unknown)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    starts.append(None)
    start_ray()
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 32
    monkeypatch.delenv("RAY_AUTH_TOKEN")


def test_only_what_ray_did_is_a_loss_of_ray() -> None:
    assert loss_in(ray.exceptions.ObjectLostError("a", None, "")).startswith("ObjectLostError: ")
    assert loss_in(ConnectionRefusedError("no")) == "ConnectionRefusedError: no"
    assert loss_in(RuntimeError("ours")) == ""
    caught = RuntimeError("Caught unexpected exception")
    caught.__cause__ = ray.exceptions.OutOfMemoryError("killed")
    with pytest.raises(RayLost, match="OutOfMemoryError"), losses_raised():
        raise caught
    with pytest.raises(KeyError), losses_raised():
        raise KeyError("ours")
    while_handling = TypeError("ours, while the death of a worker is handled")
    while_handling.__context__ = ray.exceptions.ActorDiedError()
    with pytest.raises(TypeError), losses_raised():
        raise while_handling


@pytest.mark.parametrize(
    "error",
    [ray.exceptions.OutOfMemoryError("worker(s) were killed due to the node running low on memory"),
     ray.exceptions.ObjectLostError("a", None, ""), ray.exceptions.NodeDiedError("gone"),
     ray.exceptions.ActorUnavailableError("away", None)],
)  # fmt: skip
def test_tune_takes_every_loss_of_a_worker_for_its_death(error: Exception) -> None:
    """Tune's own manager of actors, whose `_actor_task_failed` ends the experiment at most of these."""
    seen: list[Exception] = []
    actor = TrackedActor("1", on_error=lambda actor, error: seen.append(error))
    task = TrackedActorTask(actor)
    manager = RayActorManager.__new__(RayActorManager)
    manager.__dict__.update(_failed_actor_ids=set(), _cleanup_actor=lambda tracked_actor: None)
    with losses_are_deaths():
        # by name, as Ray calls it
        manager._actor_task_failed(tracked_actor_task=task, exception=error)
    assert len(seen) == 1
    assert isinstance(seen[0], ray.exceptions.RayActorError)


def test_a_worker_that_the_memory_monitor_killed_has_a_cause_that_says_what_to_do() -> None:
    killed = """RayActorError: OutOfMemoryError: 1 worker(s) were killed due to the node running low on memory.
Refer to the documentation on how to address the out of memory issue: https://docs.ray.io/x"""
    assert cause_in(killed) == OUT_OF_MEMORY
    assert "--max-concurrent" in OUT_OF_MEMORY
    assert cause_in("... The actor is dead because its worker process has died. Worker exit type: SYSTEM") == DIED
    assert cause_in("Traceback\n  x\nValueError: no\n") == "ValueError: no"
    assert cause_in("") == "no message"
    own = 'Traceback\n  File "<_sweeps_user_code_0123abcd>/lab/net.py", line 12, in forward\n    x\nValueError: no\n'
    assert cause_in(own) == "lab/net.py, line 12: ValueError: no"


def test_the_log_of_a_run_has_no_false_alarm(tmp_path: Path) -> None:
    handler = ray_session._log_to(tmp_path / "run.log")
    logger = logging.getLogger("ray.tune.analysis")
    logger.warning("Failed to fetch metrics for 48 trial(s):\n- x: FileNotFoundError")
    logger.warning("The `callbacks.on_step_end` operation took 1.099 s, which may be a performance bottleneck.")
    logger.warning("a trial failed")
    handler.close()
    lines = (tmp_path / "run.log").read_text().splitlines()
    assert [line.split(": ", 1)[1] for line in lines] == ["a trial failed"]


def raise_as_tune_does(error: Exception) -> None:
    """Raise an error as Tune's controller does with whatever a callback of ours raises."""
    try:
        raise error
    except Exception:
        raise tune.TuneError(traceback.format_exc())  # noqa: B904


def test_an_error_of_ours_is_raised_as_it_was_where_tune_made_another_of_it() -> None:
    with pytest.raises(InputError, match="the disk is full"), own_errors():
        raise_as_tune_does(InputError("the disk is full"))
    with pytest.raises(tune.TuneError, match="a fault"), own_errors():
        raise_as_tune_does(KeyError("a fault"))
