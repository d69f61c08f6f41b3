"""A home folder for a process that has none, as in containers that run as a user without an entry in passwd."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path


def find_home() -> Path | None:
    """Set HOME where the system knows none, and a folder for matplotlib where the home cannot be written.

    Ray and others ask for a home when they are imported, and end without one. Returns the folder of our own that took
    the home's place, None where there is a home.
    """
    home = None
    with suppress(RuntimeError):
        home = Path.home()
    if home is not None and os.access(home, os.W_OK):
        return None
    folder = _own_folder()
    os.environ.setdefault("MPLCONFIGDIR", str(folder / "matplotlib"))
    if home is not None:
        return None
    os.environ["HOME"] = str(folder)
    return folder


def _own_folder() -> Path:
    """Return a folder that nobody else can write to, the same for all processes of the user."""
    folder = Path(tempfile.gettempdir()) / f"sweeps-home-{os.getuid()}"
    with suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077:
            return folder
    return Path(tempfile.mkdtemp(prefix="sweeps-home-"))
