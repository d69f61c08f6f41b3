"""Ends this process with the one that started it, also where that was killed."""

from __future__ import annotations

import os
import threading
import time

# environment variable: the process to end with
WITH_PARENT = "SWEEPS_DASHBOARD_PARENT"
SECONDS = 2.0


def end_with_parent() -> None:
    """Watch for the end of the process that is named in the environment, where one is; then end at once."""
    parent = os.environ.pop(WITH_PARENT, "")
    if parent.isdigit():
        threading.Thread(target=_watch, args=(int(parent),), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(SECONDS)
    os._exit(0)
