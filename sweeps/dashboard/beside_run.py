"""Starts the live page beside a run, as a process of its own: to end it changes nothing, and it ends with the run."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from urllib.parse import quote

from analysis.runs.run_folder import RunFolder

PORT = 8088
NEEDED = ("plotly", "starlette", "uvicorn")
WAIT_SECONDS = 5.0
# environment variable: the process to end with
WITH_PARENT = "SWEEPS_DASHBOARD_PARENT"
WATCH_SECONDS = 2.0


def missing_packages() -> str:
    """Return what the dashboard lacks to be started, in words; "" where it lacks nothing."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    return f"the dashboard needs {', '.join(missing)}: pip install 'medsweeps[dashboard]'" if missing else ""


@contextmanager
def dashboard_beside(run: RunFolder, say: Callable[[str], None]) -> Iterator[None]:
    """Show a run in the browser while this is entered. say: prints where; also why there is no page after all."""
    command = [sys.executable, "-m", "sweeps.dashboard", str(run.path), "--port", str(PORT if _is_free(PORT) else 0)]
    # of a session of its own: Ctrl-C is for the run
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True, env={**os.environ, WITH_PARENT: str(os.getpid())},
    )  # fmt: skip
    announcing = threading.Thread(target=_announce, args=(process, run, say), daemon=True)
    announcing.start()
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        announcing.join(WAIT_SECONDS)
        if process.stdout and not announcing.is_alive():
            process.stdout.close()


def _announce(process: subprocess.Popen[str], run: RunFolder, say: Callable[[str], None]) -> None:
    """Print where the page is, once it is there; then take what it prints, which nobody reads."""
    assert process.stdout
    # a pipe that is closed by the end of the run
    with suppress(ValueError, OSError):
        first = process.stdout.readline()
        address = next((word for word in first.split() if word.startswith("http://")), "")
        if address:
            say(f"{address}run/{quote(run.sweep)}/{quote(run.run_id)}")
        elif first:
            say(f"not shown: {first.strip()}")
        for _ in process.stdout:
            pass


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def end_with_parent() -> None:
    """Watch for the end of the process that is named in the environment, where one is; then end at once."""
    parent = os.environ.pop(WITH_PARENT, "")
    if parent.isdigit():
        threading.Thread(target=_watch, args=(int(parent),), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os._exit(0)
